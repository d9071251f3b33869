//! A place in the log is found by its time, whatever the clocks did: nothing that was appended at or after the time comes before
//! it, and at most one group before that is older.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use wal_core::blocking::Wal;
use wal_core::{FormatVersion, FsyncPolicy, Lsn, RecordRef, RepairMode, UnixMillis};
use wal_format::{FileName, GroupKind, SegmentView, index_step};
use wal_io::fault::OperationKind;

use crate::common::trace::Trace;
use crate::common::{Machine, SMALL, WINDOW, append, large};

const SECOND: Duration = Duration::from_secs(1);
/// What the wall clock shows at first.
const START: u64 = 1_800_000_000_000;

/// What happens to a log.
#[derive(Clone, Debug)]
enum Step {
    /// Batches of these numbers of records of this length.
    Append(Vec<usize>, usize),
    Flush,
    Sync,
    /// Milliseconds pass, with a look at what the background has to do.
    Pass(u64),
    Suspend(u64),
    MoveWall(i64),
    /// The wall clock is elsewhere for a moment, in which a record is appended.
    Blink(i64),
    /// Time passes with records in it, so that a clock that was set is followed.
    Settle,
    TruncateBefore(u64),
    TruncateAfter(u64),
    Close,
    Kill,
    Crash(u64),
    /// From the next session on.
    Upgrade,
    Ask,
}

fn step() -> impl Strategy<Value = Step> {
    let jump = prop_oneof![-5_000..5_000_i64, -100_000_000..100_000_000_i64];
    prop_oneof![
        8 => (prop::collection::vec(1..4_usize, 1..5), 0..3000_usize)
            .prop_map(|(batches, len)| Step::Append(batches, len)),
        3 => Just(Step::Flush),
        1 => Just(Step::Sync),
        4 => prop_oneof![0..20_u64, 0..20_000_u64, 0..10_000_000_u64].prop_map(Step::Pass),
        1 => (0..100_000_000_u64).prop_map(Step::Suspend),
        2 => jump.clone().prop_map(Step::MoveWall),
        1 => jump.prop_map(Step::Blink),
        2 => Just(Step::Settle),
        1 => any::<u64>().prop_map(Step::TruncateBefore),
        1 => any::<u64>().prop_map(Step::TruncateAfter),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::Crash),
        1 => Just(Step::Upgrade),
        3 => Just(Step::Ask),
    ]
}

/// A log, and when each of its records was appended.
struct World {
    machine: Machine,
    version: FormatVersion,
    /// The version of this session.
    current: FormatVersion,
    wal: Option<Wal>,
    /// By the log's clock; 0 in version 1.
    times: BTreeMap<u64, u64>,
}

fn open(machine: &Machine, version: FormatVersion) -> Wal {
    let builder = Wal::builder("log")
        .storage(std::sync::Arc::new(machine.storage.clone()))
        .config(machine.config.clone())
        .clock(std::sync::Arc::new(machine.clock.clone()))
        .format_version(version)
        .small_segments()
        .driven_by_caller();
    builder.open().expect("the log opens")
}

impl World {
    fn new(policy: FsyncPolicy, segment: u64) -> Self {
        let machine = Machine::new(policy).segments_of(segment);
        machine.clock.set_wall(UnixMillis::new(START));
        let version = match std::env::var("WAL_TEST_FORMAT").as_deref() {
            Ok("2") => FormatVersion::V2,
            _ => FormatVersion::V1,
        };
        Self {
            wal: Some(open(&machine, version)),
            machine,
            version,
            current: version,
            times: BTreeMap::new(),
        }
    }

    fn wal(&self) -> &Wal {
        self.wal.as_ref().expect("it is open")
    }

    fn reopen(&mut self) {
        self.wal = None;
        self.wal = Some(open(&self.machine, self.version));
        self.current = self.version;
        let (first, last) = (self.wal().first_lsn(), self.wal().last_lsn());
        self.times
            .retain(|lsn, _| (first.get()..=last.get()).contains(lsn));
        let all = self.times.len() as u64;
        assert_eq!(all, last.get() + 1 - first.get(), "each has a time");
    }

