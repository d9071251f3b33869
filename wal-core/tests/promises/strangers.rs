//! Files that are a log's, but not this log's: they are refused, and nothing is removed for them.

use wal_core::{Error, FsyncPolicy, Lsn, RecordRef};
use wal_io::FaultStorage;
use wal_io::fault::Image;

use crate::common::trace::segment;
use crate::common::{Machine, SMALL, append, large};

fn small() -> Machine {
    Machine::new(FsyncPolicy::Os).segments_of(SMALL)
}

/// Records of one size, told apart by `kind`.
fn append_large(wal: &wal_core::blocking::Wal, kind: u64, count: usize) {
    for _ in 0..count {
        let record = large(kind, 1000);
        wal.append(RecordRef::data(&record)).expect("appended");
    }
}

#[track_caller]
fn assert_refused(image: &Image) {
    let machine = Machine::holding(image, FsyncPolicy::Os).segments_of(SMALL);
    let before = machine.segments();
    match machine.try_open() {
        Err(Error::Corruption(_)) => {}
        other => panic!("expected Corruption, got {other:?}"),
    }
    assert_eq!(machine.segments(), before);
}

#[test]
fn a_segment_of_another_log_is_refused_and_nothing_is_removed() {
    let mut machine = small();
    let wal = machine.open();
    append(&wal, 1..=20);
    wal.close().expect("closed");
    let mut image = machine.storage.image();

    // A log of which one segment is left, with a higher number than all of the first log's: it needs nothing before it.
    machine.storage = FaultStorage::new();
    let other = machine.open();
    append_large(&other, 1, 40);
    other.truncate_before(Lsn::new(40)).expect("truncated");
    other.close().expect("closed");
    let (name, bytes) = machine.segments().pop().expect("a segment");
    assert!(image.get(&name).is_none(), "{name} is the first log's too");
    image.insert(&name, bytes);
    assert_refused(&image);
}

#[test]
fn a_segment_of_a_copy_that_went_its_own_way_is_not_taken_for_the_logs() {
    let mut machine = small();
    let wal = machine.open();
    append_large(&wal, 1, 3);
    wal.close().expect("closed");
    let fork = machine.storage.image();

    // Two copies of the directory, each with a second segment of its own, of the same length.
    let mut lives = [2, 3].map(|kind| {
        machine.storage = Machine::holding(&fork, FsyncPolicy::Os).storage;
        for _ in 0..2 {
            let wal = machine.open();
            append_large(&wal, kind, 3);
            wal.close().expect("closed");
        }
        machine.storage.image()
    });
    let stranger = lives[0].get(&segment(2)).expect("a segment").to_vec();
    assert_ne!(lives[1].get(&segment(2)), Some(&stranger[..]));
    assert_eq!(
        lives[1].get(&segment(2)).map(<[u8]>::len),
        Some(stranger.len())
    );
    lives[1].insert(&segment(2), stranger);
    assert_refused(&lives[1]);
}
