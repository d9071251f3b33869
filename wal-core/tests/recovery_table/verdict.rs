//! A verdict, and the check of it.

use std::ops::RangeInclusive;

use wal_core::blocking::Wal;
use wal_core::{Error, FsyncPolicy, Lsn, RecordRef, RecoveryReport, Tail};
use wal_io::fault::Image;

use crate::common::trace::segment;
use crate::common::{Machine, SMALL, is_segment, payload, read_all};

/// What opening a directory must come to.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) clean: bool,
    /// The records; those above `proven` are unproven.
    pub(super) records: RangeInclusive<u64>,
    pub(super) proven: u64,
    /// How many of them are copied by a writer.
    pub(super) unproven: u64,
    /// Segments of the log before a writer does anything.
    pub(super) segments: usize,
    /// Segment and bytes of a torn tail.
    pub(super) torn: Option<(u64, RangeInclusive<u64>)>,
    /// Files that a writer removes.
    pub(super) leftovers: Vec<String>,
}

/// A log that was closed.
pub(super) fn clean(records: RangeInclusive<u64>, segments: usize) -> Verdict {
    Verdict {
        clean: true,
        proven: *records.end(),
        records,
        unproven: 0,
        segments,
        torn: None,
        leftovers: Vec::new(),
    }
}

/// A log that was not.
pub(super) fn unclean(records: RangeInclusive<u64>, proven: u64, segments: usize) -> Verdict {
    Verdict {
        clean: false,
        unproven: records.end() - proven,
        proven,
        ..clean(records, segments)
    }
}

impl Verdict {
    pub(super) fn torn(mut self, segment: u64, bytes: RangeInclusive<u64>) -> Self {
        self.torn = Some((segment, bytes));
        self
    }

    pub(super) fn leftovers(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.leftovers = names.into_iter().collect();
        self
    }

    #[track_caller]
    fn check_report(&self, report: &RecoveryReport) {
        assert_eq!(report.clean, self.clean, "clean: {report:?}");
        let found = (report.first_lsn.get(), report.last_lsn.get());
        assert_eq!(
            found,
            (*self.records.start(), *self.records.end()),
            "records: {report:?}"
        );
        assert_eq!(report.proven_lsn.get(), self.proven, "proven: {report:?}");
        assert_eq!(report.unproven, self.unproven, "unproven: {report:?}");
        assert_eq!(report.segments, self.segments, "segments: {report:?}");
        assert_eq!(report.leftovers, self.leftovers, "leftovers: {report:?}");
        match (&self.torn, report.tail) {
            (None, Tail::Whole) => assert_eq!(report.left_behind_bytes(), 0),
            (
                Some((id, range)),
                Tail::Torn {
                    segment_id, bytes, ..
                },
            ) => {
                assert_eq!(segment_id.get(), *id, "torn: {report:?}");
                assert!(range.contains(&bytes), "torn: {report:?}");
                assert_eq!(report.left_behind_bytes(), bytes);
            }
            (expected, found) => panic!("torn: {expected:?}, found {found:?}"),
        }
        if self.proven > 0 {
            let word = format!("LSN {}", self.proven);
            assert!(report.witness.contains(&word), "{}", report.witness);
        }
    }

    #[track_caller]
    fn check_records(&self, wal: &Wal) {
        let found: Vec<_> = read_all(wal).expect("the log is read");
        let expected: Vec<_> = self.records.clone().map(|n| (n, payload(n))).collect();
        assert_eq!(found, expected);
    }
}

/// The directory as a machine.
pub(super) fn machine(image: &Image) -> Machine {
    Machine::holding(image, FsyncPolicy::Os).segments_of(SMALL)
}

/// Opens the directory in each way, and what a writer makes of it once more.
#[track_caller]
pub(super) fn check(image: &Image, verdict: &Verdict) {
    let mut machine = machine(image);
    let before = machine.storage.image();
    let look = machine.look().expect("it is looked at");
    verdict.check_report(look.recovery_report());
    verdict.check_records(&look);
    let verified = machine.verify().expect("verified");
    let damage: Vec<_> = verified.damage().collect();
    assert!(damage.is_empty(), "{damage:?}");
    assert!(
        machine.storage.image() == before,
        "a look changed something"
    );

    let wal = machine.open();
    verdict.check_report(wal.recovery_report());
    verdict.check_records(&wal);
    assert_eq!(wal.durable_lsn().get(), *verdict.records.end());
    let names = machine.file_names();
    for name in &verdict.leftovers {
        assert!(!names.contains(name), "{name} is still there");
    }
    for (name, bytes) in before.files().filter(|(name, _)| is_segment(name)) {
        if let Some(now) = machine.storage.image().get(name) {
            assert!(now == bytes, "{name} was modified");
        }
    }

    // What it has shown is durable, and what follows it too.
    machine.lose_unsynced();
    let wal = machine.open();
    verdict.check_records(&wal);
    let last = *verdict.records.end();
    for n in last + 1..=last + 3 {
        let position = wal.append(RecordRef::data(&payload(n))).expect("appended");
        assert_eq!(position.lsn, Lsn::new(n));
    }
    wal.close().expect("closed");
    let wal = machine.open();
    assert!(wal.recovery_report().clean);
    let longer = Verdict {
        records: *verdict.records.start()..=last + 3,
        ..verdict.clone()
    };
    longer.check_records(&wal);
}

/// The directory is refused as corrupt, at this segment and LSN; nothing is changed. The error.
#[track_caller]
pub(super) fn check_corrupt(image: &Image, id: u64, first_lsn: u64) -> wal_core::Corruption {
    let machine = machine(image);
    let verified = machine.verify().expect("verified");
    assert!(verified.damage().count() > 0, "verify does not see it");
    let mut found = None;
    for opened in [machine.look(), machine.try_open()] {
        match opened {
            Err(Error::Corruption(damage)) => {
                assert_eq!(damage.segment_id.get(), id, "{damage}");
                assert_eq!(damage.first_lsn.get(), first_lsn, "{damage}");
                found = Some(*damage);
            }
            other => panic!("expected corruption of {}, got {other:?}", segment(id)),
        }
    }
    assert_eq!(
        machine.segments(),
        Machine::holding(image, FsyncPolicy::Os).segments()
    );
    found.expect("it was refused")
}

/// The directory is refused because this segment is missing.
#[track_caller]
pub(super) fn check_missing(image: &Image, id: u64) {
    let machine = machine(image);
    let verified = machine.verify().expect("verified");
    assert!(verified.damage().count() > 0, "verify does not see it");
    for opened in [machine.look(), machine.try_open()] {
        match opened {
            Err(Error::MissingSegment { segment_id, .. }) => assert_eq!(segment_id.get(), id),
            other => panic!("expected that {} is missing, got {other:?}", segment(id)),
        }
    }
}
