//! The page's tables of peers and pools: those that are down first.

use std::fmt::{self, Display, Write};

use super::Escaped;
use crate::state::{Peer, Pool, Snapshot};

/// Rows of each table.
const ROWS: usize = 50;

/// What is not known.
const UNKNOWN: &str = "–";

pub(super) fn write_peers(page: &mut String, snapshot: &Snapshot) -> fmt::Result {
    if snapshot.known.peers.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "<h2>Upstream peers</h2>\n<table>\n<tr><th>Upstream</th><th>Peer</th><th>Probe</th><th>Listening</th>\
         <th>Queue</th><th>Connections</th></tr>"
    )?;
    let mut peers: Vec<_> = snapshot.peers().collect();
    peers.sort_by_key(|peer| peer.is_up() != Some(false));
    for peer in peers.iter().take(ROWS) {
        let labels = &peer.known.labels;
        write!(page, "<tr><td>{}</td><td>{}</td><td>", Escaped(&labels.upstream), Escaped(&labels.peer))?;
        write_probe(page, peer)?;
        let listener = peer.listener;
        let queue = listener.and_then(|listener| listener.queue);
        writeln!(
            page,
            "</td><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            Known(listener.map(|listener| listener.listening)),
            OfMost(queue.map(|queue| queue.waiting), queue.and_then(|queue| queue.limit)),
            Known(listener.map(|listener| listener.busy()))
        )?;
    }
    write_end(page, snapshot.known.peers.len())
}

pub(super) fn write_pools(page: &mut String, snapshot: &Snapshot) -> fmt::Result {
    if snapshot.known.pools.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "<h2>PHP-FPM pools</h2>\n<table>\n<tr><th>Pool</th><th>Busy workers</th><th>Queue</th><th>Status page</th></tr>"
    )?;
    let mut pools: Vec<_> = snapshot.pools().collect();
    pools.sort_by_key(|pool| pool.is_up() != Some(false));
    for pool in pools.iter().take(ROWS) {
        write!(
            page,
            "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td>",
            Escaped(&pool.known.pool),
            OfMost(pool.busy(), pool.known.max_children.map(u64::from)),
            OfMost(pool.waiting(), pool.waiting_limit())
        )?;
        write_status(page, *pool)?;
        writeln!(page, "</td></tr>")?;
    }
    write_end(page, snapshot.known.pools.len())
}

fn write_probe(page: &mut String, peer: &Peer<'_>) -> fmt::Result {
    match peer.probe.map(|probe| &probe.up) {
        None => page.write_str(UNKNOWN),
        Some(Ok(())) => page.write_str("up"),
        Some(Err(failure)) => write_failure(page, failure.reason.is_skip(), failure.reason, &[&failure.detail]),
    }
}

fn write_status(page: &mut String, pool: Pool<'_>) -> fmt::Result {
    match pool.page.map(|reading| &reading.outcome) {
        None => page.write_str(UNKNOWN),
        Some(Ok(_)) => page.write_str("up"),
        Some(Err(failure)) => {
            write_failure(page, failure.reason.is_skip(), failure.reason, &[&failure.detail, &failure.hint])
        }
    }
}

/// A skip is no failure: nothing was asked, and nothing is known to be down.
fn write_failure(page: &mut String, is_skip: bool, reason: impl Display, words: &[&str]) -> fmt::Result {
    if is_skip {
        write!(page, "not asked: {reason}")?;
    } else {
        write!(page, "<span class=\"down\">down: {reason}</span>")?;
    }
    words.iter().filter(|words| !words.is_empty()).try_for_each(|words| write!(page, "<br>{}", Escaped(words)))
}

fn write_end(page: &mut String, all: usize) -> fmt::Result {
    writeln!(page, "</table>")?;
    if all > ROWS {
        writeln!(page, "<p>The first {ROWS} of {all}.</p>")?;
    }
    Ok(())
}

struct Known<T>(Option<T>);

impl<T: Display> Display for Known<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str(UNKNOWN),
        }
    }
}

/// A number and the most it can be: `3 / 4`.
struct OfMost(Option<u64>, Option<u64>);

impl Display for OfMost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(None, None) => f.write_str(UNKNOWN),
            Self(number, None) => Known(number).fmt(f),
            Self(number, most) => write!(f, "{} / {}", Known(number), Known(most)),
        }
    }
}
