//! The configuration file: what loads, what every mistake looks like, and that the documentation tells the truth.
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use nginx_502_exporter::config::settings::{self, Setting};
use nginx_502_exporter::config::{Config, Effective, Given, Place, Problems, Source};
use proptest::prelude::*;

fn load(yaml: impl AsRef<[u8]>) -> Result<Config, Problems> {
    Source::default().load_bytes(Path::new("config.yml"), yaml.as_ref())
}

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension() == Some(OsStr::new("yml")));
    files.sort();
    assert!(!files.is_empty());
    files
}

fn values(config: &Config) -> Vec<(&str, &[String])> {
    config.effective().iter().map(|Effective { setting, values, .. }| (setting.name, values.as_slice())).collect()
}

#[test]
fn good_files_load() {
    for path in fixtures("good") {
        if let Err(problems) = load(fs::read(&path).unwrap()) {
            panic!("{}: {problems}", path.display());
        }
    }
}

/// `UPDATE_GOLDEN=1 cargo test` writes what is said today.
#[test]
fn bad_files_are_refused_in_these_words() {
    for path in fixtures("bad") {
        let said = load(fs::read(&path).unwrap()).unwrap_err().to_string() + "\n";
        let golden = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &said).unwrap();
        }
        assert_eq!(said, fs::read_to_string(&golden).unwrap(), "{}", path.display());
    }
}

#[test]
fn every_value_of_a_file_arrives() {
    let config = load(fs::read("tests/fixtures/config/good/everything.yml").unwrap()).unwrap();
    assert_eq!(config.listen.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.1:9502", "[::1]:9502"]);
    assert_eq!(config.telemetry_path, "/probe");
    assert!(config.lifecycle);
    assert_eq!(config.log_level, tracing::Level::DEBUG);
    assert_eq!(config.log_format, nginx_502_exporter::config::LogFormat::Json);
    assert!(config.from_start);
    assert_eq!(config.position_file, Some(PathBuf::from("/var/lib/x/nginx-502-exporter.positions")));
    assert_eq!(config.poll_interval, std::time::Duration::from_millis(1_500));
    assert_eq!(config.error_logs, ["/srv/$site/*.log", "/var/log/nginx/error.log"]);
    assert_eq!(config.rootfs, Path::new("/host"));
    assert_eq!(config.procfs, Path::new("/host/proc"));
    assert_eq!(config.series_per_family, 42);
}

#[test]
fn an_empty_file_means_the_defaults() {
    let defaults = Source::default().load().unwrap();
    for yaml in ["", "\n", "# nothing\n", "---\n", "{}", "~", "web:\nlog:\n"] {
        assert_eq!(values(&load(yaml).unwrap()), values(&defaults), "{yaml:?}");
    }
}

#[test]
fn byte_order_mark_and_carriage_returns_do_no_harm() {
    let config = load("\u{feff}web: {telemetry_path: /x}\r\nlog:\r\n  level: warn\r\n").unwrap();
    assert_eq!((config.telemetry_path.as_str(), config.log_level), ("/x", tracing::Level::WARN));
    let problems = load("\u{feff}web: {x: 1}\r\nlog:\r\n  y: warn\r\n").unwrap_err();
    let places: Vec<_> = problems.listed.iter().flat_map(|problem| problem.position).collect();
    assert_eq!(places.iter().map(|place| (place.line, place.column)).collect::<Vec<_>>(), [(1, 7), (3, 3)]);
}

#[test]
fn a_large_file_is_refused() {
    let problems = load(vec![b'#'; 10_000_000]).unwrap_err();
    assert_eq!(problems.to_string(), "config.yml: larger than 64 KiB; this is not a configuration file");
}

#[test]
fn problems_beyond_the_list_are_counted() {
    let yaml: String = (0..1000).map(|number| format!("key{number}: 1\n")).collect();
    let problems = load(yaml).unwrap_err();
    assert_eq!((problems.listed.len(), problems.more), (50, 950));
    assert!(problems.to_string().ends_with("\nand 950 more"));
}

#[test]
fn no_mistake_repeats_a_value() {
    const SECRET: &str = "hunter2";
    let mut yamls = vec![
        format!("web: {SECRET}"),
        format!("{{web: {{listen_address: [{{x: {SECRET}}}]}}}}"),
        format!("web: !!int {SECRET}"),
        format!("web: !x {SECRET}"),
        format!("web: *{SECRET}"),
        format!("web: [{SECRET}"),
        format!("web: '{SECRET}"),
        format!("web: \"\\{SECRET}\""),
        format!("web: @{SECRET}"),
        format!("unknown: {SECRET}"),
        SECRET.to_owned(),
    ];
    yamls.extend(settings::ALL.iter().map(|setting| {
        let (section, key) = setting.name.split_once('.').unwrap();
        format!("{section}: {{{}: \"{SECRET}\\0[*** ${{X-{SECRET}}}\"}}", key.replace('-', "_"))
    }));
    for yaml in yamls {
        let said = load(&yaml).unwrap_err().to_string();
        assert!(!said.contains(SECRET), "{yaml} -> {said}");
    }
}

#[test]
fn flags_overrule_the_file_and_mistakes_in_both_are_reported() {
    let mut given = Given::default();
    given.flag(&settings::LOG_LEVEL, [OsStr::new("error")].into_iter());
    given.environment(&settings::NGINX_ERROR_LOG, OsStr::new("/a.log, /b.log,"));
    let source = Source::new(given.clone());
    let path = Path::new("config.yml");
    let config = source.load_bytes(path, b"log: {level: debug, from_start: true}\nnginx: {error_log: /c.log}").unwrap();
    assert_eq!(config.log_level, tracing::Level::ERROR);
    assert_eq!(config.error_logs, ["/a.log", "/b.log"]);
    assert!(config.from_start);
    let places: Vec<_> =
        config.effective().iter().map(|effective| (effective.setting.name, &effective.place)).collect();
    assert!(places.contains(&("log.level", &Place::Flag)));
    assert!(places.contains(&("nginx.error-log", &Place::Environment)));
    assert!(places.contains(&("log.from-start", &Place::File(path.to_owned()))));
    assert!(places.contains(&("log.format", &Place::Default)));

    given.flag(&settings::LOG_FORMAT, [OsStr::new("xml")].into_iter());
    let problems = Source::new(given).load_bytes(path, b"log: {level: loud}").unwrap_err().to_string();
    assert_eq!(
        problems,
        "--log.format: not a format; write `logfmt` or `json`\n\
         config.yml:1:14: log.level: not a level; write `debug`, `info`, `warn` or `error`"
    );
}

#[test]
fn a_reload_reads_the_file_again_and_says_what_needs_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yml");
    let mut given = Given::default();
    given.flag(&settings::CONFIG_FILE, [path.as_os_str()].into_iter());
    let source = Source::new(given);

    fs::write(&path, "web: {telemetry_path: /a}").unwrap();
    let started = source.load().unwrap();
    fs::write(&path, "web: {telemetry_path: /b}\nnginx: {error_log: /c.log}\nlog: {level: warn}").unwrap();
    let reloaded = source.load().unwrap();
    assert_eq!(reloaded.error_logs, ["/c.log"]);
    assert_eq!(started.needs_restart(&reloaded), ["web.telemetry-path"]);
    assert!(started.needs_restart(&started).is_empty());

    fs::write(&path, "web: [").unwrap();
    assert!(source.load().is_err());
    fs::remove_file(&path).unwrap();
    assert!(
        source
            .load()
            .unwrap_err()
            .to_string()
            .ends_with("cannot be read: No such file or directory (os error 2); check --config.file")
    );
}

