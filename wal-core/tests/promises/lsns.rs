//! There is a highest LSN: none above it is given, and higher ones that the format allows can be read.

use wal_core::{Error, FsyncPolicy, Lsn, Record};
use wal_format::{EncodedRecord, GroupWriter, InBatch, LinkBody, Offset, UnixMillis};
use wal_io::fault::Image;

use super::hostile::{header, survive_image};
use crate::common::trace::segment;
use crate::common::{Machine, SMALL};

/// A log whose first LSN is in a name, and nothing else.
fn begins_at(first: u64) -> Machine {
    let mut image = Image::new();
    image.insert("lock", b"".to_vec());
    image.insert(&format!("{first:020}.first"), b"".to_vec());
    Machine::holding(&image, FsyncPolicy::Always).segments_of(SMALL)
}

#[test]
fn no_lsn_is_given_above_the_highest_one() {
    const HIGHEST: u64 = 1 << 63;
    let refused = |outcome: wal_core::Result<()>, next: u64| match outcome {
        Err(Error::NoMoreLsns { next: is, limit }) => {
            assert_eq!((is.get(), limit.get()), (next, HIGHEST));
        }
        other => panic!("{other:?}"),
    };
    for left in [0, 1, 2, 5, 700] {
        let first = HIGHEST - left + 1;
        let machine = begins_at(first);
        let wal = machine.open();
        assert_eq!(wal.last_lsn().get(), first - 1);
        let batch = |count| (0..count).map(|_| Record::data("x")).collect::<Vec<_>>();
        // A batch for which there are too few is refused as a whole.
        if left < 10 {
            refused(wal.append_batch(&batch(left + 1)).map(drop), first);
        }
        for lsn in first..=HIGHEST {
            let position = wal.append(&Record::data("x")).expect("appended");
            assert_eq!(position.lsn.get(), lsn);
        }
        refused(wal.append(&Record::data("x")).map(drop), HIGHEST + 1);
        refused(
            wal.durable().append(&Record::data("x")).map(drop),
            HIGHEST + 1,
        );
        refused(wal.append_batch(&batch(1)).map(drop), HIGHEST + 1);
        let prepared = Record::data("x");
        let prepared = wal.prepare(&prepared).expect("prepared");
        refused(wal.try_append(&prepared).map(drop), HIGHEST + 1);
        wal.sync().expect("synced");
        assert_eq!(wal.last_lsn().get(), HIGHEST);
        drop(wal);
        let wal = machine.open();
        let lsns = wal.read_from(Lsn::ZERO).expect("a reader");
        let lsns = lsns.map(|step| step.expect("read").1.lsn.get());
        assert!(lsns.eq(first..=HIGHEST));
        refused(wal.append(&Record::data("x")).map(drop), HIGHEST + 1);
        // It can be truncated at both ends; then there are LSNs again.
        if left > 0 {
            wal.truncate_after(Lsn::new(HIGHEST - 1))
                .expect("truncated");
            let position = wal.append(&Record::data("x")).expect("appended");
            assert_eq!(position.lsn.get(), HIGHEST);
        }
        wal.truncate_before(Lsn::new(HIGHEST + 1))
            .expect("truncated");
        assert_eq!(wal.first_lsn().get(), HIGHEST + 1);
        refused(wal.append(&Record::data("x")).map(drop), HIGHEST + 1);
        wal.close().expect("closed");
    }
}

#[test]
fn lsns_near_the_end_of_64_bits_are_read_and_none_is_given_twice() {
    for first in [(1 << 63) + 2, u64::MAX - 2, u64::MAX - 1] {
        let machine = begins_at(first);
        let wal = machine.open();
        assert_eq!(wal.first_lsn().get(), first);
        for _ in 0..3 {
            let outcome = wal.append(&Record::data("x"));
            assert!(
                matches!(outcome, Err(Error::NoMoreLsns { .. })),
                "{outcome:?}"
            );
        }
        assert_eq!(wal.read_from(Lsn::ZERO).expect("a reader").count(), 0);
        assert_eq!(wal.stats().last_lsn.get(), first - 1);
        wal.close().expect("closed");
        let look = machine.look().expect("opened");
        assert_eq!(look.read_from(Lsn::ZERO).expect("a reader").count(), 0);
    }
    // Records up to the highest LSN of the format.
    let first = u64::MAX - 3;
    let header = header();
    let mut groups = GroupWriter::new(header.frame(), 0);
    groups.reset(
        header.frame(),
        Offset::new(wal_format::HEADER_LEN),
        0,
        Lsn::new(first),
    );
    groups.link(
        &LinkBody::first(Lsn::new(first), wal_format::History::NONE),
        Lsn::ZERO,
    );
    for _ in 0..3 {
        let record = Record::data("x");
        let record = EncodedRecord::new(
            (&record).into(),
            InBatch::Last,
            UnixMillis::new(0),
            header.record_limit,
        );
        groups.push(&record.expect("encoded"));
    }
    groups.close_group(Lsn::ZERO);
    groups.stamp(Lsn::new(first + 2));
    let mut bytes = header.encode();
    bytes.extend_from_slice(groups.bytes());
    let mut image = Image::new();
    image.insert("lock", b"".to_vec());
    image.insert(&segment(1), bytes);
    survive_image(&image, "the highest LSNs");
    let machine = Machine::holding(&image, FsyncPolicy::Always);
    for wal in [machine.look().expect("opened"), machine.open()] {
        let lsns = wal.read_from(Lsn::ZERO).expect("a reader");
        let lsns = lsns.map(|step| step.expect("read").1.lsn.get());
        assert!(lsns.eq(first..=first + 2));
        assert_eq!(wal.last_lsn().get(), u64::MAX - 1);
        assert_eq!(wal.recovery_report().records(), 3);
        let outcome = wal.append(&Record::data("x"));
        let refused = matches!(outcome, Err(Error::NoMoreLsns { .. } | Error::ReadOnly));
        assert!(refused, "{outcome:?}");
        let beyond = wal.read_from(Lsn::new(u64::MAX)).map(Iterator::count);
        assert!(matches!(beyond, Ok(0)), "{beyond:?}");
    }
}
