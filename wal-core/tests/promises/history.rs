//! Readers of other handles: they are told of every truncation, hear how far the log goes by now, and end where it ends.

use wal_core::blocking::{Reader, Wal};
use wal_core::{Error, FsyncPolicy, Lsn, OnDamage, RecordRef, Result};
use wal_io::fault::{Fault, OperationKind, SystemError};

use crate::common::{
    Machine, SMALL, WINDOW, append, assert_holds, batch, large, payload, policies,
};

fn read(reader: &mut Reader, count: u64) {
    for _ in 0..count {
        reader.next_record().expect("read").expect("a record");
    }
}

fn read_from(wal: &Wal, lsn: u64) -> Result<Reader> {
    wal.read_from(Lsn::new(lsn))
}

#[track_caller]
fn is_told(reader: &mut Reader) {
    loop {
        match reader.next_record() {
            // Records that were in the file when it was removed may still be returned. Then the reader is told.
            Ok(Some((record, _))) => assert_ne!(&record.value[..5], b"again"),
            Err(Error::Truncated { kept: Some(_), .. }) => return,
            other => panic!("expected Truncated, got {other:?}"),
        }
    }
}

fn append_again(wal: &Wal, count: u64) {
    for n in 0..count {
        let value = format!("again {n}");
        wal.append(RecordRef::data(value.as_bytes()))
            .expect("appended");
    }
}

#[test]
fn a_reader_is_told_of_a_truncation_that_emptied_the_log_before_two_restarts() {
    for clean in [true, false] {
        let machine = Machine::new(FsyncPolicy::Os);
        let wal = machine.open();
        append(&wal, 1..=10);
        wal.flush().expect("flushed");
        let look = machine.look().expect("opened");
        let mut reader = read_from(&look, 0).expect("a reader");
        read(&mut reader, 10);
        wal.truncate_after(Lsn::ZERO).expect("truncated");
        let mut wal = wal;
        for _ in 0..4 {
            if clean {
                wal.close().expect("closed");
            }
            drop(wal);
            wal = machine.open();
            append_again(&wal, 5);
            wal.flush().expect("flushed");
        }
        is_told(&mut reader);
    }
}

#[test]
fn a_reader_is_told_of_a_truncation_where_the_first_lsn_is_its_next_one() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=100);
    let look = machine.look().expect("opened");
    let mut reader = read_from(&look, 0).expect("a reader");
    read(&mut reader, 100);
    wal.truncate_after(Lsn::new(50)).expect("truncated");
    append_again(&wal, 50);
    wal.close().expect("closed");
    let wal = machine.open();
    append_again(&wal, 200);
    // Neither the segment that recorded it nor the next one is left.
    wal.truncate_before(Lsn::new(101)).expect("truncated");
    wal.close().expect("closed");
    let wal = machine.open();
    append_again(&wal, 300);
    wal.truncate_before(Lsn::new(350)).expect("truncated");
    assert!(matches!(reader.next_record(), Err(Error::Truncated { .. })));
}

#[test]
fn a_reader_is_told_where_nothing_leads_back_to_what_it_has_read() {
    // All of the log is removed, and begun again under the same ids.
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let wal = machine.open();
    append(&wal, 1..=10);
    let look = machine.look().expect("opened");
    let mut reader = read_from(&look, 0).expect("a reader");
    read(&mut reader, 10);
    wal.close().expect("closed");
    drop(wal);
    for name in machine.file_names() {
        wal_io::Storage::remove(&machine.storage, &name).expect("removed");
    }
    let wal = machine.open();
    append_again(&wal, 20);
    is_told(&mut reader);
}

