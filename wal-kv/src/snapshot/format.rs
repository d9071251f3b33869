//! The parts of a snapshot, each with one function that encodes and one that decodes.

use wal_core::{Compression, UnixMillis};
use wal_format::crc32;

use crate::config::MAX_KEY;
use crate::index::Version;

pub(super) const MAGIC: [u8; 8] = *b"WALKVSNP";
pub(super) const END_MAGIC: [u8; 8] = *b"WALKVEND";
/// The version that this build writes, and the only one that it reads.
pub(crate) const VERSION: u32 = 1;
pub(super) const HEADER: usize = 36;
pub(super) const BLOCK_HEAD: usize = 20;
pub(super) const TAIL: usize = 44;
/// A block is closed when it has this many raw bytes.
pub(super) const BLOCK: usize = 128 << 10;
/// The longest block: one pair of the longest record, and what goes before it.
pub(super) const LONGEST_BLOCK: u64 = (4 << 30) - 1;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

/// Ties a checksum to its place.
pub(super) fn masked(checksum: u32, lsn: u64, offset: u64) -> u32 {
    let place = lsn
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(offset.wrapping_mul(0xC2B2_AE3D_27D4_EB4F));
    checksum ^ ((place ^ (place >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

/// What a snapshot is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) lsn: u64,
    pub(super) time: UnixMillis,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.lsn.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.time.get().to_le_bytes());
        let checksum = masked(crc32(&bytes[..32]), self.lsn, 0);
        bytes[32..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEADER]) -> Result<Self, String> {
        if bytes[..8] != MAGIC {
            return Err("it does not begin as a snapshot does".into());
        }
        let header = Self {
            version: u32_at(bytes, 8),
            lsn: u64_at(bytes, 16),
            time: UnixMillis::new(u64_at(bytes, 24)),
        };
        if u32_at(bytes, 32) != masked(crc32(&bytes[..32]), header.lsn, 0) {
            return Err("its header does not verify".into());
        }
        Ok(header)
    }
}

/// The head of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHead {
    pub(super) stored: u32,
    pub(super) raw: u32,
    pub(super) pairs: u32,
    pub(super) compression: Compression,
}

impl BlockHead {
    /// The head with the checksum over itself and `stored`.
    pub(super) fn encode(&self, lsn: u64, offset: u64, stored: &[u8]) -> [u8; BLOCK_HEAD] {
        let mut bytes = [0; BLOCK_HEAD];
        bytes[..4].copy_from_slice(&self.stored.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.raw.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.pairs.to_le_bytes());
        bytes[12..16].copy_from_slice(&(self.compression as u32).to_le_bytes());
        let checksum = checksum_of(&bytes[..16], stored, lsn, offset);
        bytes[16..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `bytes` is a whole block.
    pub(super) fn decode(bytes: &[u8], lsn: u64, offset: u64) -> Result<Self, String> {
        let at = |what: &str| format!("the block at offset {offset}: {what}");
        if bytes.len() < BLOCK_HEAD {
            return Err(at("it is too short"));
        }
        let (head, stored) = bytes.split_at(BLOCK_HEAD);
        if u32_at(head, 16) != checksum_of(&head[..16], stored, lsn, offset) {
            return Err(at("it does not verify"));
        }
        let compression = match u32_at(head, 12) {
            0 => Compression::None,
            1 => Compression::Lz4,
            2 => Compression::Zstd,
            other => return Err(at(&format!("compression {other} is not known"))),
        };
        let head = Self {
            stored: u32_at(head, 0),
            raw: u32_at(head, 4),
            pairs: u32_at(head, 8),
            compression,
        };
        if head.stored as usize != stored.len() {
            return Err(at("its length is not what it says"));
        }
        Ok(head)
    }
}

/// One checksum over two parts, without putting them together.
fn checksum_of(head: &[u8], body: &[u8], lsn: u64, offset: u64) -> u32 {
    let body = crc32(body);
    let mut both = [0; 64];
    let len = head.len();
    both[..len].copy_from_slice(head);
    both[len..len + 4].copy_from_slice(&body.to_le_bytes());
    masked(crc32(&both[..len + 4]), lsn, offset)
}

/// What the end of a snapshot says of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) blocks: u64,
    pub(super) pairs: u64,
    pub(super) raw: u64,
    pub(super) time: UnixMillis,
}

impl Tail {
    /// `index` are the encoded offsets before it, `offset` is where they begin.
    pub(super) fn encode(&self, lsn: u64, offset: u64, index: &[u8]) -> [u8; TAIL] {
        let mut bytes = [0; TAIL];
        bytes[..8].copy_from_slice(&self.blocks.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.pairs.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.raw.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.time.get().to_le_bytes());
        let checksum = checksum_of(&bytes[..32], index, lsn, offset);
        bytes[32..36].copy_from_slice(&checksum.to_le_bytes());
        bytes[36..].copy_from_slice(&END_MAGIC);
        bytes
    }

    /// What it says, before it is verified.
    pub(super) fn peek(bytes: &[u8; TAIL]) -> Result<Self, String> {
        if bytes[36..] != END_MAGIC {
            return Err("it does not end as a snapshot does: it was not finished".into());
        }
        Ok(Self {
            blocks: u64_at(bytes, 0),
            pairs: u64_at(bytes, 8),
            raw: u64_at(bytes, 16),
            time: UnixMillis::new(u64_at(bytes, 24)),
        })
    }

    /// Whether index and tail verify.
    pub(super) fn verify(
        bytes: &[u8; TAIL],
        lsn: u64,
        offset: u64,
        index: &[u8],
    ) -> Result<(), String> {
        if u32_at(bytes, 32) == checksum_of(&bytes[..32], index, lsn, offset) {
            Ok(())
        } else {
            Err("its index does not verify".into())
        }
    }
}

/// The offsets of an encoded index.
pub(super) fn offsets(index: &[u8]) -> Vec<u64> {
    index
        .chunks_exact(8)
        .map(|eight| u64_at(eight, 0))
        .collect()
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

const HAS_EXPIRY: u8 = 1;

/// Appends a pair to a raw block.
pub(super) fn put_pair(
    out: &mut Vec<u8>,
    lsn: u64,
    key: &[u8],
    value: &[u8],
    expires_at: Option<UnixMillis>,
) {
    put_varint(out, key.len() as u64);
    put_varint(out, value.len() as u64);
    put_varint(out, lsn);
    match expires_at {
        None => out.push(0),
        Some(at) => {
            out.push(HAS_EXPIRY);
            out.extend_from_slice(&at.get().to_le_bytes());
        }
    }
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// Takes the next pair from a raw block; `None` if the bytes are none.
pub(super) fn take_pair(bytes: &mut &[u8], scratch: &mut Vec<u8>) -> Option<Version> {
    let key = usize::try_from(take_varint(bytes)?).ok()?;
    let value = usize::try_from(take_varint(bytes)?).ok()?;
    let lsn = take_varint(bytes)?;
    let (flags, rest) = bytes.split_first()?;
    *bytes = rest;
    let expires_at = match *flags {
        0 => None,
        HAS_EXPIRY => {
            let (at, rest) = bytes.split_first_chunk::<8>()?;
            *bytes = rest;
            Some(UnixMillis::new(u64::from_le_bytes(*at)))
        }
        _ => return None,
    };
    if key > MAX_KEY {
        return None;
    }
    let (key, rest) = bytes.split_at_checked(key)?;
    let (value, rest) = rest.split_at_checked(value)?;
    *bytes = rest;
    Some(Version::put(scratch, lsn, key, value, expires_at))
}
