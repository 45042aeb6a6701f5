//! What is seen without privileges, from another network namespace, and where netlink is forbidden: this test program
//! runs itself there.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use nginx_502_exporter::inputs::socket::queue::{QueueReader, Wanted};
use nginx_502_exporter::observation::socket::{ListenerKey, SocketReading};

use crate::common::Lab;
use crate::common::lab::is_root;
use crate::common::process::program;
use crate::support::{tcp_listener, unix_key, unix_listener, wanted};

/// Holds the addresses to read, for the program that runs itself.
const ADDRESSES: &str = "NGINX_502_EXPORTER_TEST_ADDRESSES";

/// Not a test of its own: what the others run in a place of its own.
#[test]
fn reading_elsewhere() {
    let Ok(addresses) = std::env::var(ADDRESSES) else { return };
    let (path, address) = addresses.split_once(' ').unwrap();
    let keys = [unix_key(&PathBuf::from(path)), ListenerKey::Tcp(address.parse().unwrap())];
    println!("{}", summary(&crate::support::reader().read(&wanted(keys), SystemTime::now())));
}

/// One line per listener.
fn summary(reading: &SocketReading) -> String {
    let states = reading.listeners.iter().map(|(_, state)| {
        let state = state.as_ref().unwrap();
        let queue = state.queue.map(|queue| (queue.waiting, queue.limit));
        format!("seen: {} {} {queue:?} {}", state.source, state.listening, state.accepted)
    });
    let failures = reading.fallbacks.iter().map(|failure| format!("seen: {} {}", failure.what, failure.reason));
    let hidden = reading.owners.unreadable > 0
        && reading
            .listeners
            .iter()
            .any(|(_, state)| state.as_ref().is_ok_and(|state| state.queue.is_some() && state.owner.is_none()));
    let hidden = hidden.then(|| "seen: owners hidden".to_owned());
    states.chain(failures).chain(hidden).collect::<Vec<_>>().join("\n")
}

/// Runs this program's reading behind a command and gives what it saw.
fn elsewhere(command: Command, lab: &Lab) -> Vec<String> {
    elsewhere_in(command, lab.root(), 0o755)
}

/// The same with the unix socket in a folder of this mode.
fn elsewhere_in(mut command: Command, folder: &Path, mode: u32) -> Vec<String> {
    let path = folder.join("a.sock");
    let unix = unix_listener(&path, 4);
    let (tcp, address) = tcp_listener("127.0.0.1:0", 5);
    let _waiting = (UnixStream::connect(&path).unwrap(), TcpStream::connect(address).unwrap());
    let _served = (unix.accept().unwrap(), tcp.accept().unwrap());
    let _more = (UnixStream::connect(&path).unwrap(), TcpStream::connect(address).unwrap());
    fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "isolation::reading_elsewhere", "--nocapture"]);
    let output = command.env(ADDRESSES, format!("{} {address}", path.display())).output().unwrap();
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().filter_map(|line| Some(line.split_once("seen: ")?.1.to_owned())).collect()
}

/// Nobody, without capabilities; ourselves without them where we may not become another.
fn unprivileged() -> Command {
    let mut command = Command::new(program("setpriv", "util-linux"));
    command.args(["--no-new-privs", "--inh-caps=-all"]);
    if is_root() {
        command.args(["--bounding-set=-all", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command
}

#[test]
fn no_privilege_is_needed() {
    // A folder that may not be searched hides where the path leads; then the name decides.
    let lab = Lab::new();
    for (folder, mode) in [("open", 0o755), ("hidden", 0)] {
        let mut expected = vec!["netlink yes Some((1, Some(4))) 1", "netlink yes Some((1, Some(5))) 1"];
        if is_root() {
            // All that is missing: which process of another user listens.
            expected.push("owners hidden");
        }
        assert_eq!(elsewhere_in(unprivileged(), &lab.subfolder(folder), mode), expected, "{folder}");
    }
}

#[test]
fn another_network_namespace_shows_nothing() {
    let mut command = Command::new(program("unshare", "util-linux"));
    command.args(if is_root() { &["--net"][..] } else { &["--net", "--map-root-user"] });
    // The path leads to the socket also there, but nothing of it is in that namespace's tables.
    assert_eq!(elsewhere(command, &Lab::new()), ["netlink no None 0", "netlink no None 0"]);
}

/// What systemd's `RestrictAddressFamilies=` without `AF_NETLINK` does: `socket(AF_NETLINK, …)` fails with
/// `EAFNOSUPPORT` (seccomp(2), the filter's instructions in `linux/bpf_common.h`).
#[cfg(target_arch = "x86_64")]
const WITHOUT_NETLINK: &str = r#"
    my $code = pack("SCCL" x 6,
        0x20, 0, 0, 0,              # load the number of the system call
        0x15, 0, 3, 41,             # not socket(): allow
        0x20, 0, 0, 16,             # load its first argument
        0x15, 0, 1, 16,             # not AF_NETLINK: allow
        0x06, 0, 0, 0x00050000 | 97,
        0x06, 0, 0, 0x7fff0000);
    my $program = pack("Sx6P", 6, $code);
    syscall(157, 38, 1, 0, 0, 0) == 0 or die "no_new_privs: $!";
    syscall(157, 22, 2, $program, 0, 0) == 0 or die "seccomp: $!";
    exec @ARGV or die $!;
"#;

#[cfg(target_arch = "x86_64")]
#[test]
fn where_netlink_is_forbidden_the_text_tables_are_read_and_it_is_said() {
    let mut command = Command::new(program("perl", "perl-base"));
    command.args(["-e", WITHOUT_NETLINK, "--"]);
    let expected = ["procfs yes Some((1, None)) 1", "procfs yes Some((1, None)) 1", "sock_diag refused"];
    assert_eq!(elsewhere(command, &Lab::new()), expected);
}

#[test]
fn a_namespace_can_be_read_through_a_process_in_it() {
    let lab = Lab::new();
    let listener = "import socket, sys\nl = socket.socket(socket.AF_UNIX)\nl.bind(sys.argv[1])\nl.listen(4)\n\
                    c = socket.socket(socket.AF_UNIX)\nc.connect(sys.argv[1])\nprint('ready', flush=True)\nsys.stdin.read()";
    let mut command = Command::new(program("unshare", "util-linux"));
    command.args(if is_root() { &["--net"][..] } else { &["--net", "--map-root-user"] });
    command.arg(program("python3", "python3")).args(["-c", listener]).arg(lab.path("a.sock"));
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    let wanted: Wanted = wanted([unix_key(&lab.path("a.sock"))]);
    let here = crate::support::reader().read(&wanted, SystemTime::now());
    let there =
        QueueReader::new("/proc".as_ref(), "/".as_ref()).in_namespace_of(child.id()).read(&wanted, SystemTime::now());
    assert_eq!((summary(&here).as_str(), line.trim()), ("seen: netlink no None 0", "ready"));
    assert_eq!(summary(&there), "seen: procfs yes Some((1, None)) 0");
    drop(child.stdin.take());
    child.wait().unwrap();
}