#[test]
fn a_reader_of_one_segment_is_told_of_a_truncation_and_not_of_damage() {
    for on_damage in [OnDamage::Stop, OnDamage::Skip] {
        for read_before in [10, 300] {
            let machine = Machine::new(FsyncPolicy::Os).segments_of(4 << 20);
            let wal = machine.open();
            for n in 1..=1000 {
                wal.append(RecordRef::data(&large(n, 5000)))
                    .expect("appended");
                if n % 100 == 0 {
                    wal.flush().expect("flushed");
                }
            }
            wal.close().expect("closed");
            let wal = machine.open();
            let look = machine.look().expect("opened");
            let first = look.list_segments().expect("segments")[0];
            let reader = look.read_segment(first).expect("a reader");
            let mut reader = reader.on_damage(on_damage);
            read(&mut reader, read_before);
            // The segment ends here now, and its file is cut.
            wal.truncate_after(Lsn::new(200)).expect("truncated");
            let _ = wal.drive();
            let mut next = read_before + 1;
            let outcome = loop {
                match reader.next_record() {
                    Ok(Some((_, position))) => assert_eq!(position.lsn.get(), next),
                    outcome => break outcome,
                }
                next += 1;
            };
            match outcome {
                Ok(None) => assert!(read_before < 200 && next == 201, "{next}"),
                Err(Error::Truncated { kept, .. }) => assert_eq!(kept, Some(Lsn::new(200))),
                other => panic!("expected Truncated, got {other:?}"),
            }
        }
    }
}

#[test]
fn a_reader_that_keeps_up_with_truncations_of_the_oldest_is_told_nothing() {
    let machine = Machine::new(FsyncPolicy::Always).segments_of(SMALL);
    let mut wal = machine.open();
    append(&wal, 1..=10);
    let look = machine.look().expect("opened");
    let mut reader = read_from(&look, 0).expect("a reader");
    let mut next = 11;
    for round in 0..40 {
        let read = reader.by_ref().map(|step| step.expect("read")).last();
        if let Some((_, position)) = read {
            assert_eq!(position.lsn.get(), next - 1, "round {round}");
            wal.truncate_before(Lsn::new(next)).expect("truncated");
        }
        if round % 7 == 3 {
            wal.close().expect("closed");
            drop(wal);
            wal = machine.open();
        }
        append(&wal, next..=next + 30);
        next += 31;
    }
}

#[test]
fn wait_durable_recognises_a_removed_record_whose_lsn_was_given_again() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=5);
        let stays = wal.append(RecordRef::data(b"stays")).expect("appended");
        let removed = wal.append(RecordRef::data(b"removed")).expect("appended");
        let batch = wal.append_batch(&batch(8..=9)).expect("appended");
        wal.truncate_after(stays.lsn).expect("truncated");
        let told = |outcome: Result<()>| match outcome {
            Err(Error::Truncated { kept, .. }) => assert_eq!(kept, Some(stays.lsn), "{policy:?}"),
            other => panic!("{policy:?}: {other:?}"),
        };
        // Before the LSN is given again, and after.
        told(wal.wait_durable(removed));
        assert!(matches!(
            wal.wait_durable(removed.lsn),
            Err(Error::NotAppended { .. })
        ));
        let again = wal.append(RecordRef::data(b"again")).expect("appended");
        assert_eq!(again.lsn, removed.lsn);
        append(&wal, 8..=20);
        told(wal.wait_durable(removed));
        told(wal.wait_durable(batch));
        wal.wait_durable(stays).expect("durable");
        wal.wait_durable(again).expect("durable");
        // An LSN stands for the record that has it.
        wal.wait_durable(removed.lsn).expect("durable");
        let empty: [wal_core::Record; 0] = [];
        let nothing = wal.append_batch(&empty).expect("nothing");
        wal.wait_durable(nothing).expect("durable");
        // Also across a restart, as long as the log knows.
        wal.close().expect("closed");
        drop(wal);
        let wal = machine.open();
        told(wal.wait_durable(removed));
        wal.wait_durable(again).expect("durable");
    }
}

