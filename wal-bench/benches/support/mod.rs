//! What the benches share: a short measurement, records, a log in memory.

#![allow(dead_code, reason = "each bench uses its part")]

use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use wal_bench::Payloads;
use wal_core::{FsyncPolicy, RecordRef, WalConfig, blocking::Wal};
use wal_format::{
    Alignment, EncodedRecord, Epoch, Frame, GroupWriter, InBatch, LogId, Lsn, Offset, Salt,
    UnixMillis, Version,
};
use wal_io::MemoryStorage;

/// Bytes of the records.
pub(crate) const SIZES: [u64; 3] = [100, 1024, 10_240];

/// Most bytes of a record.
pub(crate) const LIMIT: u64 = 1 << 20;

/// Less than two seconds for each bench.
pub(crate) fn quick() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
}

/// The identity of the groups' file.
pub(crate) fn frame() -> Frame {
    let epoch = Epoch::new(9);
    Frame {
        version: Version::V1,
        salt: Salt::new(LogId::from_bytes([7; 16]), epoch),
        epoch,
        alignment: Alignment::Eight,
    }
}

/// Where the groups begin in their file.
pub(crate) const START: Offset = Offset::new(4224);

/// A writer that begins there, with a buffer that need not grow.
pub(crate) fn writer() -> GroupWriter {
    let mut groups = GroupWriter::new(frame(), 2 << 20);
    begin(&mut groups);
    groups
}

/// From the beginning again.
pub(crate) fn begin(groups: &mut GroupWriter) {
    groups.reset(frame(), START, 0, Lsn::FIRST);
}

/// One record as it is stored.
pub(crate) fn encoded(payload: &[u8]) -> EncodedRecord<'_> {
    let record = EncodedRecord::new(
        RecordRef::data(payload),
        InBatch::Last,
        UnixMillis::new(0),
        LIMIT,
    );
    record.expect("below the limit")
}

/// A group of `count` records of `len` bytes.
pub(crate) fn group(payloads: &Payloads, count: u64, len: u64) -> GroupWriter {
    let mut groups = writer();
    for n in 0..count {
        groups.push(&encoded(payloads.get(n, len)));
    }
    groups.close_group(Lsn::ZERO);
    groups
}

/// A new log in memory, whose first segment is there.
pub(crate) fn log(policy: FsyncPolicy) -> Wal {
    let config = WalConfig {
        fsync_policy: policy,
        max_segment_size: 16 << 20,
        ..WalConfig::default()
    };
    let storage = Arc::new(MemoryStorage::new());
    let wal = Wal::builder("memory")
        .storage(storage)
        .config(config)
        .open();
    let wal = wal.expect("memory has room");
    wal.append(RecordRef::data(b"the first")).expect("appended");
    wal.sync().expect("synced");
    wal
}
