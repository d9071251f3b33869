//! Snapshots: all pairs at one LSN, in a file of checksummed, compressed blocks.
//!
//! ```text
//! file    = header block* index tail
//! header  = magic[8] version u32, reserved u32, lsn u64, time u64, checksum u32          36 bytes
//! block   = stored-length u32, raw-length u32, pairs u32, compression u32, checksum u32, stored
//! index   = (offset of a block u64)*
//! tail    = blocks u64, pairs u64, raw bytes u64, time u64, checksum u32, magic[8]       44 bytes
//! raw     = (key-length varint, value-length varint, lsn varint, flags u8, expiry u64?, key, value)*
//! ```
//!
//! Numbers are little-endian. A checksum is a CRC-32 over all that the part has before it (the block's: its head and the stored bytes;
//! the tail's: the index and the tail's head), masked with the snapshot's LSN and the offset of the part, so that bytes of another
//! place or another snapshot do not verify. The time is the highest that the store's clock has shown.
//!
//! `writer.rs` writes one block by block, `reader.rs` verifies and reads it on many threads. Deliberately absent: names, renames, and
//! which snapshot is to be used (`store/`).

mod format;
mod reader;
mod writer;

pub(crate) use format::VERSION;
pub(crate) use reader::{Reader, Unusable};
pub(crate) use writer::{SnapshotWriter, WrittenSnapshot};
