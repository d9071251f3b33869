//! Any bytes behind a valid segment header as a log: opening and reading end, with records or with a typed error.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use wal_core::Lsn;
use wal_core::blocking::Wal;
use wal_format::{Alignment, Epoch, LogId, Origin, SegmentHeader, SegmentId};
use wal_io::FaultStorage;
use wal_io::fault::{FaultConfig, Image};

fuzz_target!(|data: &[u8]| {
    let header = SegmentHeader {
        log_id: LogId::from_bytes([7; 16]),
        segment_id: SegmentId::FIRST,
        epoch: Epoch::new(9),
        capacity: 1 << 20,
        record_limit: 1 << 16,
        node_id: 0,
        alignment: Alignment::Eight,
        allocated: 4096,
        origin: Origin::Spare,
    };
    let mut file = header.encode();
    file.extend_from_slice(data);
    let mut image = Image::new();
    image.insert("00000000000000000001.wal", file);
    let storage = FaultStorage::from_image(FaultConfig::default(), &image);
    let wal = Wal::builder("log")
        .storage(Arc::new(storage))
        .read_damaged()
        .open();
    let Ok(wal) = wal else { return };
    let Ok(reader) = wal.read_from(Lsn::ZERO) else {
        return;
    };
    reader.for_each(drop);
});
