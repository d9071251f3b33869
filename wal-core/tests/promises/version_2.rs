//! What segments of version 2 say beside records: who appended what, and when. And how a log comes to that version.

use std::collections::BTreeMap;
use std::time::Duration;

use wal_core::blocking::Wal;
use wal_core::{Alignment, Builder, Error, FormatVersion, FsyncPolicy, Lsn, Record, RecordRef};
use wal_format::{
    ControlBody, FileName, GroupBody, GroupFacts, GroupHeader, GroupKind, History, SegmentView,
    UnixMillis,
};

use crate::common::{Machine, SMALL, append, assert_holds, payload, policies};

const SECOND: Duration = Duration::from_secs(1);

fn builder(machine: &Machine) -> Builder<Wal> {
    Wal::builder("log")
        .storage(std::sync::Arc::new(machine.storage.clone()))
        .config(machine.config.clone())
        .clock(std::sync::Arc::new(machine.clock.clone()))
        .small_segments()
        .driven_by_caller()
}

fn open(machine: &Machine) -> Wal {
    let builder = builder(machine).format_version(FormatVersion::V2);
    builder.open().expect("the log opens")
}

/// A group of the log's segments.
struct Group {
    kind: GroupKind,
    first: u64,
    time: u64,
    set_back: bool,
    /// Of its records.
    histories: Vec<History>,
    facts: Option<GroupFacts>,
}

/// The groups of each segment, in the order of the files.
fn groups(machine: &Machine) -> Vec<(FormatVersion, Vec<Group>)> {
    let mut all = Vec::new();
    for (name, bytes) in machine.segments() {
        let FileName::Segment(id) = FileName::parse(&name) else {
            continue;
        };
        let view = SegmentView::parse(&bytes, id).expect("a header");
        let mut groups = Vec::new();
        let mut histories = None;
        for group in view.groups().map_while(Result::ok) {
            let (header, records) = (group.header, group.records());
            let facts = match group.body {
                GroupBody::Facts(facts) => Some(facts),
                GroupBody::Records(_) => None,
            };
            if let Some(GroupFacts::Link(link)) = &facts {
                histories = Some(link.histories.clone());
            }
            let of = |lsn| {
                histories
                    .as_ref()
                    .map_or(History::NONE, |known| known.of(lsn))
            };
            groups.push(Group {
                kind: header.kind,
                first: header.first_lsn.get(),
                time: header.time.get(),
                set_back: header.set_back,
                histories: records.map(|(lsn, ..)| of(lsn)).collect(),
                facts,
            });
        }
        all.push((view.header().version, groups));
    }
    all
}

/// The history of each record, by its LSN; the newest segment decides.
fn histories(machine: &Machine) -> BTreeMap<u64, History> {
    let mut found = BTreeMap::new();
    for (_, groups) in groups(machine) {
        for group in groups {
            found.extend((group.first..).zip(group.histories));
        }
    }
    found
}

#[test]
fn a_log_of_version_1_goes_on_in_version_2_and_not_back() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        let one = || builder(&machine).format_version(FormatVersion::V1);
        let wal = one().open().expect("opened");
        append(&wal, 1..=100);
        wal.close().expect("closed");
        // It keeps its version until it is asked for another.
        let wal = builder(&machine).open().expect("opened");
        append(&wal, 101..=110);
        wal.close().expect("closed");
        let version_1 = |found: &[(FormatVersion, Vec<Group>)]| {
            found
                .iter()
                .filter(|(version, _)| *version == FormatVersion::V1)
                .count()
        };
        let before = groups(&machine);
        assert_eq!(version_1(&before), before.len());
        let wal = open(&machine);
        append(&wal, 111..=200);
        wal.close().expect("closed");
        let after = groups(&machine);
        assert_eq!(version_1(&after), before.len());
        assert!(after.len() > before.len() + 1);
        // There is no way back, and none needs to be asked for.
        let Err(Error::InvalidConfig { field, .. }) = one().open() else {
            panic!("version 1 is refused");
        };
        assert_eq!(field, "format_version");
        let wal = builder(&machine).open().expect("opened");
        append(&wal, 201..=210);
        assert_holds(&wal, 1..=210);
        wal.close().expect("closed");
        let damage = machine.verify().expect("verified").damage().count();
        assert_eq!(damage, 0);
        // Records of version 1 have no history.
        let known = histories(&machine);
        assert!((1..=110).all(|lsn| known[&lsn] == History::NONE));
        assert!((111..=210).all(|lsn| known[&lsn] != History::NONE));
    }
}

