//! A log to replay: a file, gzip or plain, or standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

/// Bytes of a compressed file read at a time.
const COMPRESSED_BUFFER: usize = 128 * 1024;

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    #[error("{}: cannot be opened: {error}; name a log that exists and that you may read", path.display())]
    Open { path: PathBuf, error: io::Error },
    #[error("{}: is a directory; name the logs in it, for example {}/*.log", path.display(), path.display())]
    Directory { path: PathBuf },
    #[error("{}: cannot be read: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{}: broken gzip data: {error}; what came before it was counted", path.display())]
    Gzip { path: PathBuf, error: io::Error },
}

/// An open log.
pub(super) struct Input {
    path: PathBuf,
    size: Option<u64>,
    consumed: Arc<AtomicU64>,
    reader: Reader,
}

enum Reader {
    File(Counted<File>),
    Stream(Box<dyn Read>),
    Gzip(Box<MultiGzDecoder<Box<dyn BufRead>>>),
}

impl Input {
    /// Opens `path`; `-` is standard input. What it holds is told from its first bytes, not from its name.
    pub(super) fn open(path: &Path) -> Result<Self, InputError> {
        let consumed = Arc::new(AtomicU64::new(0));
        let failed = |error| InputError::Open { path: path.to_path_buf(), error };
        if path == Path::new("-") {
            let counted = Counted { inner: io::stdin(), consumed: Arc::clone(&consumed) };
            let reader = by_content(BufReader::with_capacity(COMPRESSED_BUFFER, counted)).map_err(failed)?;
            return Ok(Self { path: path.to_path_buf(), size: None, consumed, reader });
        }
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(InputError::Directory { path: path.to_path_buf() });
        }
        let counted = Counted { inner: file, consumed: Arc::clone(&consumed) };
        let size = metadata.is_file().then_some(metadata.len());
        let reader = if size.is_some() && !is_gzip_file(&counted.inner).map_err(failed)? {
            Reader::File(counted)
        } else {
            by_content(BufReader::with_capacity(COMPRESSED_BUFFER, counted)).map_err(failed)?
        };
        Ok(Self { path: path.to_path_buf(), size, consumed, reader })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Size of the file as it lies on disk.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// Bytes of it that were read, compressed ones if it is compressed.
    pub(super) fn consumed(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }

    /// Names what failed.
    pub(super) fn failure(&self, error: io::Error) -> InputError {
        let path = self.path.clone();
        match self.reader {
            Reader::Gzip(_) => InputError::Gzip { path, error },
            Reader::File(_) | Reader::Stream(_) => InputError::Read { path, error },
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.reader {
            Reader::File(file) => file.read(buffer),
            Reader::Stream(stream) => stream.read(buffer),
            Reader::Gzip(gzip) => gzip.read(buffer),
        }
    }
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

fn is_gzip_file(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let mut magic = [0; 2];
    Ok(file.read_at(&mut magic, 0)? == 2 && magic == GZIP_MAGIC)
}

fn by_content(mut stream: impl BufRead + 'static) -> io::Result<Reader> {
    if stream.fill_buf()?.starts_with(&GZIP_MAGIC) {
        return Ok(Reader::Gzip(Box::new(MultiGzDecoder::new(Box::new(stream)))));
    }
    Ok(Reader::Stream(Box::new(stream)))
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    consumed: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.consumed.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}
