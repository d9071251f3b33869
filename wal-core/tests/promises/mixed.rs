//! A kept log with segments of both versions is opened, read and continued.

use std::path::Path;
use std::sync::Arc;

use wal_core::blocking::Wal;
use wal_core::{FsyncPolicy, Lsn, Result};
use wal_format::{FileName, SegmentView, Version};
use wal_io::fault::Image;

use crate::common::{Machine, read_all};

/// The kept log, in a directory of its own.
fn kept() -> Machine {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wal-format/tests/golden/mixed");
    let image = Image::read_from(golden).expect("the golden files");
    Machine::holding(&image, FsyncPolicy::Always)
}

/// Opens it without asking for a version.
fn open(machine: &Machine) -> Wal {
    let builder = Wal::builder("log")
        .storage(Arc::new(machine.storage.clone()))
        .config(machine.config.clone())
        .small_segments()
        .driven_by_caller();
    builder.open().expect("the log opens")
}

fn records(from: u64, to: u64) -> Vec<(u64, Vec<u8>)> {
    let record = |lsn| (lsn, format!("record {lsn}").into_bytes());
    (from..=to).map(record).collect()
}

#[test]
fn a_log_of_both_versions_is_read_verified_and_continued() {
    let machine = kept();
    let report = machine.verify().expect("verified");
    assert_eq!(report.damage().count(), 0);
    let wal = machine.look().expect("opened");
    assert_eq!(read_all(&wal).expect("read"), records(2, 12));
    let (first, last) = (wal.first_lsn().get(), wal.last_lsn().get());
    assert_eq!((first, last), (2, 12));
    let report = wal.recovery_report();
    assert_eq!((report.clean, report.segments), (true, 4));
    for lsn in 2..=12 {
        let mut reader = wal.read_from(Lsn::new(lsn)).expect("a reader");
        let found = reader.next_record().expect("read").expect("a record");
        assert_eq!(found.1.lsn.get(), lsn);
    }
    let cursors: Result<Vec<_>> = (1..=12).map(|lsn| wal.cursor(Lsn::new(lsn))).collect();
    let cursors = cursors.expect("cursors");
    drop(wal);

    let wal = open(&machine);
    for lsn in 13..=20 {
        let value = format!("record {lsn}").into_bytes();
        wal.append(wal_core::RecordRef::data(&value))
            .expect("appended");
    }
    for cursor in &cursors {
        wal.check_cursor(cursor).expect("valid");
    }
    wal.truncate_after(Lsn::new(15)).expect("truncated");
    wal.truncate_before(Lsn::new(4)).expect("truncated");
    wal.close().expect("closed");
    let wal = open(&machine);
    assert_eq!(read_all(&wal).expect("read"), records(4, 15));
    assert_eq!(machine.verify().expect("verified").damage().count(), 0);
    // It goes on in version 2 without being asked.
    let newest = machine.segments().pop().expect("a segment");
    let FileName::Segment(id) = FileName::parse(&newest.0) else {
        panic!("a segment");
    };
    let view = SegmentView::parse(&newest.1, id).expect("a header");
    assert_eq!(view.header().version, Version::V2);
}
