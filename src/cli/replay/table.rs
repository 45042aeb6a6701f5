//! The result of a replay as a table for people.

use std::io::{self, Write};

use super::summary::{Row, Summary};
use crate::observation::{CivilTime, Kind, Level};
use crate::text::Safe;

/// Longer names of upstreams are cut, so that a row stays a row.
const NAME: usize = 60;

pub(super) fn write(summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    let totals = &summary.totals;
    writeln!(
        out,
        "{} entries in {} lines, {} bytes, from {} to {}",
        totals.entries,
        totals.lines,
        totals.bytes,
        shown(totals.first),
        shown(totals.last)
    )?;
    let levels: Vec<String> = Level::ALL
        .iter()
        .zip(totals.levels)
        .filter(|(_, count)| *count > 0)
        .map(|(level, count)| format!("{level} {count}"))
        .collect();
    if !levels.is_empty() {
        writeln!(out, "{}", levels.join(", "))?;
    }
    if totals.unrecognised_lines > 0 {
        writeln!(out, "{} lines are not nginx's error log", totals.unrecognised_lines)?;
    }
    let rows = summary.rows();
    for (kind, title, named) in [
        (Kind::Upstream, "Failed attempts at upstreams", "UPSTREAM"),
        (Kind::Local, "Failures of nginx or its host", ""),
        (Kind::Php, "PHP messages", "PEER"),
        (Kind::Other, "Peers taken out of their group", "PEER"),
    ] {
        section(out, title, named, rows.iter().filter(|row| row.kind == kind))?;
    }
    if rows.is_empty() && totals.entries > 0 {
        writeln!(out, "\nNo entry is about a failing upstream.")?;
    }
    Ok(())
}

fn section<'a>(
    out: &mut dyn Write,
    title: &str,
    named: &str,
    rows: impl Iterator<Item = &'a Row> + Clone,
) -> io::Result<()> {
    let names: Vec<String> = rows.clone().map(|row| Safe::limited(&row.upstream, NAME).to_string()).collect();
    let Some(widest) = names.iter().map(|name| name.chars().count()).max() else { return Ok(()) };
    let name = widest.max(named.len());
    let class = rows.clone().map(|row| row.class.len()).max().unwrap_or(0).max("CLASS".len());
    writeln!(out, "\n{title}")?;
    writeln!(out, "{:>10}  {:<class$}  {named:<name$}  {:<19}  LAST", "COUNT", "CLASS", "FIRST")?;
    for (row, shown_name) in rows.zip(&names) {
        writeln!(
            out,
            "{:>10}  {:<class$}  {shown_name:<name$}  {:<19}  {}",
            row.count,
            row.class,
            shown(row.first),
            shown(row.last)
        )?;
    }
    Ok(())
}

fn shown(time: Option<CivilTime>) -> String {
    time.map_or_else(|| "?".to_owned(), |time| time.to_string())
}
