//! A file in memory, in chunks, so that reserved space costs nothing before it is written.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::{OpenMode, StorageFile};

const CHUNK: usize = 64 * 1024;
/// Longest file: the table of chunks stays below 16 MiB.
const MAX_LEN: u64 = 1 << 36;

/// What a file in memory is, under whatever name; handles share it.
#[derive(Debug, Default)]
pub(crate) struct FileContents {
    contents: RwLock<Contents>,
    /// Whether its name was removed.
    unlinked: AtomicBool,
}

impl FileContents {
    pub(crate) fn unlink(&self) {
        self.unlinked.store(true, Ordering::Release);
    }
}

/// `None` chunks are zeros. Bytes at and behind `len` in the last chunk are zeros.
#[derive(Debug, Default)]
struct Contents {
    chunks: Vec<Option<Box<[u8]>>>,
    len: u64,
}

impl Contents {
    fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let n = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        for (piece, at) in pieces(n, offset) {
            let (chunk, start) = place(at);
            let piece_len = piece.len();
            let target = &mut buf[piece];
            match &self.chunks[chunk] {
                Some(bytes) => target.copy_from_slice(&bytes[start..start + piece_len]),
                None => target.fill(0),
            }
        }
        n
    }

    fn write(&mut self, buf: &[u8], offset: u64) {
        if buf.is_empty() {
            return;
        }
        self.grow(offset + buf.len() as u64);
        for (piece, at) in pieces(buf.len(), offset) {
            let (chunk, start) = place(at);
            let bytes = self.chunks[chunk].get_or_insert_with(|| vec![0; CHUNK].into());
            bytes[start..start + piece.len()].copy_from_slice(&buf[piece]);
        }
    }

    fn grow(&mut self, len: u64) {
        if len > self.len {
            self.chunks
                .resize(len.div_ceil(CHUNK as u64) as usize, None);
            self.len = len;
        }
    }

    fn cut(&mut self, len: u64) {
        self.chunks.truncate(len.div_ceil(CHUNK as u64) as usize);
        let (_, rest) = place(len);
        if let Some(Some(last)) = self.chunks.last_mut()
            && rest != 0
        {
            last[rest..].fill(0);
        }
        self.len = len;
    }
}

/// The chunk of an offset, and the offset in it.
fn place(offset: u64) -> (usize, usize) {
    (
        (offset / CHUNK as u64) as usize,
        (offset % CHUNK as u64) as usize,
    )
}

/// Splits `n` bytes at `offset` at chunk boundaries: ranges of the buffer, offsets in the file.
fn pieces(n: usize, offset: u64) -> impl Iterator<Item = (std::ops::Range<usize>, u64)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == n {
            return None;
        }
        let at = offset + done as u64;
        let room = CHUNK - place(at).1;
        let piece = done..n.min(done + room);
        done = piece.end;
        Some((piece, at))
    })
}

/// An open handle.
#[derive(Debug)]
pub(crate) struct MemoryFile {
    bytes: Arc<FileContents>,
    mode: OpenMode,
}

impl MemoryFile {
    pub(crate) fn new(bytes: Arc<FileContents>, mode: OpenMode) -> Self {
        Self { bytes, mode }
    }

    /// Runs `action` on the contents, if this handle may write and `end` is a possible length.
    fn change(&self, end: Option<u64>, action: impl FnOnce(&mut Contents)) -> io::Result<()> {
        if self.mode == OpenMode::Read {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let end = end.ok_or(io::ErrorKind::InvalidInput)?;
        if end > MAX_LEN {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        action(
            &mut self
                .bytes
                .contents
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        );
        Ok(())
    }
}

impl StorageFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self
            .bytes
            .contents
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len)
    }

    fn links(&self) -> io::Result<Option<u64>> {
        let unlinked = self.bytes.unlinked.load(Ordering::Acquire);
        Ok(Some(u64::from(!unlinked)))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self
            .bytes
            .contents
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .read(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.change(offset.checked_add(buf.len() as u64), |contents| {
            contents.write(buf, offset);
        })?;
        Ok(buf.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let end = offset.checked_add(len);
        self.change(end, |contents| contents.grow(offset + len))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Some(len), |contents| {
            if len < contents.len {
                contents.cut(len);
            } else {
                contents.grow(len);
            }
        })
    }
}
