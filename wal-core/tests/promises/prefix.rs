//! After any crash the log is a prefix of what was appended: all that was acknowledged, nothing invented.

use wal_core::blocking::Wal;
use wal_core::{Error, FsyncPolicy, Lsn, Record, RecordRef, Result};
use wal_io::fault::{DirectoryOrder, Fault, FaultConfig, Moment, NameSync, Unpersisted};

use crate::common::{Machine, SMALL, WINDOW, payload, policies, read_all};

/// What was asked for, and what the log has answered.
#[derive(Clone, Debug)]
struct Model {
    /// Records that may be in the log, by LSN from 1.
    submitted: Vec<Vec<u8>>,
    /// Where a batch may end.
    ends: Vec<u64>,
    durable: u64,
    /// The first LSN by truncations that returned, and that were begun.
    first: u64,
    first_asked: u64,
}

impl Model {
    fn new() -> Self {
        Self {
            submitted: Vec::new(),
            ends: vec![0],
            durable: 0,
            first: 1,
            first_asked: 1,
        }
    }

    fn next(&self) -> u64 {
        self.submitted.len() as u64 + 1
    }

    fn submit(&mut self, values: Vec<Vec<u8>>) {
        self.submitted.extend(values);
        self.ends.push(self.submitted.len() as u64);
    }

    fn append(&mut self, wal: &Wal, len: usize) -> Result<()> {
        let mut value = payload(self.next());
        value.resize(len.max(value.len()), 7);
        self.submit(vec![value.clone()]);
        wal.append(RecordRef::data(&value))?;
        self.ack(wal);
        Ok(())
    }

    fn append_durable(&mut self, wal: &Wal) -> Result<()> {
        let value = payload(self.next());
        self.submit(vec![value.clone()]);
        wal.durable().append(RecordRef::data(&value))?;
        self.durable = self.submitted.len() as u64;
        Ok(())
    }

    fn batch(&mut self, wal: &Wal, count: u64) -> Result<()> {
        let next = self.next();
        let values: Vec<_> = (next..next + count).map(|n| payload(n).repeat(6)).collect();
        self.submit(values.clone());
        let records: Vec<_> = values.into_iter().map(Record::data).collect();
        wal.append_batch(&records)?;
        self.ack(wal);
        Ok(())
    }

    fn sync(&mut self, wal: &Wal) -> Result<()> {
        wal.sync()?;
        self.durable = self.submitted.len() as u64;
        Ok(())
    }

    fn truncate(&mut self, wal: &Wal, first: u64) -> Result<()> {
        self.first_asked = first;
        wal.truncate_before(Lsn::new(first))?;
        self.first = first;
        Ok(())
    }

    fn ack(&mut self, wal: &Wal) {
        self.durable = self.durable.max(wal.durable_lsn().get());
    }

    /// Compares a log that was opened after a crash, which is the truth from then on.
    fn check(&mut self, wal: &Wal, case: &str) {
        let (first, last) = (wal.first_lsn().get(), wal.last_lsn().get());
        assert!(last >= self.durable, "{case}: {last} of {}", self.durable);
        assert!(last < self.next(), "{case}: {last} was never appended");
        assert!(self.ends.contains(&last), "{case}: {last} is in a batch");
        assert!(first >= self.first, "{case}: {first} was truncated");
        assert!(first <= self.first_asked, "{case}: {first} was to be kept");
        let records = read_all(wal).unwrap_or_else(|error| panic!("{case}: {error}"));
        let lsns: Vec<u64> = records.iter().map(|(lsn, _)| *lsn).collect();
        assert_eq!(lsns, (first..=last).collect::<Vec<_>>(), "{case}");
        for (lsn, value) in records {
            let submitted = &self.submitted[lsn as usize - 1];
            assert_eq!(&value, submitted, "{case}: LSN {lsn}");
        }
        self.submitted.truncate(last as usize);
        self.ends.retain(|end| *end <= last);
        self.durable = last;
        self.first = first;
        self.first_asked = first;
    }
}

/// A short life with everything in it.
fn live(machine: &Machine, model: &mut Model) -> Result<()> {
    let wal = machine.try_open()?;
    model.append(&wal, 20)?;
    model.append(&wal, 900)?;
    model.batch(&wal, 3)?;
    wal.flush()?;
    model.append(&wal, 1500)?;
    machine.pass(&wal, WINDOW);
    model.ack(&wal);
    model.append_durable(&wal)?;
    model.batch(&wal, 5)?;
    model.append(&wal, 1300)?;
    wal.flush()?;
    model.append(&wal, 30)?;
    model.sync(&wal)?;
    model.truncate(&wal, 8)?;
    model.append(&wal, 700)?;
    wal.flush()?;
    model.batch(&wal, 2)?;
    wal.close()?;
    drop(wal);
    let wal = machine.try_open()?;
    model.append(&wal, 100)?;
    wal.flush()?;
    model.append(&wal, 100)?;
    machine.pass(&wal, WINDOW);
    model.ack(&wal);
    Ok(())
}