#[test]
fn a_read_only_handle_follows_the_log() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=5);
        wal.sync().expect("synced");
        let look = machine.look().expect("opened");
        let mut last = 5;
        for more in [1, 3, 100, 200, 2] {
            append(&wal, last + 1..=last + more);
            last += more;
            wal.sync().expect("synced");
            assert_eq!(look.last_lsn().get(), last, "{policy:?}");
            assert_eq!(look.stats().last_lsn.get(), last);
            assert_eq!(look.current_position().lsn.get(), last + 1);
            let position = wal.current_position();
            assert_eq!(look.current_position().segment_id, position.segment_id);
            assert!(look.durable_lsn().get() <= last);
            // A stamp says that all of it is durable.
            machine.pass(&wal, std::time::Duration::from_secs(2));
            if policy != FsyncPolicy::Os {
                assert_eq!(look.durable_lsn().get(), last, "{policy:?}");
            }
            assert_eq!(
                look.list_segments().expect("segments"),
                wal.list_segments().expect("segments")
            );
        }
        wal.truncate_before(Lsn::new(200)).expect("truncated");
        assert_eq!(look.first_lsn().get(), 200);
        assert_eq!(look.stats().first_lsn.get(), 200);
        wal.truncate_after(Lsn::new(250)).expect("truncated");
        assert_eq!(look.last_lsn().get(), 250);
        assert!(look.durable_lsn().get() <= 250);
        append_again(&wal, 20);
        wal.close().expect("closed");
        assert_eq!(look.last_lsn().get(), 270);
        assert_eq!(look.durable_lsn().get(), 270);
        drop(wal);
        let wal = machine.open();
        append_again(&wal, 5);
        wal.flush().expect("flushed");
        assert_eq!(look.last_lsn().get(), 275);
    }
}

#[test]
fn a_reader_stops_at_what_is_known_durable() {
    for read_only in [false, true] {
        let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=5);
        wal.sync().expect("synced");
        append(&wal, 6..=6);
        wal.flush().expect("flushed");
        let other = if read_only {
            machine.look().expect("opened")
        } else {
            wal.clone()
        };
        let mut reader = read_from(&other, 0).expect("a reader").durable_only();
        let mut all = read_from(&other, 0).expect("a reader");
        assert_eq!(all.by_ref().count(), 6);
        assert_eq!(reader.by_ref().count(), 5, "read-only: {read_only}");
        append(&wal, 7..=300);
        wal.sync().expect("synced");
        append(&wal, 301..=301);
        wal.flush().expect("flushed");
        assert_eq!(reader.by_ref().count(), 295);
        wal.close().expect("closed");
        assert_eq!(reader.by_ref().count(), 1);
    }
}

#[test]
fn the_end_is_the_one_at_the_time_of_the_call() {
    for policy in policies() {
        for read_only in [false, true] {
            for end in [10, 300] {
                let machine = Machine::new(policy).segments_of(SMALL);
                let wal = machine.open();
                append(&wal, 1..=5);
                wal.sync().expect("synced");
                let other = if read_only {
                    machine.look().expect("opened")
                } else {
                    wal.clone()
                };
                let mut reader = read_from(&other, 0).expect("a reader");
                read(&mut reader, 2);
                append(&wal, 6..=end);
                wal.sync().expect("synced");
                let rest = reader.map(|step| step.expect("read").1.lsn.get());
                assert!(rest.eq(3..=end), "{policy:?}, read-only: {read_only}");
            }
        }
    }
}

#[test]
fn reading_from_beyond_the_next_lsn_is_an_error() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        let refused = |wal: &Wal, lsn, next| {
            for outcome in [
                read_from(wal, lsn).map(drop),
                wal.replay(
                    Lsn::new(lsn),
                    wal_core::Threads::PerCore,
                    || (),
                    |(), _, _| (),
                )
                .map(drop),
            ] {
                match outcome {
                    Err(Error::NotAppended {
                        lsn: asked,
                        next: is,
                    }) => {
                        assert_eq!((asked.get(), is.get()), (lsn, next), "{policy:?}");
                    }
                    other => panic!("{policy:?}, from {lsn}: {other:?}"),
                }
            }
        };
        // The next LSN of an empty log is its first.
        assert_eq!(read_from(&wal, 1).expect("a reader").count(), 0);
        refused(&wal, 2, 1);
        append(&wal, 1..=10);
        wal.flush().expect("flushed");
        let look = machine.look().expect("opened");
        for other in [&wal, &look] {
            assert_eq!(read_from(other, 11).expect("a reader").count(), 0);
            refused(other, 12, 11);
            refused(other, u64::MAX, 11);
        }
        // A read-only handle looks again before it refuses.
        append(&wal, 11..=200);
        wal.flush().expect("flushed");
        assert_eq!(read_from(&look, 150).expect("a reader").count(), 51);
        assert_eq!(read_from(&look, 201).expect("a reader").count(), 0);
        refused(&look, 202, 201);
        wal.truncate_before(Lsn::new(201)).expect("truncated");
        assert_eq!(read_from(&wal, 201).expect("a reader").count(), 0);
        refused(&wal, 202, 201);
    }
}

