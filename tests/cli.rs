//! The real binary: what it prints and what it ends with.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use clap::CommandFactory as _;
use nginx_502_exporter::cli::Cli;

/// The binary with these arguments and no environment but this.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nginx-502-exporter"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A refusal: exit code 2, nothing on standard output, these lines on standard error.
#[track_caller]
fn refused(arguments: &[&str], environment: &[(&str, &str)], lines: &[&str]) {
    let output = run(arguments, environment);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    assert_eq!(stdout(&output), "");
    assert_eq!(stderr(&output).lines().collect::<Vec<_>>(), lines, "{arguments:?}");
}

/// What `--config.check` says about a setting.
#[track_caller]
fn in_force(setting: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(&[arguments, &["--config.check"]].concat(), environment);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    let start = format!("  {setting} = ");
    stdout(&output).lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default().to_owned()
}

#[test]
fn help_and_version_are_answers() {
    for arguments in [&["--help"][..], &["-h"], &["help"], &["serve", "--help"], &["help", "replay"], &["--version"]] {
        let output = run(arguments, &[]);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{arguments:?}");
    }
    assert_eq!(stdout(&run(&["-V"], &[])), concat!("nginx-502-exporter ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn help_fits_a_terminal_and_names_every_flag_and_its_variable() {
    let output = run(&["--help"], &[]);
    let help = stdout(&output);
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    let words: String = help.split_whitespace().collect();
    for flag in Cli::command().get_arguments().filter_map(clap::Arg::get_long) {
        assert!(help.contains(&format!("--{flag}")), "{flag}");
        assert!(matches!(flag, "help" | "version") || words.contains(&format!("[env:{}", variable(flag))), "{flag}");
    }
}

#[test]
fn wrong_usage_is_one_line_and_exit_code_2() {
    for (arguments, line) in [
        (
            &["--web.listen-adress=:1"][..],
            "unexpected argument '--web.listen-adress' found; a similar argument exists: '--web.listen-address'",
        ),
        (&["serv"], "unrecognized subcommand 'serv'; a similar subcommand exists: 'serve'"),
        (&["--config.file"], "a value is required for '--config.file <FILE>' but none was supplied"),
        (&["--log.level=info", "--log.level=warn"], "the argument '--log.level <LEVEL>' cannot be used multiple times"),
        (&["--log.level=debug", "explain"], "the subcommand 'explain' cannot be used with '--log.level <LEVEL>'"),
        (&["replay"], "the following required arguments were not provided: <FILE>..."),
        (
            &["replay", "--format=xml", "a"],
            "invalid value 'xml' for '--format <FORMAT>'; [possible values: text, json, ndjson]",
        ),
        (&["a\nb\u{1b}[2J"], "unrecognized subcommand 'a; b\\x1b[2J'"),
    ] {
        refused(arguments, &[], &[&format!("nginx-502-exporter: {line}; see --help")]);
    }
    let line = "nginx-502-exporter: man: no such command; name one of: serve, explain, replay, completions, man, help";
    refused(&["man", "diagnose"], &[], &[line]);
}

#[test]
fn every_mistake_in_flags_environment_and_file_is_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yml");
    fs::write(&path, "web:\n  telemetry_path: metrics\nlogs: {}\n").unwrap();
    let path = path.to_str().unwrap();
    for command in [&[][..], &["serve"]] {
        refused(
            &[command, &["--config.file", path, "--web.listen-address=:1", "--web.listen-address=1"]].concat(),
            &[("NGINX_502_EXPORTER_LOG_POLL_INTERVAL", "1"), ("NGINX_502_EXPORTER_NGINX_ERROR_LOG", "/a,b")],
            &[
                "--web.listen-address[1]: no port; write :10502, 127.0.0.1:10502 or [::1]:10502",
                "NGINX_502_EXPORTER_NGINX_ERROR_LOG[1]: not an absolute path; begin it with `/`",
                "NGINX_502_EXPORTER_LOG_POLL_INTERVAL: not a duration; write it like 500ms, 10s or 1h30m",
                &format!("{path}:2:19: web.telemetry_path: does not begin with `/`; write /metrics, for example"),
                &format!("{path}:3:1: logs: unknown key; known here: nginx, log, web, path, limits"),
            ],
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let expect = |path: &str, what: &str| refused(&["--config.file", path], &[], &[&format!("{path}: {what}")]);

    expect(&file("none.yml"), "cannot be read: No such file or directory (os error 2); check --config.file");
    expect(folder.path().to_str().unwrap(), "a directory; name the file in it");
    expect("/dev/null", "not a regular file; name one");
    fs::write(file("large.yml"), vec![b' '; 10_000_000]).unwrap();
    expect(&file("large.yml"), "larger than 64 KiB; this is not a configuration file");
    rustix::fs::mknodat(rustix::fs::CWD, file("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    expect(&file("pipe"), "not a regular file; name one");

    let secret = file("secret.yml");
    fs::write(&secret, "").unwrap();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    // Root may read it all the same.
    if fs::File::open(&secret).is_err() {
        expect(&secret, "cannot be read: Permission denied (os error 13); check --config.file");
    }
}

#[test]
fn flag_overrules_environment_overrules_file_overrules_default() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yml");
    fs::write(&path, "web: {telemetry_path: /file, enable_lifecycle: true}").unwrap();
    let file = ["--config.file", path.to_str().unwrap()];
    let environment = [("NGINX_502_EXPORTER_WEB_TELEMETRY_PATH", "/environment")];
    let flag = ["--web.telemetry-path=/flag"];
    let path_with = |arguments: &[&str], environment: &[_]| in_force("web.telemetry-path", arguments, environment);

    assert_eq!(path_with(&[], &[]), "/metrics (default)");
    assert_eq!(path_with(&file, &[]), format!("/file ({})", path.display()));
    assert_eq!(path_with(&file, &environment), "/environment (NGINX_502_EXPORTER_WEB_TELEMETRY_PATH)");
    assert_eq!(path_with(&[&file[..], &flag].concat(), &environment), "/flag (--web.telemetry-path)");
    let off = in_force("web.enable-lifecycle", &[&file[..], &["--web.enable-lifecycle=false"]].concat(), &[]);
    assert_eq!(off, "false (--web.enable-lifecycle)");
    assert_eq!(in_force("web.enable-lifecycle", &["--web.enable-lifecycle"], &[]), "true (--web.enable-lifecycle)");
}

#[test]
fn an_empty_variable_is_not_set() {
    for name in ["CONFIG_FILE", "CONFIG_CHECK", "LOG_LEVEL", "NGINX_ERROR_LOG", "LOG_POSITION_FILE", "LOG_FROM_START"] {
        assert_eq!(
            in_force("log.level", &[], &[(&format!("NGINX_502_EXPORTER_{name}"), "")]),
            "info (default)",
            "{name}"
        );
    }
}

fn variable(flag: &str) -> String {
    format!("NGINX_502_EXPORTER_{}", flag.replace(['.', '-'], "_").to_uppercase())
}

/// A flag somebody adds without a line here fails the test.
#[test]
fn every_flag_has_an_environment_variable_that_works() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yml");
    fs::write(&path, "web: {telemetry_path: /from-the-file}").unwrap();
    let path = path.to_str().unwrap();
    let mut flags = 0;
    for flag in Cli::command().get_arguments().filter_map(clap::Arg::get_long) {
        let name = variable(flag);
        let (value, shown) = match flag {
            "help" | "version" => continue,
            "config.file" => {
                assert_eq!(in_force("web.telemetry-path", &[], &[(&name, path)]), format!("/from-the-file ({path})"));
                continue;
            }
            "config.check" => {
                assert!(stdout(&run(&[], &[(&name, "true")])).starts_with("configuration OK\n"));
                continue;
            }
            "nginx.error-log" => ("/a.log, /b/*.log", "/a.log, /b/*.log"),
            "web.listen-address" => ("127.0.0.1:1,[::1]:1", "127.0.0.1:1, [::1]:1"),
            "web.telemetry-path" => ("/x", "/x"),
            "web.enable-lifecycle" | "log.from-start" => ("true", "true"),
            "log.position-file" => ("/p", "/p"),
            "log.poll-interval" => ("20ms", "20ms"),
            "path.rootfs" | "path.procfs" => ("/host", "/host"),
            "limits.series-per-family" => ("7", "7"),
            "log.level" => ("warn", "warn"),
            "log.format" => ("json", "json"),
            other => panic!("--{other}: say here how its variable is tested"),
        };
        for command in [&[][..], &["serve"]] {
            assert_eq!(in_force(flag, command, &[(&name, value)]), format!("{shown} ({name})"));
        }
        flags += 1;
    }
    assert_eq!(flags, 12);

    let commands = Cli::command();
    for command in commands.get_subcommands().filter(|command| command.get_name() != "serve") {
        for flag in command.get_arguments().filter_map(clap::Arg::get_long).filter(|flag| *flag != "help") {
            assert_eq!((command.get_name(), flag), ("replay", "format"), "say here how its variable is tested");
            let output = run(&["replay", "/dev/null"], &[(&variable(flag), "xml")]);
            assert!(stderr(&output).contains("invalid value 'xml' for '--format <FORMAT>'"));
        }
    }
}

#[test]
fn variables_of_the_exporter_do_not_disturb_the_other_commands() {
    let environment = [("NGINX_502_EXPORTER_LOG_LEVEL", "debug"), ("NGINX_502_EXPORTER_CONFIG_FILE", "/none.yml")];
    assert_eq!(run(&["man"], &environment).status.code(), Some(0));
}

#[test]
fn text_that_is_not_utf8_is_refused_by_name() {
    use std::os::unix::ffi::OsStrExt as _;
    let output = Command::new(env!("CARGO_BIN_EXE_nginx-502-exporter"))
        .arg(std::ffi::OsStr::from_bytes(b"--nginx.error-log=/\xff"))
        .env_clear()
        .env("NGINX_502_EXPORTER_WEB_LISTEN_ADDRESS", std::ffi::OsStr::from_bytes(b":\xff"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        "--nginx.error-log: not UTF-8 text; write it in UTF-8\n\
         NGINX_502_EXPORTER_WEB_LISTEN_ADDRESS: not UTF-8 text; write it in UTF-8\n"
    );
}

#[test]
fn completions_know_flags_commands_and_choices() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&["completions", shell], &[]);
        assert_eq!(output.status.code(), Some(0));
        for word in ["web.listen-address", "replay", "ndjson", "logfmt"] {
            // Elvish's script has no values.
            let expected = shell != "elvish" && shell != "powershell" || !matches!(word, "ndjson" | "logfmt");
            assert_eq!(stdout(&output).contains(word), expected, "{shell} {word}");
        }
    }
}

#[test]
fn manual_pages_are_for_the_program_and_for_each_command() {
    let output = run(&["man"], &[]);
    let page = stdout(&output);
    assert!(page.contains(".TH nginx-502-exporter 1"));
    for word in ["web.listen\\-address", "NGINX_502_EXPORTER_WEB_LISTEN_ADDRESS", "Exit codes"] {
        assert!(page.contains(word), "{word}");
    }
    let output = run(&["man", "replay"], &[]);
    assert!(stdout(&output).contains("nginx\\-502\\-exporter\\-replay \\-"), "{}", stdout(&output));
}

#[test]
fn a_reader_that_stops_early_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nginx-502-exporter"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn a_standard_error_that_takes_nothing_is_no_panic() {
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for (arguments, code) in [(&["--nonsense"][..], 2), (&["--log.level=nonsense"], 2), (&["man", "x"], 2)] {
        let status =
            Command::new(env!("CARGO_BIN_EXE_nginx-502-exporter")).args(arguments).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_nginx-502-exporter")).arg("--help").stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!Path::new("core").exists());
}