    fn append(&mut self, count: usize, len: usize) {
        let next = self.wal().last_lsn().get() + 1;
        let values: Vec<_> = (0..count as u64).map(|n| large(next + n, len)).collect();
        let batch: Vec<_> = values.iter().map(|value| RecordRef::data(value)).collect();
        let before = self.wal().log_time().expect("a clock");
        self.wal().append_batch(&batch).expect("appended");
        // The clock may be corrected in an append: before it enters the log, or after it.
        let after = self.wal().log_time().expect("a clock");
        let time = if self.current < FormatVersion::V2 {
            0
        } else {
            before.min(after).get()
        };
        self.times
            .extend((next..).take(count).map(|lsn| (lsn, time)));
    }

    fn run(&mut self, step: &Step) {
        let (first, next) = (
            self.wal().first_lsn().get(),
            self.wal().last_lsn().get() + 1,
        );
        match step {
            Step::Append(batches, len) => {
                for count in batches {
                    self.append(*count, *len);
                }
            }
            Step::Flush => self.wal().flush().expect("flushed"),
            Step::Sync => self.wal().sync().expect("synced"),
            Step::Pass(millis) => self
                .machine
                .pass(self.wal(), Duration::from_millis(*millis)),
            Step::Suspend(millis) => self.machine.clock.suspend(Duration::from_millis(*millis)),
            Step::MoveWall(millis) => self.machine.clock.move_wall(*millis),
            Step::Blink(millis) => {
                self.machine.clock.move_wall(*millis);
                self.append(1, 10);
                self.wal().flush().expect("flushed");
                self.machine.clock.move_wall(-*millis);
            }
            Step::Settle => {
                for _ in 0..5 {
                    self.append(1, 100);
                    self.wal().flush().expect("flushed");
                    self.machine.pass(self.wal(), SECOND * 3);
                }
            }
            Step::TruncateBefore(at) => {
                let lsn = first + at % (next - first + 1);
                self.wal()
                    .truncate_before(Lsn::new(lsn))
                    .expect("truncated");
                self.times = self.times.split_off(&lsn);
            }
            Step::TruncateAfter(at) => {
                let lsn = first - 1 + at % (next - first + 1);
                if lsn > 0 || first == 1 {
                    self.wal().truncate_after(Lsn::new(lsn)).expect("truncated");
                    self.times.split_off(&(lsn + 1));
                }
            }
            Step::Close => {
                self.wal().close().expect("closed");
                self.reopen();
            }
            Step::Kill => {
                self.machine.kill();
                self.reopen();
            }
            Step::Crash(seed) => {
                self.machine.crash(*seed);
                self.reopen();
            }
            Step::Upgrade => self.version = FormatVersion::V2,
            Step::Ask => self.ask(),
        }
    }

    /// Times at which a lookup may go wrong.
    fn asked(&self) -> Vec<u64> {
        let mut asked = vec![0, 1, START, u64::MAX];
        for time in self.times.values().filter(|time| **time > 0) {
            asked.extend([time - 1, *time, time + 1]);
        }
        asked.sort_unstable();
        asked.dedup();
        asked
    }

    fn ask(&self) {
        // What is not with the operating system is found by the writer only.
        let writer = self.wal();
        for time in self.asked() {
            self.check_nothing_is_skipped(writer, time);
        }
        writer.flush().expect("flushed");
        let reader = self.machine.look().expect("opened");
        let groups = groups(&self.machine);
        for time in self.asked() {
            for wal in [writer, &reader] {
                let found = self.check_nothing_is_skipped(wal, time);
                self.check_start(&groups, time, found);
            }
        }
    }

    fn check_nothing_is_skipped(&self, wal: &Wal, time: u64) -> u64 {
        let found = wal.lsn_at(UnixMillis::new(time)).expect("found").get();
        let skipped = self
            .times
            .range(..found)
            .find(|(_, appended)| **appended >= time);
        assert_eq!(skipped, None, "lsn_at({time}) is {found}");
        assert!((wal.first_lsn().get()..=wal.last_lsn().get() + 1).contains(&found));
        found
    }

    /// It is the first LSN of the first group that was closed at or after the time, or of a group in the step before.
    fn check_start(&self, groups: &[Group], time: u64, found: u64) {
        let (first, next) = (
            self.wal().first_lsn().get(),
            self.wal().last_lsn().get() + 1,
        );
        let late = |group: &&Group| group.last >= first && (time == 0 || group.time >= time);
        let at = groups.iter().find(late);
        let Some(at) = at else {
            assert_eq!(found, next, "lsn_at({time})");
            return;
        };
        let close = |group: &&Group| {
            group.segment == at.segment && group.offset + index_step(group.capacity) > at.offset
        };
        let from = groups.iter().find(close).map_or(at.first, |it| it.first);
        let range = from.max(first)..=at.first.max(first);
        assert!(
            range.contains(&found),
            "lsn_at({time}) is {found}: {range:?}"
        );
    }
}

