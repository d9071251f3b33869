//! Damage at rest to what the last life has left, and its repair, which loses its power at any change and is done again. What is
//! damaged may be lost; all else stays, and reads as before.
//!
//! Absent: damage to each byte of one log (see the sweep).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use wal_core::blocking::Wal;
use wal_core::{Error, Lsn, OnDamage, RecordRef, RepairMode, RepairReport, SegmentId};
use wal_io::FaultStorage;
use wal_io::fault::{Fault, FaultConfig, Moment, Seeded};

use crate::oracle::{Oracle, Violation};
use crate::rng::Rng;
use crate::runner::Runner;
use crate::space::segment_name;

/// Changes of a repair of a few segments, roughly.
const CHANGES: u64 = 60;

/// What a reader that skips damage has given.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    records: BTreeMap<u64, Vec<u8>>,
    /// The log's first LSN.
    first: u64,
    /// The last LSN that was a record, or in a gap; without any, the one before the first.
    last: u64,
    /// The last record of each segment, oldest first.
    segments: BTreeMap<SegmentId, u64>,
}

impl Found {
    /// The last LSN before the damaged end: what is not proven durable is in the last two of the log's files at most.
    fn before_the_end(&self, files: &[&str], hit: &[&str]) -> u64 {
        let ends = files.iter().rev().take(2);
        let Some(first) = ends.filter(|name| hit.contains(*name)).min() else {
            return u64::MAX;
        };
        let before = |id: &&SegmentId| segment_name(**id).as_str() < *first;
        let last = self.segments.keys().rev().find(before);
        last.map_or(0, |id| self.segments[id])
    }

    /// Every `required` record of the `whole` log is still there. There may be more: of a torn end, salvage finds what an open does
    /// not show.
    fn stays_in(
        &self,
        after: &Self,
        whole: &Self,
        required: RangeInclusive<u64>,
        what: &str,
    ) -> Result<(), Violation> {
        let gone = |lsn: &&u64| {
            let stays = self.records.get(lsn) == after.records.get(lsn);
            **lsn <= whole.last && required.contains(*lsn) && !stays
        };
        let gone: Vec<&u64> = self.records.keys().filter(gone).collect();
        if gone.is_empty() {
            return Ok(());
        }
        Err(broken(format!("{what}, and LSNs {gone:?} are gone")))
    }

    /// No record is another one than in the whole log. Above its end, salvage may find what a crash has left; below its start,
    /// what was removed, if what said so is damaged. So may a record whose LSN was given again.
    fn is_of(&self, whole: &Self, oracle: &Oracle) -> Result<(), Violation> {
        let other = |(lsn, value): &(&u64, &Vec<u8>)| {
            let within = (whole.first..=whole.last).contains(*lsn);
            within && whole.records.get(lsn) != Some(value) && !oracle.was_there(**lsn, value)
        };
        match self.records.iter().find(other) {
            Some((lsn, _)) => Err(broken(format!("LSN {lsn} is none of the log's"))),
            None => Ok(()),
        }
    }
}

/// Turns an error into a violation.
fn failed<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> Violation {
    move |error| Violation(format!("damage at rest: {what}: {error}"))
}

fn broken(text: impl std::fmt::Display) -> Violation {
    Violation(format!("damage at rest: {text}"))
}

