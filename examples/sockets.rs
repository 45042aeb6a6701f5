//! How long a look at the socket tables takes, on a host with many sockets: `cargo run --release --example sockets`.
//! Prints figures, asserts none.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measurement: whatever goes wrong ends it"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use nginx_502_exporter::inputs::socket::queue::{QueueReader, Target, Wanted};
use nginx_502_exporter::observation::socket::ListenerKey;

const READINGS: usize = 200;

/// Wanted listeners of either kind, and connections.
struct Host {
    title: &'static str,
    unix: usize,
    tcp: usize,
    unix_connections: usize,
    tcp_connections: usize,
    /// The connections are those of other listeners.
    foreign: bool,
}

const HOSTS: [Host; 4] = [
    Host { title: "4 listeners", unix: 2, tcp: 2, unix_connections: 2, tcp_connections: 2, foreign: false },
    Host {
        title: "105 listeners among 8,000 unix and 4,000 TCP sockets of others",
        unix: 100,
        tcp: 5,
        unix_connections: 4000,
        tcp_connections: 2000,
        foreign: true,
    },
    Host {
        title: "105 listeners with 8,000 unix and 4,000 TCP sockets",
        unix: 100,
        tcp: 5,
        unix_connections: 4000,
        tcp_connections: 2000,
        foreign: false,
    },
    Host {
        title: "2,000 listeners with 8,000 unix and 4,000 TCP sockets",
        unix: 1000,
        tcp: 1000,
        unix_connections: 4000,
        tcp_connections: 2000,
        foreign: false,
    },
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &*arguments {
        [host, folder] => hold(&HOSTS[host.parse::<usize>().unwrap()], Path::new(folder)),
        _ => (0..HOSTS.len()).for_each(measure),
    }
}

/// The other process: holds the sockets, says which ports it took, and waits for its end.
fn hold(host: &Host, folder: &Path) {
    let unix: Vec<_> = (0..=host.unix).map(|n| UnixListener::bind(folder.join(n.to_string())).unwrap()).collect();
    let tcp: Vec<_> = (0..=host.tcp).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    // The last one of each kind is nobody's.
    let chosen = |n: usize, wanted: usize| if host.foreign { wanted } else { n % wanted };
    let unix_pairs: Vec<_> = (0..host.unix_connections)
        .map(|n| {
            let n = chosen(n, host.unix);
            (UnixStream::connect(folder.join(n.to_string())).unwrap(), unix[n].accept().unwrap())
        })
        .collect();
    let tcp_pairs: Vec<_> = (0..host.tcp_connections)
        .map(|n| {
            let listener = &tcp[chosen(n, host.tcp)];
            (TcpStream::connect(listener.local_addr().unwrap()).unwrap(), listener.accept().unwrap())
        })
        .collect();
    let ports: Vec<String> =
        tcp.iter().take(host.tcp).map(|listener| listener.local_addr().unwrap().to_string()).collect();
    println!("{}", ports.join(" "));
    let _end = std::io::stdin().read(&mut [0]);
    drop((unix_pairs, tcp_pairs));
}

fn measure(number: usize) {
    let (host, folder) = (&HOSTS[number], tempfile::tempdir().unwrap());
    let mut holder = Command::new(std::env::current_exe().unwrap());
    holder.arg(number.to_string()).arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    let mut ports = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut ports).unwrap();
    let unix = (0..host.unix).map(|n| ListenerKey::Unix(folder.path().join(n.to_string()).into()));
    let tcp = ports.split_whitespace().map(|address| ListenerKey::Tcp(address.parse().unwrap()));
    let wanted = Wanted::new(unix.chain(tcp).map(Target::from));

    println!("{}", host.title);
    let new = || QueueReader::new(Path::new("/proc"), Path::new("/"));
    let mut reader = new();
    println!("  first reading, with the search for owners  {:>8.1?}", time(&mut reader, &wanted));
    report("netlink", &mut reader, &wanted);
    report("procfs ", &mut new().in_namespace_of(std::process::id()), &wanted);
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

fn report(source: &str, reader: &mut QueueReader, wanted: &Wanted) {
    time(reader, wanted);
    let before = processor_time();
    let mut times: Vec<Duration> = (0..READINGS).map(|_| time(reader, wanted)).collect();
    let processor = (processor_time() - before) / u32::try_from(READINGS).unwrap();
    times.sort_unstable();
    let (least, median) = (times[0], times[READINGS / 2]);
    println!("  {source}  processor {processor:>8.1?}  least {least:>8.1?}  median {median:>8.1?}");
}

/// What this thread has used, without the time it waited for others (`/proc/PID/schedstat`).
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn time(reader: &mut QueueReader, wanted: &Wanted) -> Duration {
    let began = Instant::now();
    let reading = reader.read(wanted, SystemTime::now());
    assert!(reading.listeners.iter().all(|(_, state)| state.as_ref().is_ok_and(|state| state.queue.is_some())));
    began.elapsed()
}