/// A group of records that the log has.
struct Group {
    segment: u64,
    capacity: u64,
    offset: u64,
    first: u64,
    last: u64,
    time: u64,
}

/// All of them, in the order of the log.
fn groups(machine: &Machine) -> Vec<Group> {
    let mut all: Vec<Group> = Vec::new();
    for (name, bytes) in machine.segments() {
        let FileName::Segment(id) = FileName::parse(&name) else {
            continue;
        };
        let view = SegmentView::parse(&bytes, id).expect("a header");
        for group in view.groups().map_while(Result::ok) {
            let header = group.header;
            if header.kind == GroupKind::Link {
                // What it holds replaces what an older one has from there on.
                all.retain(|before| before.first < header.first_lsn.get());
            }
            if header.kind == GroupKind::Records {
                all.push(Group {
                    segment: id.get(),
                    capacity: view.header().capacity,
                    offset: header.offset.get(),
                    first: header.first_lsn.get(),
                    last: header.end_lsn().get(),
                    time: header.time.get(),
                });
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_time_is_found_whatever_the_clocks_did(
        steps in prop::collection::vec(step(), 1..60),
        policy in prop_oneof![
            Just(FsyncPolicy::Always),
            Just(FsyncPolicy::Batch(WINDOW)),
            Just(FsyncPolicy::Os),
        ],
        segment in prop_oneof![Just(SMALL * 2), Just(64 << 10), Just(256 << 10)],
    ) {
        let mut world = World::new(policy, segment);
        for step in &steps {
            world.run(step);
        }
        world.ask();
        world.run(&Step::Close);
        world.ask();
    }
}

/// A closed log of version 2 in several segments, a group each 100 ms; half of them with records of many steps of the index.
fn hourly() -> (Machine, u64) {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(2 << 20);
    machine.clock.set_wall(UnixMillis::new(START));
    let wal = open(&machine, FormatVersion::V2);
    let mut lsn = 0;
    for group in 0..1200_u64 {
        for _ in 0..=group % 2 * 9 {
            lsn += 1;
            wal.append(RecordRef::data(&large(lsn, 900)))
                .expect("appended");
        }
        wal.flush().expect("flushed");
        machine.clock.advance(Duration::from_millis(100));
    }
    wal.close().expect("closed");
    (machine, lsn)
}

#[test]
fn a_lookup_reads_the_footers_once_and_then_a_page_and_the_groups_of_a_step() {
    let (machine, last) = hourly();
    for wal in [
        open(&machine, FormatVersion::V2),
        machine.look().expect("opened"),
    ] {
        let segments = wal.list_segments().expect("segments").len();
        assert!(segments > 3);
        wal.lsn_at(UnixMillis::new(u64::MAX)).expect("found");
        let (mut before, mut early) = (0, 0);
        let reads = || Trace::of(&machine.storage).count(OperationKind::Read);
        // A read-only handle looks where the log ends.
        machine.storage.record_operations();
        let _ = wal.last_lsn();
        let follows = reads();
        for millis in (0..121_000).step_by(137) {
            machine.storage.record_operations();
            let found = wal.lsn_at(UnixMillis::new(START + millis));
            let found = found.expect("found").get();
            assert!(reads() <= follows + 2, "at {millis} ms");
            // The group that was closed then, or the next one. At the start of a page it may be one in the step before.
            let group = millis.div_ceil(100);
            let expected: u64 = group.div_ceil(2) + group / 2 * 10 + 1;
            let expected = expected.min(last + 1);
            assert!(
                (expected.saturating_sub(5)..=expected).contains(&found),
                "at {millis} ms"
            );
            early += u64::from(found < expected);
            assert!(found >= before);
            before = found;
        }
        assert!(early <= 6, "{early} are early");
    }
}

#[test]
fn a_damaged_index_or_group_costs_a_longer_way_and_skips_nothing() {
    let (machine, _) = hourly();
    let wal = machine.look().expect("opened");
    let times = || {
        (0..121_000)
            .step_by(970)
            .map(|it| UnixMillis::new(START + it))
    };
    let found: Vec<_> = times()
        .map(|time| wal.lsn_at(time).expect("found"))
        .collect();
    let (name, bytes) = machine.segments().swap_remove(1);
    let FileName::Segment(id) = FileName::parse(&name) else {
        panic!("a segment");
    };
    let view = SegmentView::parse(&bytes, id).expect("a header");
    let groups: Vec<_> = view.groups().map(|group| group.expect("a group")).collect();
    let index = groups.iter().find(|it| it.header.kind == GroupKind::Index);
    let index = index.expect("an index").header.payload_offset().get();
    machine
        .storage
        .flip_bits(&name, (index + 100) * 8, 1)
        .expect("flipped");
    let wal = machine.look().expect("opened");
    let again = times().map(|time| wal.lsn_at(time).expect("found"));
    assert_eq!(again.collect::<Vec<_>>(), found);
    // The header of a group, too: after it there may be any time.
    let hit = groups[groups.len() / 2].header;
    machine
        .storage
        .flip_bits(&name, (hit.offset.get() + 20) * 8, 1)
        .expect("flipped");
    let wal = machine.look().expect("opened");
    let mut stopped = 0;
    for (time, found) in times().zip(found) {
        let again = wal.lsn_at(time).expect("found");
        assert!(again == found || again == hit.first_lsn && again < found);
        stopped += u64::from(again < found);
    }
    assert!(stopped > 0);
}

#[test]
fn records_whose_group_has_lost_its_header_are_not_skipped_after_a_repair() {
    let machine = Machine::new(FsyncPolicy::Os)
        .segments_of(8 << 20)
        .buffers_of(4 << 20);
    machine.clock.set_wall(UnixMillis::new(START));
    let wal = open(&machine, FormatVersion::V2);
    // The second group is longer than those that a repair writes.
    for (first, last) in [(1, 1), (2, 2500), (2501, 2501)] {
        let values: Vec<_> = (first..=last).map(|lsn| large(lsn, 1000)).collect();
        let batch: Vec<_> = values.iter().map(|value| RecordRef::data(value)).collect();
        wal.append_batch(&batch).expect("appended");
        wal.flush().expect("flushed");
        machine.clock.advance(SECOND);
    }
    wal.close().expect("closed");
    let (name, bytes) = machine.segments().swap_remove(0);
    let FileName::Segment(id) = FileName::parse(&name) else {
        panic!("a segment");
    };
    let view = SegmentView::parse(&bytes, id).expect("a header");
    let mut groups = view.groups().map(|group| group.expect("a group").header);
    let hit = groups.find(|it| it.record_count > 1).expect("a long group");
    machine
        .storage
        .flip_bits(&name, (hit.offset.get() + 20) * 8, 1)
        .expect("flipped");
    let storage = std::sync::Arc::new(machine.storage.clone());
    let report = wal_core::Offline::on(storage).repair(RepairMode::Apply);
    let gaps = report.expect("repaired").gaps;
    assert!(gaps.is_empty(), "no record is lost: {gaps:?}");
    let wal = open(&machine, FormatVersion::V2);
    let found = wal.lsn_at(hit.time).expect("found");
    assert!(found <= hit.first_lsn, "{found}");
}

#[test]
fn a_log_that_has_not_the_time_is_read_from_where_it_goes_on() {
    let machine = Machine::new(FsyncPolicy::Always);
    machine.clock.set_wall(UnixMillis::new(START));
    let wal = open(&machine, FormatVersion::V2);
    let at = |time| wal.lsn_at(UnixMillis::new(time)).expect("found").get();
    assert_eq!([at(0), at(START), at(u64::MAX)], [1, 1, 1]);
    append(&wal, 1..=3);
    assert_eq!([at(0), at(START), at(START + 1)], [1, 1, 4]);
    wal.truncate_before(Lsn::new(3)).expect("truncated");
    assert_eq!([at(0), at(START), at(START + 1)], [3, 3, 4]);
    let reader = machine.look().expect("opened");
    assert!(reader.log_time().is_err());
    assert_eq!(
        reader
            .lsn_at(UnixMillis::new(START + 1))
            .expect("found")
            .get(),
        4
    );
    machine.clock.advance(SECOND);
    append(&wal, 4..=4);
    // The handle follows the log.
    assert_eq!(
        reader
            .lsn_at(UnixMillis::new(START + 1))
            .expect("found")
            .get(),
        4
    );
    assert_eq!(
        reader
            .lsn_at(UnixMillis::new(START + 1001))
            .expect("found")
            .get(),
        5
    );
}
