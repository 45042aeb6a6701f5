//! FPM's status page, understood. Pure.
//!
//! The page is JSON by name only. FPM prints it with a format string, and what requests brought with them goes in as it
//! came: the URI and the query up to PHP 8.2.6, user, method and script always. A quote in a URL breaks it for a JSON
//! parser, and text made for it could add workers that are not there.
//!
//! So this reads what FPM's format string puts where (`fpm_status.c`, PHP 5.6 to 8.4), not JSON: of each worker only the
//! numbers and the state that stand **before** the first text of a request; then it looks for the very end that FPM puts
//! behind a worker (`"last request memory":N}` and what may follow it). Where the rest makes no sense, the numbers of the
//! pool stand and the list is left out. What remains possible with old versions is a forged worker in 512 bytes of query;
//! a process counts once, and a list with more workers than the pool can have is not believed.

use std::collections::BTreeSet;
use std::time::Duration;

use memchr::memmem;

use super::Failed;
use super::fastcgi::Response;
use crate::observation::fpm::{FpmStatus, ProcessCounts, StatusReason, WorkerState};

/// More than a request can have been running. FPM's subtraction underflows at times, to numbers beyond.
const LONGEST_BELIEVED: Duration = Duration::from_secs(366 * 86_400);

/// Understands what came back.
///
/// # Errors
/// [`Failed`] when it is no status page, and then what it is instead.
pub fn understand(response: &Response, max_children: Option<u32>) -> Result<FpmStatus, Failed> {
    let (code, body) = headers(&response.stdout);
    let detail = || {
        let said = if body.trim_ascii().is_empty() { &response.stderr } else { body };
        let said: String = String::from_utf8_lossy(said.get(..said.len().min(200)).unwrap_or_default()).into_owned();
        format!("{code}: {}", said.trim())
    };
    let reason = match (code, body.trim_ascii()) {
        (200, _) => {
            let status = page(body, max_children);
            return status.ok_or_else(|| Failed::new(StatusReason::BadReply, detail()));
        }
        (404, []) => StatusReason::Empty404,
        (404, _) => StatusReason::FileNotFound,
        (403, _) => StatusReason::AccessDenied,
        (503, _) => StatusReason::Busy,
        (500, said) if said.starts_with(b"Internal error") => StatusReason::InternalError,
        _ => StatusReason::BadReply,
    };
    Err(Failed::new(reason, detail()))
}

/// The status of a CGI response, 200 where it says none, and its body.
fn headers(stdout: &[u8]) -> (u16, &[u8]) {
    let mut code = 200;
    let mut rest = stdout;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, after) = rest.split_at(end);
        rest = after.strip_prefix(b"\n").unwrap_or(after);
        let line = line.trim_ascii_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_at(memchr::memchr(b':', line).unwrap_or(line.len()));
        if name.eq_ignore_ascii_case(b"status") {
            let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii_start();
            let digits = value.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
            code = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
        }
    }
    (code, rest)
}

/// The page; `None` when it is none, or ends before the numbers of the pool do.
fn page(body: &[u8], max_children: Option<u32>) -> Option<FpmStatus> {
    let mut cursor = Cursor(body);
    let mut status = FpmStatus::default();
    let mut known = 0;
    cursor.take(b'{')?;
    loop {
        let key = cursor.key()?;
        if key == b"processes" {
            let limit = status.total.unwrap_or(0).max(max_children.map_or(u64::MAX, u64::from));
            status.processes = workers(cursor).filter(|counts| counts.total() <= limit);
            break;
        }
        let number = cursor.value()?;
        let place = match key {
            b"start time" => &mut status.start_time,
            b"accepted conn" => &mut status.accepted,
            b"listen queue" => &mut status.listen_queue,
            b"max listen queue" => &mut status.max_listen_queue,
            b"listen queue len" => &mut status.listen_queue_limit,
            b"idle processes" => &mut status.idle,
            b"active processes" => &mut status.active,
            b"total processes" => &mut status.total,
            b"max active processes" => &mut status.max_active,
            b"max children reached" => &mut status.max_children_reached,
            b"slow requests" => &mut status.slow_requests,
            b"memory peak" => &mut status.memory_peak,
            _ => &mut None,
        };
        *place = number;
        known += u32::from(number.is_some());
        if cursor.take(b',').is_none() {
            cursor.take(b'}')?;
            break;
        }
    }
    if let Some(counts) = &status.processes {
        (status.idle, status.active, status.total) = (Some(counts.idle()), Some(counts.active()), Some(counts.total()));
    }
    (known > 0).then_some(status)
}