#[test]
fn the_record_limit_of_a_log_does_not_shrink_with_its_version() {
    for padding in [
        Alignment::Eight,
        Alignment::Sector512,
        Alignment::Sector4096,
    ] {
        let mut machine = Machine::new(FsyncPolicy::Always).segments_of(64 << 10);
        machine.padding = Some(padding);
        let at = |builder: Builder<Wal>| builder.sector_padding(padding).open().expect("opened");
        let wal = at(builder(&machine).format_version(FormatVersion::V1));
        let Err(Error::TooLarge { limit, .. }) = wal.append(&Record::data(vec![0; 100_000])) else {
            panic!("it is too large");
        };
        let largest = Record::data(vec![7; limit as usize]);
        wal.append(&largest).expect("appended");
        wal.close().expect("closed");
        let wal = at(builder(&machine).format_version(FormatVersion::V2));
        wal.append(&largest).expect("it still fits");
        wal.append(&largest).expect("in each segment");
        assert_eq!(wal.read_from(Lsn::ZERO).expect("a reader").count(), 3);
    }
}

#[test]
fn each_session_has_a_history_and_records_keep_the_one_in_which_they_were_appended() {
    for policy in policies() {
        let mut machine = Machine::new(policy).segments_of(SMALL);
        let mut known: BTreeMap<u64, History> = BTreeMap::new();
        let mut sessions = Vec::new();
        for life in 0..30_u64 {
            let wal = open(&machine);
            let last = wal.last_lsn().get();
            // What was lost in a crash is not known any more.
            known.split_off(&(last + 1));
            append(&wal, last + 1..=last + 20 + life % 7);
            if life % 5 == 2 {
                wal.truncate_after(Lsn::new(last + 9)).expect("truncated");
                known.extend(
                    histories(&machine)
                        .into_iter()
                        .filter(|(lsn, _)| *lsn <= last + 9),
                );
                append(&wal, last + 10..=last + 15);
            }
            if life % 3 == 0 {
                wal.sync().expect("synced");
            }
            match life % 4 {
                0 => wal.close().expect("closed"),
                1 => {
                    machine.kill();
                    drop(wal);
                }
                _ => {
                    machine.crash(life);
                    drop(wal);
                }
            }
            // A writer makes its tail durable before anything is appended after it.
            let wal = open(&machine);
            let next = wal.last_lsn().get() + 1;
            wal.durable()
                .append(RecordRef::data(&payload(next)))
                .expect("appended");
            let found = histories(&machine);
            for (lsn, history) in known.range(..next) {
                assert_eq!(found[lsn], *history, "{policy:?}, life {life}, LSN {lsn}");
            }
            sessions.push(found[&next]);
            known = found;
            wal.close().expect("closed");
        }
        let all = sessions.len();
        sessions.sort();
        sessions.dedup();
        assert_eq!(sessions.len(), all, "each has one of its own");
    }
}

#[test]
fn an_lsn_that_is_given_again_has_another_history() {
    let mut machine = Machine::new(FsyncPolicy::Os);
    let wal = open(&machine);
    append(&wal, 1..=10);
    wal.sync().expect("synced");
    append(&wal, 11..=20);
    wal.flush().expect("flushed");
    let before = histories(&machine);
    machine.lose_unsynced();
    drop(wal);
    let wal = open(&machine);
    assert_eq!(wal.last_lsn().get(), 10);
    append(&wal, 11..=20);
    wal.truncate_after(Lsn::new(15)).expect("truncated");
    append(&wal, 16..=20);
    wal.sync().expect("synced");
    let after = histories(&machine);
    for lsn in 1..=20 {
        assert_eq!(before[&lsn] == after[&lsn], lsn <= 10, "LSN {lsn}");
    }
    assert_ne!(after[&15], after[&16]);
}

