//! `make demo`: nginx, PHP-FPM, Prometheus and the exporter in a temporary folder on loopback ports. Things break one
//! after another; for each the demo shows what nginx answered, what the exporter counted and what Prometheus returns.
//!
//! Stays up until Ctrl-C and leaves nothing behind. With `--once` it ends by itself. It succeeds only if every step was
//! seen in Prometheus.
#![allow(clippy::expect_used, clippy::indexing_slicing, unreachable_pub)]

#[path = "../../tests/common/mod.rs"]
mod common;

mod stage;
mod steps;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use stage::Stage;
use steps::{Outcome, Step};

/// Set once the demo is to end.
static STOPPING: AtomicBool = AtomicBool::new(false);
/// How long a count may take to arrive in the exporter, and from there in Prometheus.
const DEADLINE: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let once = std::env::args().any(|argument| argument == "--once");
    let signals = watch_signals();
    // A panic is a program that is missing or does not start; it has told so, and everything started has ended by now.
    match catch_unwind(AssertUnwindSafe(|| run(once, signals))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

fn run(once: bool, signals: JoinHandle<()>) -> bool {
    println!("Starting nginx, PHP-FPM, Prometheus and the exporter …");
    let mut stage = Stage::start();
    println!("{}\n\n{}", stage.addresses(), Outcome::heading());
    let mut all_seen = true;
    for step in steps::all() {
        let Some(outcome) = play(&step, &mut stage) else { return false };
        println!("{outcome}");
        all_seen &= outcome.is_seen();
    }
    println!("\n{}", if all_seen { "Every failure was seen in Prometheus." } else { "NOT every failure was seen." });
    if !once {
        println!("{}\nAll of it runs on until Ctrl-C.", stage.addresses());
        let _ended = signals.join();
    }
    all_seen
}

/// Breaks something, asks nginx, waits for the count; `None` when told to stop.
fn play(step: &Step, stage: &mut Stage) -> Option<Outcome> {
    let series = step.series();
    let before = stage.exporter.value(&series).unwrap_or_default();
    (step.breaks)(stage);
    let answers = stage.ask(step.uri, step.requests);
    (step.mends)(stage);
    let failed = answers.iter().filter(|status| **status == step.status).count();
    let expected = before + u32::try_from(failed).map(f64::from).expect("a few requests");
    let counted = settle(expected, || stage.exporter.value(&series))?;
    let returned = settle(expected, || stage.prometheus.value(&series))?;
    Some(Outcome { step: *step, answers, before, expected, counted, returned })
}

/// Looks until the value is the expected one, or the deadline has passed, and gives the last one seen; `None` when told
/// to stop.
fn settle(expected: f64, look: impl Fn() -> Option<f64>) -> Option<Option<f64>> {
    let mut last = None;
    common::lab::poll(DEADLINE, || {
        last = look();
        (STOPPING.load(Ordering::SeqCst) || last == Some(expected)).then_some(())
    });
    (!STOPPING.load(Ordering::SeqCst)).then_some(last)
}

/// Ends when the demo is interrupted, terminated, or its terminal is closed.
fn watch_signals() -> JoinHandle<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    let [mut interrupt, mut terminate, mut hangup] = {
        let _context = runtime.enter();
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .map(|kind| signal(kind).expect("a handler"))
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        STOPPING.store(true, Ordering::SeqCst);
    })
}