/// What may follow a crash: recovery holds, and what is appended behind it survives the next crash.
fn go_on(machine: &mut Machine, model: &mut Model, case: &str) {
    let wal = machine.try_open();
    let wal = wal.unwrap_or_else(|error| panic!("{case}: {error}"));
    model.check(&wal, case);
    let value = b"after the crash".to_vec();
    model.submit(vec![value.clone()]);
    wal.durable()
        .append(RecordRef::data(&value))
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    model.durable = model.submitted.len() as u64;
    machine.lose_unsynced();
    drop(wal);
    let wal = machine.try_open();
    let wal = wal.unwrap_or_else(|error| panic!("{case}, again: {error}"));
    model.check(&wal, &format!("{case}, again"));
}

fn crash_at_every_change(rules: FaultConfig, policy: FsyncPolicy) -> u64 {
    let whole = Machine::with_rules(rules, policy).segments_of(SMALL);
    live(&whole, &mut Model::new()).expect("nothing fails");
    let changes = whole.storage.change_count();
    let mut crashes = 0;
    for at in 0..changes {
        for moment in [Moment::Before, Moment::During, Moment::After] {
            for seed in [at, at + 1000] {
                let case = format!("{policy:?}, {rules:?}, {moment:?} change {at}, seed {seed}");
                let mut machine = Machine::with_rules(rules, policy).segments_of(SMALL);
                machine.storage.inject(Fault::power_cut(moment).after(at));
                let mut model = Model::new();
                let lived = live(&machine, &mut model);
                let excused = matches!(&lived, Ok(()) | Err(Error::Poisoned(_) | Error::Io { .. }));
                assert!(excused, "{case}: {lived:?}");
                machine.crash(seed);
                go_on(&mut machine, &mut model, &case);
                crashes += 1;
            }
        }
    }
    crashes
}

#[test]
fn the_log_is_a_prefix_after_any_crash() {
    for policy in policies() {
        assert!(crash_at_every_change(FaultConfig::default(), policy) > 300);
    }
}

#[test]
fn the_log_is_a_prefix_after_any_crash_of_other_file_systems() {
    for policy in policies() {
        let rules = FaultConfig {
            directory: DirectoryOrder::Ordered,
            names: NameSync::WithFile,
            unpersisted: Unpersisted::Stale,
            ..FaultConfig::default()
        };
        assert!(crash_at_every_change(rules, policy) > 300);
    }
}

#[test]
fn a_crash_inside_recovery_loses_nothing() {
    for policy in policies() {
        // Unproven records in two segments, none of them synced.
        let live = |machine: &Machine, model: &mut Model| {
            let wal = machine.open();
            model.append(&wal, 20)?;
            model.sync(&wal)?;
            for len in [900, 1500, 800, 1200] {
                model.append(&wal, len)?;
            }
            wal.flush()
        };
        for at in 0.. {
            let mut machine = Machine::new(policy).segments_of(SMALL);
            let mut model = Model::new();
            live(&machine, &mut model).expect("nothing fails");
            machine.kill();
            let kept = model.submitted.len() as u64;
            machine
                .storage
                .inject(Fault::power_cut(Moment::During).after(at));
            let reached = machine.try_open().map(|wal| wal.last_lsn().get());
            let cut = machine.storage.has_lost_power();
            if let Ok(last) = reached {
                // What an open has shown stays.
                assert_eq!(last, kept);
                model.durable = last;
            }
            machine.crash(at);
            go_on(
                &mut machine,
                &mut model,
                &format!("{policy:?}, change {at}"),
            );
            if !cut {
                break;
            }
        }
    }
}

#[test]
fn what_a_reopened_log_shows_survives_the_next_crash() {
    for policy in policies() {
        for count in 1..40 {
            let mut machine = Machine::new(policy).segments_of(SMALL);
            let wal = machine.open();
            let mut model = Model::new();
            for _ in 0..count {
                model.append(&wal, 200).expect("appended");
            }
            wal.flush().expect("flushed");
            machine.kill();
            let shown = machine.open().last_lsn().get();
            assert_eq!(shown, count);
            machine.lose_unsynced();
            model.durable = shown;
            model.check(&machine.open(), &format!("{policy:?}, {count}"));
        }
    }
}
