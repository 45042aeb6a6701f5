//! A log of any size through a visitor, in constant memory.

use std::io::{self, Read};

use crate::inputs::log::More;
use crate::inputs::log::nginx_error::{Piece, Scanner};

/// Bytes held at a time. A larger buffer would leave the processor's cache before it is looked at.
const BUFFER: usize = 256 * 1024;

/// Who looks at a log.
pub(super) trait Visitor {
    /// The next piece of it.
    fn piece(&mut self, piece: &Piece<'_>) -> io::Result<()>;

    /// Everything that has come so far was shown; more may take its time.
    fn pause(&mut self) -> io::Result<()>;
}

/// Why a log was not shown to its end.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It could not be read. What came before was shown.
    Reading(io::Error),
    /// The visitor failed.
    Visiting(io::Error),
}

/// Shows all of `log` to `visitor`.
pub(super) fn pump(log: &mut impl Read, visitor: &mut impl Visitor) -> Result<(), Stopped> {
    let mut buffer = vec![0; BUFFER];
    let mut scanner = Scanner::default();
    let mut held = 0;
    loop {
        let free = buffer.get_mut(held..).unwrap_or_default();
        let (more, failure) = match log.read(free) {
            Ok(0) => (More::Never, None),
            Ok(length) => {
                held += length;
                (More::Expected, None)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => (More::Never, Some(error)),
        };
        let mut visited = Ok(());
        let taken = scanner.scan(buffer.get(..held).unwrap_or_default(), more, |piece| {
            if visited.is_ok() {
                visited = visitor.piece(&piece);
            }
        });
        visited.and_then(|()| visitor.pause()).map_err(Stopped::Visiting)?;
        let taken = taken.min(held);
        buffer.copy_within(taken..held, 0);
        held -= taken;
        if let Some(error) = failure {
            return Err(Stopped::Reading(error));
        }
        if more == More::Never {
            return Ok(());
        }
    }
}