/// Adds up the list of workers; `None` where it makes no sense.
fn workers(mut cursor: Cursor<'_>) -> Option<ProcessCounts> {
    let mut counts = ProcessCounts::default();
    let mut pids = BTreeSet::new();
    cursor.take(b'[')?;
    if cursor.take(b']').is_some() {
        return Some(counts);
    }
    loop {
        let worker = cursor.worker()?;
        if pids.insert(worker.pid)
            && let Some(count) = counts.states.get_mut(worker.state.index())
        {
            *count += 1;
            let running = worker.running.filter(|_| worker.state != WorkerState::Idle);
            counts.longest_request = counts.longest_request.max(running);
        }
        cursor = cursor.after_worker()?;
        if cursor.take(b',').is_none() {
            cursor.take(b']')?;
            return Some(counts);
        }
    }
}

struct Worker {
    pid: u64,
    state: WorkerState,
    running: Option<Duration>,
}

/// The rest of a page.
#[derive(Clone, Copy)]
struct Cursor<'b>(&'b [u8]);

impl<'b> Cursor<'b> {
    /// Takes one byte behind blanks.
    fn take(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.trim_ascii_start().strip_prefix(&[byte])?;
        Some(())
    }

    /// Takes `"key":`.
    fn key(&mut self) -> Option<&'b [u8]> {
        self.take(b'"')?;
        let (key, rest) = self.0.split_at_checked(memchr::memchr(b'"', self.0)?)?;
        self.0 = rest;
        self.take(b'"')?;
        self.take(b':')?;
        Some(key)
    }

    /// Takes a value; its number if it is one that fits. A negative number is taken and is none.
    fn value(&mut self) -> Option<Option<u64>> {
        if self.take(b'"').is_some() {
            self.text()?;
            return Some(None);
        }
        self.0 = self.0.trim_ascii_start();
        let end = self.0.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'.'))?;
        let (number, rest) = self.0.split_at_checked(end).filter(|_| end > 0)?;
        self.0 = rest;
        Some(std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()))
    }

    /// Takes the rest of a text that FPM wrote itself: it ends with the first quote behind which it can.
    fn text(&mut self) -> Option<&'b [u8]> {
        let text = self.0;
        let end = memchr::memchr_iter(b'"', text).find(|end| {
            let after = text.get(end + 1..).unwrap_or_default().trim_ascii_start();
            matches!(after.first(), Some(b',' | b'}'))
        })?;
        let (text, rest) = text.split_at_checked(end)?;
        self.0 = rest;
        self.take(b'"')?;
        Some(text)
    }

    /// Takes the part of a worker that FPM wrote itself.
    fn worker(&mut self) -> Option<Worker> {
        self.take(b'{')?;
        let (mut pid, mut state, mut running) = (None, None, None);
        loop {
            match self.key()? {
                b"request method" => break,
                b"state" => {
                    self.take(b'"')?;
                    state = Some(named(self.text()?));
                }
                b"pid" => pid = self.value()?,
                b"request duration" => running = self.value()?.map(Duration::from_micros),
                _ => {
                    self.value()?;
                }
            }
            self.take(b',')?;
        }
        Some(Worker { pid: pid?, state: state?, running: running.filter(|time| *time <= LONGEST_BELIEVED) })
    }

    /// Steps over what requests brought, to what follows the worker.
    fn after_worker(self) -> Option<Self> {
        const LAST: &[u8] = br#""last request memory":"#;
        memmem::find_iter(self.0, LAST).find_map(|at| {
            let mut cursor = Self(self.0.get(at + LAST.len()..)?);
            cursor.value()??;
            cursor.take(b'}')?;
            let mut next = cursor;
            let follows = if next.take(b',').is_some() {
                next.take(b'{').and_then(|()| next.key()).is_some_and(|key| key == b"pid")
            } else {
                next.take(b']').is_some()
            };
            follows.then_some(cursor)
        })
    }
}

/// `fpm_request_get_stage_name`; "information" lost its s in PHP 7.4.
fn named(state: &[u8]) -> WorkerState {
    match state {
        b"Idle" => WorkerState::Idle,
        b"Reading headers" => WorkerState::ReadingHeaders,
        b"Getting request informations" | b"Getting request information" => WorkerState::GettingInformation,
        b"Running" => WorkerState::Running,
        b"Ending" => WorkerState::Ending,
        b"Finishing" => WorkerState::Finishing,
        _ => WorkerState::Other,
    }
}

#[cfg(test)]
mod tests;