#[test]
fn a_reader_may_wait_for_an_lsn_that_is_not_given_yet() {
    for policy in policies() {
        let machine = Machine::new(policy).segments_of(SMALL);
        let wal = machine.open();
        append(&wal, 1..=10);
        wal.flush().expect("flushed");
        let look = machine.look().expect("opened");
        let mut readers =
            [&wal, &look].map(|wal| wal.follow_from(Lsn::new(150)).expect("a reader"));
        for reader in &mut readers {
            assert!(reader.next_record().expect("read").is_none());
        }
        append(&wal, 11..=149);
        wal.flush().expect("flushed");
        for reader in &mut readers {
            assert!(reader.next_record().expect("read").is_none());
        }
        append(&wal, 150..=300);
        wal.flush().expect("flushed");
        for reader in readers {
            let lsns = reader.map(|step| step.expect("read").1.lsn.get());
            assert!(lsns.eq(150..=300), "{policy:?}");
        }
    }
}

#[test]
fn a_reader_keeps_its_place_when_the_system_has_an_error() {
    // Each open and each read fails once, and is asked for again.
    for (kind, error) in [
        (OperationKind::Open, SystemError::TooManyOpenFiles),
        (OperationKind::Read, SystemError::Io),
    ] {
        for read_only in [false, true] {
            for skips in [OnDamage::Stop, OnDamage::Skip] {
                let machine = Machine::new(FsyncPolicy::Batch(WINDOW)).segments_of(SMALL);
                let wal = machine.open();
                append(&wal, 1..=300);
                wal.flush().expect("flushed");
                let other = if read_only {
                    machine.look().expect("opened")
                } else {
                    wal.clone()
                };
                let mut struck = 0;
                for after in 0.. {
                    let before = machine.storage.faults_struck();
                    machine
                        .storage
                        .inject(Fault::error(error).on(kind).after(after));
                    let reader = read_from(&other, 7).expect("a reader");
                    let mut lsns = Vec::new();
                    for step in reader.on_damage(skips) {
                        match step {
                            Ok((_, position)) => lsns.push(position.lsn.get()),
                            Err(Error::Io { .. }) => struck += 1,
                            Err(error) => panic!("{error}"),
                        }
                    }
                    assert!(lsns.into_iter().eq(7..=300), "{kind:?} {after}, {skips:?}");
                    machine.storage.clear_faults();
                    if machine.storage.faults_struck() == before {
                        break;
                    }
                }
                assert!(struck > 3, "{kind:?}, read-only: {read_only}");
                assert_holds(&wal, 1..=300);
            }
        }
    }
}

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// A reader of another handle, and what it was given.
struct Watcher {
    reader: Reader,
    given: Vec<(u64, Vec<u8>)>,
}

/// The outcome of a random run.
#[derive(Default)]
struct Tally {
    told: u32,
    told_needlessly: u32,
}

/// The log as it should be: every record that was ever appended and not removed by `truncate_after`.
struct Model {
    records: Vec<Vec<u8>>,
    first: u64,
    made: u64,
}

impl Model {
    fn is(&self, (lsn, value): &(u64, Vec<u8>)) -> bool {
        self.records.get(*lsn as usize - 1) == Some(value)
    }

    fn last(&self) -> u64 {
        self.records.len() as u64
    }

    fn append(&mut self, wal: &Wal, count: u64) {
        for _ in 0..count {
            self.made += 1;
            let mut value = format!("{} ", self.made).into_bytes();
            value.extend_from_slice(&payload(self.made % 50));
            wal.append(RecordRef::data(&value)).expect("appended");
            self.records.push(value);
        }
    }
}