impl Runner {
    /// Damages a copy of the log as it is, and repairs it.
    pub(crate) fn damage_and_repair(&mut self) -> Result<(), Violation> {
        let image = self.storage.image();
        let names: Vec<&str> = image
            .files()
            .map(|(name, _)| name)
            .filter(|name| name.strip_suffix(".wal").is_some() && !name.contains('/'))
            .collect();
        if self.oracle.is_distrusted() || names.is_empty() {
            return Ok(());
        }
        let mut random = Rng::new(self.seed ^ 0x0DA3_A6ED);
        let machine = FaultStorage::from_image(FaultConfig::default(), &image);
        let whole = self.read_all_of(&machine)?;
        let mut hit = Vec::new();
        for _ in 0..=random.below(3) {
            let name = names[random.below(names.len() as u64) as usize];
            let bytes = image.get(name).unwrap_or_default();
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64 + 1;
            let bit = random.below(used * 8);
            machine.flip_bits(name, bit, 1).map_err(failed("a bit"))?;
            hit.push(name);
        }
        let verified = wal_core::Offline::on(Arc::new(machine.clone()))
            .verify(wal_core::VerifyOptions::default());
        if verified.is_ok_and(|found| found.damage().next().is_none()) {
            // A crash explains it.
            return Ok(());
        }
        let damaged = machine.image();
        let before = self.read_all_of(&machine)?;
        before.is_of(&whole, &self.oracle)?;
        let cut = Fault::power_cut(random.pick(&[Moment::Before, Moment::During, Moment::After]));
        machine.inject(cut.on_changes().after(random.below(CHANGES)));
        let first = repair(&machine);
        let machine = machine.crash(&mut Seeded::streaky(random.bits()));
        // Once the damage before it is repaired, an end that nothing proves durable is a torn one again.
        let last = match first {
            Ok(_) => u64::MAX,
            Err(_) => whole.before_the_end(&names, &hit).min(whole.last),
        };
        // A truncation that a crash has undone may take effect: a torn end may still tell of it.
        let required = whole.first.max(self.oracle.first_wanted())..=last;
        let report = match first {
            Ok(report) if report.is_whole() => return Ok(()),
            Ok(report) => report,
            Err(_) => {
                let now = self.read_all_of(&machine)?;
                before.stays_in(&now, &whole, required.clone(), "a repair was cut short")?;
                match repair(&machine) {
                    // Nothing at all can be read.
                    Err(Error::Corruption(_)) if before.records.is_empty() => return Ok(()),
                    repaired => repaired.map_err(failed("a second repair"))?,
                }
            }
        };
        let now = machine.image();
        // What holds nothing of the log goes, and of an end that nothing proves, a reader sees less than there is. And what is left of
        // a truncation may contradict a segment that is whole, where the link that says where it ends is damaged.
        let ends = &names[names.len().saturating_sub(2)..];
        let has_lost_its_end = |name: &str| {
            names
                .windows(2)
                .any(|pair| pair[0] == name && hit.contains(&pair[1]))
        };
        let told = || report.removed.iter().chain(&report.quarantined);
        let goes = |name: &str| told().any(|told| told == name);
        let changed = |name: &&&str| {
            let stays = !hit.contains(*name) && !goes(name) && !ends.contains(*name);
            let stays = stays && !has_lost_its_end(name);
            stays && now.get(name) != damaged.get(name)
        };
        if report.new_segments.is_empty() && !report.is_whole() {
            self.outcome.replaced += report.replaced.len() as u64;
            if let Some(name) = names.iter().find(changed) {
                return Err(broken(format!(
                    "{name} is not damaged, and changed: {report}"
                )));
            }
        }
        self.outcome.repaired += 1;
        self.check_repaired(&machine, &before, &whole, required)
    }

    /// The log is whole, with the same records, and goes on.
    fn check_repaired(
        &self,
        machine: &FaultStorage,
        before: &Found,
        whole: &Found,
        required: RangeInclusive<u64>,
    ) -> Result<(), Violation> {
        let verified = wal_core::Offline::on(Arc::new(machine.clone()))
            .verify(wal_core::VerifyOptions::default());
        let verified = verified.map_err(failed("verification"))?;
        if let Some(damage) = verified.damage().next() {
            return Err(broken(format!("repaired, and {damage}")));
        }
        let after = self.read_all_of(machine)?;
        let reached = before.last.min(*required.end());
        before.stays_in(&after, whole, required, "it was repaired")?;
        after.is_of(whole, &self.oracle)?;
        if after.last < reached {
            return Err(broken(format!("the log ends at LSN {}", after.last)));
        }
        let wal = self
            .open_in(machine, self.seed)
            .map_err(failed("an open after the repair"))?;
        let position = wal
            .durable()
            .append(RecordRef::data(b"after a repair"))
            .map_err(failed("an append after the repair"))?;
        if position.lsn.get() <= reached {
            return Err(broken(format!("LSN {} is given again", position.lsn)));
        }
        wal.close().map_err(failed("a close after the repair"))
    }

    /// Reads all that can be read.
    fn read_all_of(&self, machine: &FaultStorage) -> Result<Found, Violation> {
        let wal = Wal::builder("log")
            .storage(Arc::new(machine.clone()))
            .clock(Arc::new(self.clock.clone()))
            .read_damaged()
            .open()
            .map_err(failed("a look"))?;
        let reader = wal.read_from(Lsn::ZERO).map_err(failed("a reader"))?;
        let mut reader = reader.on_damage(OnDamage::Skip);
        let mut found = Found {
            records: BTreeMap::new(),
            first: wal.first_lsn().get(),
            last: wal.first_lsn().get() - 1,
            segments: BTreeMap::new(),
        };
        let mut truncated = Lsn::ZERO;
        loop {
            match reader.next_record() {
                Ok(Some((record, position))) => {
                    found.last = position.lsn.get();
                    found.segments.insert(position.segment_id, found.last);
                    let value = record.value.to_vec();
                    found.records.insert(found.last, value);
                }
                Ok(None) => return Ok(found),
                Err(Error::Gap { to, .. }) => found.last = to.get(),
                // Behind damage, a truncation may be met while it is read.
                Err(Error::Truncated { first, .. }) if first > truncated => {
                    truncated = first;
                    found.first = first.get();
                    found.records.retain(|lsn, _| *lsn >= found.first);
                    let rest = wal.read_from(first).map_err(failed("a reader"))?;
                    reader = rest.on_damage(OnDamage::Skip);
                }
                Err(error) => return Err(failed("reading")(error)),
            }
        }
    }
}

fn repair(machine: &FaultStorage) -> Result<RepairReport, Error> {
    let storage = Arc::new(machine.clone());
    wal_core::Offline::on(storage).repair(RepairMode::Apply)
}
