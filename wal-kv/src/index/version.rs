//! One version of one key: the bytes of key and value in one allocation, behind a counted pointer.
//!
//! The pointer has the length beside the address, not behind it: a read then knows all that it fetches, and the processor fetches
//! it at once. With the length in the allocation a `get` takes nearly twice as long where memory is far.
//! Deliberately absent: which version is shown to whom (`shard.rs`).

use std::fmt;

use bytes::Bytes;
use triomphe::{Arc, HeaderSlice};
use wal_core::UnixMillis;

use super::heap::allocated;

/// Values up to this many bytes are copied out; longer ones are shared. A copy of a small value costs less than the counter that
/// a shared one has to touch, and does not keep the key alive.
const COPIED: usize = 512;

/// Bytes of a version before its key: the counter and the header.
const HEAD: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The key is followed by the value.
    Put,
    /// The key is followed by eight bytes of expiry and the value.
    Expiring,
    /// The key has no value from this LSN on.
    Tombstone,
}

#[derive(Clone, Copy, Debug)]
struct VersionHead {
    lsn: u64,
    key_len: u32,
    kind: Kind,
}

/// What a write made of a key. Clones share it.
#[derive(Clone)]
pub(crate) struct Version(Arc<HeaderSlice<VersionHead, [u8]>>);

impl Version {
    /// `scratch` is where the bytes are put together; it holds nothing of worth.
    pub(crate) fn put(
        scratch: &mut Vec<u8>,
        lsn: u64,
        key: &[u8],
        value: &[u8],
        expires_at: Option<UnixMillis>,
    ) -> Self {
        scratch.clear();
        scratch.extend_from_slice(key);
        let kind = match expires_at {
            Some(at) => {
                scratch.extend_from_slice(&at.get().to_le_bytes());
                Kind::Expiring
            }
            None => Kind::Put,
        };
        scratch.extend_from_slice(value);
        let version = Self::of(lsn, key.len(), kind, scratch);
        // A large value is not held twice for longer than this.
        scratch.shrink_to(64 << 10);
        version
    }

    /// The same with another expiry.
    pub(crate) fn expiring_at(&self, scratch: &mut Vec<u8>, at: UnixMillis) -> Self {
        Self::put(scratch, self.lsn(), self.key(), self.value(), Some(at))
    }

    pub(crate) fn tombstone(lsn: u64, key: &[u8]) -> Self {
        Self::of(lsn, key.len(), Kind::Tombstone, key)
    }

    fn of(lsn: u64, key_len: usize, kind: Kind, bytes: &[u8]) -> Self {
        let key_len = u32::try_from(key_len).expect("keys are bounded before they get here");
        let header = VersionHead { lsn, key_len, kind };
        Self(Arc::from_header_and_slice(header, bytes))
    }

    #[inline]
    fn header(&self) -> VersionHead {
        self.0.header
    }

    #[inline]
    pub(crate) fn lsn(&self) -> u64 {
        self.0.header.lsn
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        &self.0.slice[..self.header().key_len as usize]
    }

    #[inline]
    pub(crate) fn has_key(&self, key: &[u8]) -> bool {
        self.header().key_len as usize == key.len() && self.0.slice[..key.len()] == *key
    }

    #[inline]
    pub(crate) fn is_tombstone(&self) -> bool {
        self.header().kind == Kind::Tombstone
    }

    #[inline]
    fn value_start(&self, key_len: usize) -> usize {
        key_len
            + if self.header().kind == Kind::Expiring {
                8
            } else {
                0
            }
    }

    /// The value; empty for a tombstone.
    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        &self.0.slice[self.value_start(self.header().key_len as usize)..]
    }

    #[inline]
    pub(crate) fn expires_at(&self) -> Option<UnixMillis> {
        let header = self.header();
        if header.kind != Kind::Expiring {
            return None;
        }
        let at = self.0.slice[header.key_len as usize..].first_chunk::<8>()?;
        Some(UnixMillis::new(u64::from_le_bytes(*at)))
    }

    #[inline]
    pub(crate) fn expires(&self) -> bool {
        self.header().kind == Kind::Expiring
    }

    /// Whether it is a value that has not expired. The clock is asked only for one that expires.
    #[inline]
    pub(crate) fn is_live(&self, now: impl FnOnce() -> UnixMillis) -> bool {
        match self.header().kind {
            Kind::Put => true,
            Kind::Expiring => self.expires_at().is_some_and(|at| at > now()),
            Kind::Tombstone => false,
        }
    }

    /// The value for a caller to keep.
    #[inline]
    pub(crate) fn value_bytes(&self) -> Bytes {
        self.value_bytes_of(self.header().key_len as usize)
    }

    /// The same where the length of the key is known: the processor then does not wait for the header before it fetches the value.
    #[inline]
    pub(crate) fn value_bytes_of(&self, key_len: usize) -> Bytes {
        let value = &self.0.slice[self.value_start(key_len)..];
        if value.len() <= COPIED {
            Bytes::copy_from_slice(value)
        } else {
            Bytes::from_owner(SharedValue(self.clone()))
        }
    }

    /// Reads a byte of each cache line of a short value.
    #[inline]
    pub(crate) fn touch(&self) -> u8 {
        let slice = &self.0.slice;
        let lines = slice.iter().step_by(64).take(4);
        lines
            .chain(slice.last())
            .fold(0, |touched, byte| touched ^ byte)
    }

    /// Bytes of memory that it takes.
    pub(crate) fn cost(&self) -> u64 {
        allocated(HEAD + self.0.slice.len())
    }

    /// Bytes of key and value.
    pub(crate) fn payload(&self) -> u64 {
        self.0.slice.len() as u64
    }
}

/// Bytes of memory that a version takes.
pub(crate) fn cost(key: &[u8], value: &[u8], expires: bool) -> u64 {
    let expiry = if expires { 8 } else { 0 };
    allocated(HEAD + key.len() + expiry + value.len())
}

struct SharedValue(Version);

impl AsRef<[u8]> for SharedValue {
    fn as_ref(&self) -> &[u8] {
        self.0.value()
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys and values are the user's own.
        f.debug_struct("Version")
            .field("lsn", &self.lsn())
            .field("kind", &self.header().kind)
            .finish_non_exhaustive()
    }
}
