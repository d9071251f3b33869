//! Verifying and reading a snapshot. No length is believed before it is bounded by the length of the file.

use std::io;

use wal_core::{Compression, UnixMillis};
use wal_io::{StorageFile, StorageFileExt as _};

use super::format::{
    BLOCK_HEAD, BlockHead, HEADER, Header, LONGEST_BLOCK, TAIL, Tail, VERSION, offsets, take_pair,
};
use crate::index::Version;
use crate::sync::{Arc, AtomicBool, Ordering, in_parallel};

/// Why a snapshot cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// It was not finished, or has been damaged since.
    Damaged(String),
    /// A version that this build does not know.
    Version(u32),
    /// It could not be read.
    Io(io::Error),
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it is shorter than it was".into()),
            _ => Self::Io(error),
        }
    }
}

impl From<String> for Unusable {
    fn from(what: String) -> Self {
        Self::Damaged(what)
    }
}

/// A snapshot whose header and index have been verified.
#[derive(Debug)]
pub(crate) struct Reader {
    file: Arc<dyn StorageFile>,
    header: Header,
    tail: Tail,
    /// Where each block begins, and where the last one ends.
    offsets: Vec<u64>,
    len: u64,
}

impl Reader {
    /// Opens the snapshot of the state at `lsn`.
    pub(crate) fn open(file: Arc<dyn StorageFile>, lsn: u64) -> Result<Self, Unusable> {
        let len = file.len()?;
        if len < (HEADER + TAIL) as u64 {
            return Err(Unusable::Damaged("it was not finished".into()));
        }
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0)?;
        let header = Header::decode(&header)?;
        if header.version != VERSION {
            return Err(Unusable::Version(header.version));
        }
        if header.lsn != lsn {
            return Err(Unusable::Damaged(format!("it is of LSN {}", header.lsn)));
        }
        let mut encoded = [0; TAIL];
        file.read_exact_at(&mut encoded, len - TAIL as u64)?;
        let tail = Tail::peek(&encoded)?;
        let room = len - (HEADER + TAIL) as u64;
        // Each block has a head and an entry of the index.
        if tail.blocks > room / (BLOCK_HEAD as u64 + 8) {
            return Err(Unusable::Damaged("its index is longer than it".into()));
        }
        let start = len - TAIL as u64 - tail.blocks * 8;
        let mut index = vec![0; tail.blocks as usize * 8];
        file.read_exact_at(&mut index, start)?;
        Tail::verify(&encoded, lsn, start, &index)?;
        let mut offsets = offsets(&index);
        offsets.push(start);
        let ordered = offsets.first() == Some(&(HEADER as u64))
            && offsets.windows(2).all(|two| {
                two[1].checked_sub(two[0]).is_some_and(|len| {
                    len >= BLOCK_HEAD as u64 && len <= LONGEST_BLOCK + BLOCK_HEAD as u64
                })
            });
        if !ordered {
            return Err(Unusable::Damaged("its index is not in order".into()));
        }
        Ok(Self {
            file,
            header,
            tail,
            offsets,
            len,
        })
    }

    /// The highest time that the clock had shown.
    pub(crate) fn time(&self) -> UnixMillis {
        self.header.time.max(self.tail.time)
    }

    /// Pairs that it should hold; not verified, but bounded by its length.
    pub(crate) fn pairs(&self) -> u64 {
        self.tail.pairs
    }

    /// Bytes of the pairs before compression.
    pub(crate) fn raw(&self) -> u64 {
        self.tail.raw
    }

    /// Length of the file in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Verifies all blocks, and calls `put` with the pairs of each, in any order, on the given number of threads. What `put`
    /// returns comes back in the order of the blocks. `done` is told of bytes that have been read.
    pub(crate) fn read<T: Send>(
        &self,
        threads: usize,
        put: impl Fn(Vec<Version>) -> T + Sync,
        done: impl Fn(u64) + Sync,
    ) -> Result<Vec<T>, Unusable> {
        let failed = AtomicBool::new(false);
        let blocks = in_parallel(threads, self.offsets.len() - 1, |at| {
            if failed.load(Ordering::Relaxed) {
                return None;
            }
            let versions = self.block(at);
            if versions.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            done(self.offsets[at + 1] - self.offsets[at]);
            Some(versions.map(|versions| (versions.len() as u64, put(versions))))
        });
        let mut pairs = 0;
        let mut out = Vec::with_capacity(blocks.len());
        for block in blocks.into_iter().flatten() {
            let (count, result) = block?;
            pairs += count;
            out.push(result);
        }
        if pairs != self.tail.pairs {
            return Err(Unusable::Damaged(format!(
                "it has {pairs} pairs, and not {}",
                self.tail.pairs
            )));
        }
        Ok(out)
    }

    fn block(&self, at: usize) -> Result<Vec<Version>, Unusable> {
        let (offset, end) = (self.offsets[at], self.offsets[at + 1]);
        let damaged =
            |what: &str| Unusable::Damaged(format!("the block at offset {offset}: {what}"));
        let mut bytes = vec![0; (end - offset) as usize];
        self.file.read_exact_at(&mut bytes, offset)?;
        let head = BlockHead::decode(&bytes, self.header.lsn, offset)?;
        let stored = &bytes[BLOCK_HEAD..];
        let decompressed;
        let mut raw = match head.compression {
            Compression::None if head.raw == head.stored => stored,
            compression => {
                decompressed = wal_format::decompress(compression, stored, head.raw as usize)
                    .map_err(|error| damaged(&error.to_string()))?;
                decompressed.as_slice()
            }
        };
        // A pair has four bytes at least.
        if u64::from(head.pairs) > raw.len() as u64 / 4 {
            return Err(damaged("it has more pairs than bytes"));
        }
        let mut versions: Vec<Version> = Vec::with_capacity(head.pairs as usize);
        let mut scratch = Vec::new();
        for _ in 0..head.pairs {
            let Some(version) = take_pair(&mut raw, &mut scratch) else {
                return Err(damaged("a pair in it cannot be read"));
            };
            if versions
                .last()
                .is_some_and(|last| last.key() >= version.key())
            {
                return Err(damaged("its keys are not in order"));
            }
            versions.push(version);
        }
        if !raw.is_empty() {
            return Err(damaged("it has bytes behind its pairs"));
        }
        Ok(versions)
    }
}
