//! Segment size, record limit and padding of a log that is there hold for every opener that sets no others. Who wrote the log is
//! reported.

use std::sync::Arc;

use wal_core::blocking::Wal;
use wal_core::{Alignment, Builder, Error, Record, WalConfig};
use wal_format::SegmentHeader;
use wal_io::{MemoryStorage, OpenMode, Storage, StorageFileExt};

use crate::common::{SMALL, in_tested_version};

fn builder(storage: &MemoryStorage) -> Builder<Wal> {
    let builder = Wal::builder("log").storage(Arc::new(storage.clone()));
    in_tested_version(builder).small_segments()
}

fn config(max_segment_size: u64) -> WalConfig {
    WalConfig {
        max_segment_size,
        ..WalConfig::default()
    }
}

/// The header of the newest segment.
fn newest(storage: &MemoryStorage, wal: &Wal) -> SegmentHeader {
    let id = *wal.list_segments().expect("segments").last().expect("one");
    let name = wal_format::segment_name(id);
    let file = storage.open(&name, OpenMode::Read).expect("the segment");
    let mut bytes = vec![0; 4096];
    file.read_full_at(&mut bytes, 0).expect("read");
    SegmentHeader::decode(&bytes, id).expect("a header")
}

/// Appends to the log until it has a new segment, whose header is returned.
fn header_after(storage: &MemoryStorage, builder: Builder<Wal>) -> SegmentHeader {
    let wal = builder.open().expect("opened");
    wal.durable()
        .append(&Record::data(b"one"))
        .expect("appended");
    let header = newest(storage, &wal);
    wal.close().expect("closed");
    header
}

#[test]
fn a_log_keeps_its_segment_size_record_limit_and_padding() {
    let storage = MemoryStorage::new();
    let made = builder(&storage)
        .config(WalConfig {
            node_id: 3,
            ..config(SMALL)
        })
        .record_limit(700)
        .sector_padding(Alignment::Sector512);
    let first = header_after(&storage, made);
    for _ in 0..3 {
        let kept = header_after(&storage, builder(&storage));
        assert!(kept.segment_id > first.segment_id, "a new segment");
        assert_eq!(
            (
                kept.capacity,
                kept.record_limit,
                kept.alignment,
                kept.node_id
            ),
            (first.capacity, first.record_limit, first.alignment, 3)
        );
    }
    let chosen = builder(&storage).config(config(4 * SMALL)).keep_node_id();
    let larger = header_after(&storage, chosen);
    assert_eq!(
        (larger.capacity, larger.record_limit, larger.node_id),
        (4 * SMALL, 700, 3)
    );
    let again = builder(&storage).config(config(SMALL)).keep_segment_size();
    let again = header_after(
        &storage,
        again.record_limit(600).sector_padding(Alignment::Eight),
    );
    assert_eq!(
        (again.capacity, again.record_limit, again.node_id),
        (4 * SMALL, 600, 0)
    );
    assert_eq!(again.alignment, Alignment::Eight);
}

#[test]
fn a_record_limit_that_nobody_chose_follows_the_segment_size() {
    let storage = MemoryStorage::new();
    let small = header_after(&storage, builder(&storage).config(config(SMALL)));
    let large = header_after(&storage, builder(&storage).config(config(8 * SMALL)));
    assert!(large.record_limit > 7 * small.record_limit);
}

#[test]
fn a_killed_log_keeps_its_segment_size_too() {
    let storage = MemoryStorage::new();
    for _ in 0..4 {
        let wal = builder(&storage).config(config(SMALL)).keep_segment_size();
        let wal = wal.open().expect("opened");
        let record = Record::data(vec![7; 1000]);
        for _ in 0..9 {
            wal.durable().append(&record).expect("appended");
        }
        // Each life copies what the one before left, to a segment that may be larger.
        drop(wal);
    }
    assert_eq!(header_after(&storage, builder(&storage)).capacity, SMALL);
}

#[test]
fn a_record_limit_above_the_logs_segments_is_refused_and_changes_nothing() {
    let storage = MemoryStorage::new();
    let first = header_after(&storage, builder(&storage).config(config(SMALL)));
    let opened = builder(&storage).record_limit(2 * SMALL).open();
    match opened {
        Err(
            error @ Error::InvalidConfig {
                field: "record_limit",
                ..
            },
        ) => {
            assert!(
                error
                    .to_string()
                    .contains(&format!("segments of {SMALL} bytes"))
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        newest(
            &storage,
            &builder(&storage).read_only().open().expect("opened")
        ),
        first
    );
}

#[test]
fn a_log_opened_with_another_node_id_is_reported() {
    let storage = MemoryStorage::new();
    let node = |node_id| {
        let config = WalConfig {
            node_id,
            ..config(SMALL)
        };
        builder(&storage).config(config)
    };
    let others = |builder: Builder<Wal>| {
        let wal = builder.open().expect("opened");
        let others = wal.recovery_report().other_node_ids.clone();
        if builder_is_writer(&wal) {
            wal.durable()
                .append(&Record::data(b"one"))
                .expect("appended");
            wal.close().expect("closed");
        }
        others
    };
    assert_eq!(others(node(1)), [0; 0]);
    assert_eq!(others(node(1)), [0; 0]);
    assert_eq!(others(node(2)), [1]);
    assert_eq!(others(node(2)), [1]);
    assert_eq!(others(node(5)), [1, 2]);
    assert_eq!(others(node(1)), [2, 5]);
    // As it was written last.
    assert_eq!(others(builder(&storage).read_only()), [2, 5]);
    assert_eq!(others(builder(&storage)), [2, 5]);
}

fn builder_is_writer(wal: &Wal) -> bool {
    !matches!(wal.sync(), Err(Error::ReadOnly))
}
