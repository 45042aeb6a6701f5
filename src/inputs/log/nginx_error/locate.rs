//! Where in a line nginx's own words begin.

use super::{head, prefix};
use crate::observation::{CivilTime, Level};

/// How a line was recognised as the beginning of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Located {
    /// Offset of the message in the line.
    pub(super) message: usize,
    /// Offset of nginx's head in the line: the length of a transport's prefix.
    pub(super) head: usize,
    pub(super) shape: Shape,
    pub(super) time: Option<CivilTime>,
    pub(super) level: Option<Level>,
    /// A connection number stands before the message, so fields usually follow it.
    pub(super) connection: bool,
}

/// What the beginning of an entry looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Date, time, level and process.
    Headed,
    /// Level and process, the date lost on the way.
    Undated,
    /// `nginx: [emerg] …`, on standard error.
    StartUp,
    /// The message alone.
    Headless,
}

/// Recognises a line that begins an entry at its first byte.
#[inline]
pub(super) fn at_start(line: &[u8]) -> Option<Located> {
    let head = head::read(line)?;
    Some(Located {
        message: head.length,
        head: 0,
        shape: Shape::Headed,
        time: head.time,
        level: head.level,
        connection: head.connection,
    })
}

/// Recognises a line that begins an entry, behind whatever a transport put there.
pub(super) fn anywhere(line: &[u8]) -> Option<Located> {
    at_start(line).or_else(|| behind_prefix(line))
}

#[cold]
fn behind_prefix(line: &[u8]) -> Option<Located> {
    if let Some(at) = prefix::find_head(line) {
        let head = head::read(line.get(at..)?)?;
        return Some(Located {
            message: at + head.length,
            head: at,
            shape: Shape::Headed,
            time: head.time,
            level: head.level,
            connection: head.connection,
        });
    }
    if let Some(at) = prefix::find_start_up(line) {
        let bracket = at + b"nginx: [".len();
        let (level, length) = head::read_level(line.get(bracket..)?)?;
        let level = Some(level);
        return Some(Located {
            message: bracket + length,
            head: at,
            shape: Shape::StartUp,
            time: None,
            level,
            connection: false,
        });
    }
    let at = prefix::find_undated_head(line)?;
    let head = head::read_undated(line.get(at..)?)?;
    Some(Located {
        message: at + head.length,
        head: at,
        shape: Shape::Undated,
        time: None,
        level: head.level,
        connection: head.connection,
    })
}
