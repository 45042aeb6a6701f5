//! Plays a table of cases and compares.

use std::time::Duration;

use nginx_502_exporter::inputs::log::nginx_error::entries;
use nginx_502_exporter::observation::{Entry, Verdict};

use crate::case::Case;
use crate::common::{Lab, Nginx, NginxConfig};
use crate::counters;

/// How long nginx may take to have logged a request that the client has the answer of.
const LOGGED: Duration = Duration::from_secs(10);

/// The entries that count.
pub fn counted(log: &[u8]) -> Vec<Entry<'_>> {
    entries(log).into_iter().map(|(entry, _)| entry).filter(counts).collect()
}

/// Whether an entry counts at all.
pub fn counts(entry: &Entry<'_>) -> bool {
    !matches!(entry.verdict, Verdict::Client | Verdict::Other)
}

/// Puts all cases into one nginx, sends their requests one after another and compares, first what we make of the log,
/// then what the exporter serves.
///
/// # Panics
/// When any case does not come out as expected; all of them are listed, with nginx's lines.
pub fn run(lab: &Lab, cases: &[Case]) {
    let http = "  client_max_body_size 32m;\n".to_owned();
    let mut config = NginxConfig { http, ..NginxConfig::default() };
    for case in cases {
        case.configure(&mut config);
    }
    let nginx = Nginx::start(lab, &config);
    let answers: Vec<Option<u16>> = cases.iter().map(|case| case.send(&nginx)).collect();
    lab.wait_for("every request in the access log", LOGGED, || {
        let served = nginx.served();
        cases.iter().all(|case| served.iter().any(|served| served.uri == case.uri()))
    });
    let (log, served) = (nginx.errors(), nginx.served());
    let entries = entries(&log);
    let mut failures = String::new();
    for (case, answered) in cases.iter().zip(answers) {
        let mark = case.mark();
        let own: Vec<(Entry<'_>, &[u8])> =
            entries.iter().filter(|(_, bytes)| memchr::memmem::find(bytes, &mark).is_some()).copied().collect();
        let served = served.iter().find(|served| served.uri == case.uri()).expect("waited for");
        let lines = own.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect::<String>();
        println!("{served:?}, the client got {answered:?}\n{lines}");
        let problems = case.problems(answered, served, &own);
        if !problems.is_empty() {
            failures += &format!("{case:?}:\n  {}\n{lines}\n", problems.join("\n  "));
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
    counters::compare(lab, &nginx, cases);
}