#[test]
fn what_is_in_force_is_told_in_the_order_of_the_settings() {
    let config = Source::default().load().unwrap();
    let told: Vec<_> = config.effective().iter().map(|effective| effective.setting).collect();
    assert_eq!(told, settings::ALL);
}

#[test]
fn the_example_file_shows_every_key_with_its_default() {
    let example = fs::read_to_string("deploy/nginx-502-exporter.yml").unwrap();
    let config = load(&example).unwrap();
    assert_eq!(values(&config), values(&Source::default().load().unwrap()));
    for Effective { setting, place, .. } in config.effective() {
        let shown = if setting.default.is_empty() {
            let (_, key) = setting.name.split_once('.').unwrap();
            example.contains(&format!("\n  # {}: ", key.replace('-', "_")))
        } else {
            matches!(place, Place::File(_))
        };
        assert!(shown, "{}", setting.name);
    }
}

#[test]
fn the_documentation_has_a_row_for_every_setting_and_no_other() {
    let documentation = fs::read_to_string("docs/configuration.md").unwrap();
    let rows: Vec<_> = documentation.lines().filter(|line| line.contains("| `--")).collect();
    let row = |setting: &Setting, key: String, reload: &str| {
        let default = setting.default.first().map_or("none".to_owned(), |default| format!("`{default}`"));
        format!("|{key} | `{}` | `{}` | {default} |{reload} |", setting.flag(), setting.environment())
    };
    let mut expected =
        vec![row(&settings::CONFIG_FILE, String::new(), ""), row(&settings::CONFIG_CHECK, String::new(), "")];
    for setting in settings::ALL {
        let reload = if setting.on_reload { " yes" } else { " no" };
        expected.push(row(setting, format!(" `{}`", setting.key()), reload));
    }
    assert_eq!(rows, expected);
}

/// Pieces that YAML and we give a meaning to, so that random files get past the first character.
const PIECES: &[&str] = &[
    "web",
    "log",
    "nginx",
    "listen_address",
    "level",
    "error_log",
    "debug",
    ":1",
    "10ms",
    "/a",
    ": ",
    ":\n",
    "\n",
    "  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "&a ",
    "*a",
    "<<",
    "!x ",
    "!!int ",
    "'",
    "\"",
    "|\n",
    "? ",
    "--- ",
    "...",
    "#",
    "\t",
    "\r",
    "${A}",
    "${",
    "$",
    "~",
    "1e9",
    "0x1",
    "é",
    "\u{feff}",
    "\0",
    "%YAML 1.2\n",
];

fn check(bytes: &[u8]) {
    let Err(problems) = load(bytes) else { return };
    assert!(!problems.listed.is_empty() && problems.listed.len() <= 50);
    for problem in &problems.listed {
        let line = problem.to_string();
        assert!(line.starts_with("config.yml:") && !line.chars().any(char::is_control), "{line:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_give_a_configuration_or_lines_of_problems(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        check(&bytes);
    }

    #[test]
    fn anything_like_yaml_gives_a_configuration_or_lines_of_problems(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)
    ) {
        check(pieces.concat().as_bytes());
    }
}