#[test]
fn times_go_back_only_where_the_clock_was_set_back_and_a_group_says_so() {
    let machine = Machine::new(FsyncPolicy::Always);
    machine.clock.set_wall(UnixMillis::new(1_800_000_000_000));
    let wal = open(&machine);
    let mut lsn = 0;
    let mut pass = |seconds: u32| {
        for _ in 0..seconds {
            lsn += 1;
            append(&wal, lsn..=lsn);
            machine.pass(&wal, SECOND);
        }
    };
    pass(5);
    // For a moment it shows another year. Nobody follows it.
    machine.clock.move_wall(300_000_000_000);
    pass(2);
    machine.clock.move_wall(-300_000_000_000);
    pass(3);
    // An hour ahead, for good; then it is found to be wrong.
    machine.clock.move_wall(3_600_000);
    pass(15);
    machine.clock.move_wall(-3_600_000);
    pass(15);
    machine.clock.suspend(Duration::from_secs(8 * 3600));
    pass(2);
    wal.close().expect("closed");
    let all: Vec<Group> = groups(&machine)
        .into_iter()
        .flat_map(|(_, groups)| groups)
        .collect();
    let dated = |group: &&Group| group.kind == GroupKind::Records;
    let dated: Vec<&Group> = all.iter().filter(dated).collect();
    let mut backward = 0;
    for pair in dated.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        if after.time < before.time {
            assert!(after.set_back, "{}", after.first);
            backward += 1;
        }
        assert!(
            after.time.abs_diff(before.time) < 9 * 3_600_000,
            "{}",
            after.first
        );
    }
    assert_eq!(backward, 1);
    assert_eq!(all.iter().filter(|group| group.set_back).count(), 1);
    // It goes on from there when it is opened again, also with a clock that is behind.
    let latest = dated.last().expect("a group").time;
    machine.clock.set_wall(UnixMillis::new(5));
    let wal = open(&machine);
    wal.durable()
        .append(RecordRef::data(b"later"))
        .expect("appended");
    let found = groups(&machine);
    let last = found
        .iter()
        .flat_map(|(_, groups)| groups)
        .rfind(|group| group.kind == GroupKind::Records);
    assert!(last.is_some_and(|last| last.time >= latest && !last.set_back));
}

#[test]
fn each_segment_begins_with_the_control_state_and_its_footer_ends_with_it() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = open(&machine);
    append(&wal, 1..=300);
    wal.truncate_before(Lsn::new(150)).expect("truncated");
    wal.close().expect("closed");
    let found = groups(&machine);
    assert!(found.len() > 2);
    for (_, groups) in &found {
        assert_eq!(groups[0].kind, GroupKind::Link);
        let table = groups[1].facts.as_ref();
        assert!(matches!(
            table,
            Some(GroupFacts::Control(ControlBody::Table(_)))
        ));
        let last = groups.last().and_then(|group| group.facts.as_ref());
        let Some(GroupFacts::Footer(footer)) = last else {
            panic!("no footer");
        };
        assert!(footer.more.is_some());
    }
    assert_holds(&open(&machine), 150..=300);
}

#[test]
fn full_segments_have_room_for_their_index() {
    for len in [10_usize, 300, 5000] {
        let machine = Machine::new(FsyncPolicy::Os).segments_of(1 << 20);
        let wal = open(&machine);
        let record = Record::data(vec![7; len]);
        while wal.list_segments().expect("segments").len() < 4 {
            wal.append(&record).expect("appended");
        }
        wal.close().expect("closed");
        let found = groups(&machine);
        for (_, groups) in &found[..3] {
            let footer = groups.last().and_then(|group| group.facts.as_ref());
            let Some(GroupFacts::Footer(footer)) = footer else {
                panic!("no footer");
            };
            let pages = footer.more.as_ref().map_or(0, |more| more.pages.len());
            assert!(pages > 0, "records of {len} bytes");
        }
    }
}