/// A writer that truncates and restarts, and readers that look now and then.
fn run(seed: u64, tally: &mut Tally) {
    let mut numbers = Numbers(seed);
    let policy = policies()[numbers.below(3) as usize];
    let machine = Machine::new(policy).segments_of(SMALL << numbers.below(2));
    let mut wal = machine.open();
    let mut model = Model {
        records: Vec::new(),
        first: 1,
        made: 0,
    };
    model.append(&wal, 1 + numbers.below(40));
    wal.flush().expect("flushed");
    let look = machine.look().expect("opened");
    let mut watchers: Vec<Watcher> = Vec::new();
    for _ in 0..40 {
        match numbers.below(12) {
            0..=3 => model.append(&wal, 1 + numbers.below(60)),
            4 | 5 => {
                let kept = model.last().saturating_sub(numbers.below(50));
                let kept = kept.max(model.first - 1);
                wal.truncate_after(Lsn::new(kept)).expect("truncated");
                model.records.truncate(kept as usize);
            }
            6 => {
                let first = (model.last() + 1).saturating_sub(numbers.below(40));
                model.first = model.first.max(first);
                wal.truncate_before(Lsn::new(model.first))
                    .expect("truncated");
            }
            7 | 8 => {
                if numbers.below(2) == 0 {
                    wal.close().expect("closed");
                }
                drop(wal);
                wal = machine.open();
            }
            9 if watchers.len() < 4 => {
                wal.flush().expect("flushed");
                let reader = look.read_from(Lsn::ZERO).expect("a reader");
                let given = Vec::new();
                watchers.push(Watcher { reader, given });
            }
            _ => {
                wal.flush().expect("flushed");
                let most = if numbers.below(3) == 0 { 10 } else { u64::MAX };
                watchers.retain_mut(|watcher| watch(watcher, most, &model, seed, tally));
            }
        }
    }
    wal.flush().expect("flushed");
    watchers.retain_mut(|watcher| watch(watcher, u64::MAX, &model, seed, tally));
}

/// Continues to read. False if the reader was told that records it has read were removed.
fn watch(watcher: &mut Watcher, most: u64, model: &Model, seed: u64, tally: &mut Tally) -> bool {
    for _ in 0..most {
        let stale = watcher.given.iter().any(|given| !model.is(given));
        match watcher.reader.next_record() {
            Ok(Some((record, position))) => {
                let lsn = position.lsn.get();
                if let Some((last, _)) = watcher.given.last() {
                    assert_eq!(lsn, last + 1, "seed {seed}");
                }
                let given = (lsn, record.value.to_vec());
                // Removed records may be returned until the reader is told. Records that replaced them must not follow.
                assert!(
                    !stale || !model.is(&given) || lsn < model.first,
                    "seed {seed}"
                );
                watcher.given.push(given);
            }
            Ok(None) => {
                assert!(!stale, "seed {seed}: the reader was not told");
                let last = watcher.given.last().map_or(0, |(lsn, _)| *lsn);
                assert!(last == 0 || last == model.last(), "seed {seed}: {last}");
                return true;
            }
            Err(Error::Truncated { first, kept }) => {
                tally.told += 1;
                tally.told_needlessly += u32::from(!stale && kept.is_some());
                assert!(first.get() <= model.first, "seed {seed}");
                // The records to keep must be in the log.
                if let Some(kept) = kept {
                    let mut keeps = watcher.given.iter().filter(|(lsn, _)| *lsn <= kept.get());
                    assert!(keeps.all(|given| model.is(given)), "seed {seed}");
                }
                return false;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    true
}

#[test]
fn readers_of_other_handles_are_told_of_every_truncation() {
    let mut tally = Tally::default();
    for seed in 0..1000 {
        run(seed, &mut tally);
    }
    assert!(tally.told > 500, "{} were told", tally.told);
    // A warning too many is better than one too few; but the log is not crying wolf.
    assert!(tally.told_needlessly * 20 < tally.told);
}