#[test]
fn a_record_is_found_by_the_index_and_a_damaged_page_is_noticed() {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(1 << 20);
    let wal = open(&machine);
    for n in 1..=2000_u64 {
        wal.append(RecordRef::data(&crate::common::large(
            n,
            (n % 900) as usize,
        )))
        .expect("appended");
    }
    wal.close().expect("closed");
    let wal = open(&machine);
    for n in (1..=2000_u64).rev().step_by(37) {
        let read = wal
            .read_from(Lsn::new(n))
            .expect("a reader")
            .next()
            .expect("a record");
        let (record, position) = read.expect("read");
        assert_eq!(position.lsn.get(), n);
        assert_eq!(record.value, crate::common::large(n, (n % 900) as usize));
    }
    drop(wal);
    let (name, bytes) = machine.segments().remove(0);
    let FileName::Segment(id) = FileName::parse(&name) else {
        panic!("a segment");
    };
    let view = SegmentView::parse(&bytes, id).expect("a header");
    let footer = view
        .groups()
        .map_while(Result::ok)
        .find_map(|group| match group.body {
            GroupBody::Facts(GroupFacts::Footer(footer)) => footer.more,
            _ => None,
        });
    let index = footer.expect("a footer").index_offset.get();
    assert!(index > 0);
    machine
        .storage
        .flip_bits(&name, (index + 100) * 8, 1)
        .expect("flipped");
    let damage = machine.verify().expect("verified").damage().count();
    assert_eq!(damage, 1);
    // A reader goes the longer way.
    let wal = open(&machine);
    let read = wal
        .read_from(Lsn::new(1500))
        .expect("a reader")
        .next()
        .expect("a record");
    assert_eq!(read.expect("read").1.lsn.get(), 1500);
}

/// Puts a group of kind 77 after the last group of the log's newest segment, whose process was killed.
fn append_unknown(machine: &mut Machine, may_skip: bool) {
    let (name, bytes) = machine.segments().pop().expect("a segment");
    let FileName::Segment(id) = FileName::parse(&name) else {
        panic!("a segment");
    };
    let view = SegmentView::parse(&bytes, id).expect("a header");
    let last = view.groups().map_while(Result::ok).last().expect("a link");
    let at = view.header().alignment.round_up(last.header.end_offset());
    let header = GroupHeader {
        kind: GroupKind::Other(77),
        epoch: view.header().epoch,
        first_lsn: last.header.next_lsn(),
        watermark: Lsn::ZERO,
        offset: wal_format::Offset::new(at),
        payload_len: 0,
        record_count: 0,
        previous: last.checksum,
        digest: 0,
        version: FormatVersion::V2,
        may_skip,
        set_back: false,
        time: UnixMillis::new(0),
    };
    let mut bytes = bytes.clone();
    bytes[at as usize..][..64].copy_from_slice(&header.encode(view.header().frame()).0);
    let mut image = machine.storage.image();
    image.insert(&name, bytes);
    *machine = Machine::holding(&image, FsyncPolicy::Always);
}

#[test]
fn a_group_that_a_newer_program_wrote_is_skipped_or_refused_by_its_kind() {
    for may_skip in [true, false] {
        let mut machine = Machine::new(FsyncPolicy::Always);
        let wal = open(&machine);
        append(&wal, 1..=5);
        machine.kill();
        drop(wal);
        append_unknown(&mut machine, may_skip);
        let before = machine.storage.image();
        let verified = machine.verify();
        let read_only = builder(&machine).read_only().open();
        let damaged = builder(&machine).read_damaged().open().map(|wal| {
            let reader = wal.read_from(Lsn::ZERO);
            let reader = reader.map(|reader| reader.on_damage(wal_core::OnDamage::Skip));
            reader.and_then(Iterator::collect::<Result<Vec<_>, _>>)
        });
        let repaired = wal_core::Offline::on(std::sync::Arc::new(machine.storage.clone()))
            .repair(wal_core::RepairMode::Apply);
        if may_skip {
            assert!(verified.is_ok_and(|report| report.damage().count() == 0));
            assert!(read_only.is_ok() && damaged.is_ok_and(|read| read.is_ok()));
            assert!(repaired.is_ok_and(|report| report.damage.is_empty()));
            let wal = open(&machine);
            append(&wal, 6..=9);
            assert_holds(&wal, 1..=9);
            continue;
        }
        for error in [
            verified.err(),
            read_only.err(),
            repaired.err(),
            builder(&machine).open().err(),
            damaged.map_or_else(Some, Result::err),
        ] {
            let Some(Error::UnknownFeature { what, .. }) = error else {
                panic!("it is refused by name: {error:?}");
            };
            assert!(what.contains("kind 77"), "{what}");
        }
        let segments = |image: &wal_io::fault::Image| -> Vec<_> {
            let files = image
                .files()
                .filter(|(name, _)| crate::common::is_segment(name));
            files
                .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
                .collect()
        };
        assert_eq!(
            segments(&before),
            segments(&machine.storage.image()),
            "nothing is changed"
        );
    }
}
