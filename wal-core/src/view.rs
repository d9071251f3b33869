//! A log as seen without its lock: by a read-only open, in this process or beside a writer in another.
//!
//! The chain is read once and then followed: a new segment appears under its final name, and its link says where the one
//! before it ends. Changes no byte.
//!
//! ```text
//! view.rs         looking at the directory
//! view/chain.rs   whether what is found goes on from what was known
//! view/tip.rs     how far the newest segment goes
//! ```

mod chain;
mod tip;

use std::io;

use wal_format::{Lsn, SegmentId};
use wal_io::{Process, Storage};

use crate::control::ControlState;
use crate::cursor::{Lineage, NO_LOG};
use crate::damaged::{Gap, scan_pieces};
use crate::recovery::{self, Listing, RecoveryReport, Scan, Wreck};
use crate::segment::{ChainEntry, Era, Mark};
use crate::segment::{Files, SegmentFacts};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};
use crate::{Error, Result};
use chain::Chain;
use tip::Tip;

/// The segments of a log that someone else may be writing.
#[derive(Debug)]
pub(crate) struct View {
    /// The process that opened it.
    pub(crate) process: Process,
    pub(crate) storage: Arc<dyn Storage>,
    /// The open files of its readers.
    pub(crate) files: Arc<Files>,
    chain: Mutex<Chain>,
    /// A copy of the chain's era that is read without the lock.
    era: AtomicU64,
    /// Only one refresh at a time, which opens at most two files. Only a refresh changes the chain.
    looking: Mutex<Tip>,
    /// The number of refreshes begun, and the number of the last one that ended.
    begun: AtomicU64,
    ended: AtomicU64,
    report: RecoveryReport,
    /// Why the log could not be opened for writing: what readers get in the place of records. Oldest first.
    gaps: Vec<Gap>,
    /// The same, for what no reader needs.
    stray: Vec<Error>,
    /// What can be read all the same, once a reader has asked for it.
    wreck: Mutex<Option<Arc<Wreck>>>,
}

/// What to do about damage found while opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damaged {
    /// Refuse to open.
    Refuse,
    /// Open, and let readers meet it in its place.
    Defer,
}

impl View {
    pub(crate) fn open(storage: Arc<dyn Storage>, damaged: Damaged) -> Result<Self> {
        let (scans, gaps, stray, report) = match look(&storage) {
            Ok((scan, report)) => (vec![scan], Vec::new(), Vec::new(), report),
            Err(Error::Corruption(_) | Error::MissingSegment { .. })
                if damaged == Damaged::Defer =>
            {
                let pieces = scan_pieces(&storage)?;
                let report = pieces.report();
                (pieces.scans, pieces.gaps, pieces.stray, report)
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            process: Process::current(),
            files: Files::new(Arc::clone(&storage)),
            storage,
            chain: Mutex::new(Chain::of(&scans, &gaps)),
            era: AtomicU64::new(0),
            looking: Mutex::new(Tip::of(scans.last())),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            report,
            gaps,
            stray,
            wreck: Mutex::default(),
        })
    }

    /// What is left of a log that cannot be opened for writing; `None` if it can.
    pub(crate) fn wreck(&self) -> Result<Option<Arc<Wreck>>> {
        if self.gaps.is_empty() {
            return Ok(None);
        }
        let _looking = self.looking.lock();
        let mut wreck = self.wreck.lock();
        if wreck.is_none() {
            let listing = Listing::read(&*self.storage)?.unwrap_or_default();
            *wreck = Some(Arc::new(recovery::assemble(&self.storage, listing)?));
        }
        Ok(wreck.clone())
    }

    pub(crate) fn report(&self) -> &RecoveryReport {
        &self.report
    }

    /// All that keeps the log from being opened for writing, the first in the log first.
    pub(crate) fn damage(&self) -> Vec<Error> {
        let gaps = self.gaps.iter().map(|gap| &gap.error);
        gaps.chain(&self.stray).cloned().collect()
    }

    /// Why the record cannot be read.
    pub(crate) fn damage_at(&self, lsn: Lsn) -> Option<Error> {
        let gap = self.gaps.iter().find(|gap| gap.holds(lsn));
        gap.map(|gap| gap.error.clone())
    }

    pub(crate) fn chain(&self) -> Arc<Vec<ChainEntry>> {
        Arc::clone(&self.chain.lock().entries)
    }

    pub(crate) fn lineage(&self) -> Lineage {
        let chain = self.chain.lock();
        let newest = chain.entries.last();
        Lineage {
            log: newest.map_or(NO_LOG, |entry| entry.header.log_id),
            location: self.storage.location(),
            chain: Arc::clone(&chain.entries),
            first: chain.log_first,
            last: chain.end.lsn,
        }
    }

    /// The control state, read anew.
    pub(crate) fn control(&self) -> Result<ControlState> {
        let (scan, _) = look(&self.storage)?;
        let log = scan.chain.last().map(|link| link.facts.header.log_id);
        Ok(ControlState::of(log.unwrap_or(NO_LOG), &scan.control))
    }

    pub(crate) fn first_lsn(&self) -> Lsn {
        self.chain.lock().log_first
    }

    pub(crate) fn era(&self) -> Era {
        Era(self.era.load(Ordering::Acquire))
    }

    /// The highest LSN of era `since` that is still in the log, if a truncation was seen; and the era now.
    pub(crate) fn kept_since(&self, since: Era) -> (Option<Lsn>, Era) {
        let chain = self.chain.lock();
        (chain.eras.kept_since(since), chain.eras.now())
    }

    /// Whether it is unknown what was kept since that era.
    pub(crate) fn has_lost_track(&self, since: Era) -> bool {
        self.chain.lock().eras.is_guess(since)
    }

    /// Whether segments behind this one may be begun that are not known yet.
    pub(crate) fn may_go_on_behind(&self, id: SegmentId) -> bool {
        let newest = |chain: &Chain| chain.ids().last() == Some(id);
        self.gaps.is_empty() && newest(&self.chain.lock())
    }

    /// Where the log ends, and the highest LSN known to be durable, as of the last refresh.
    pub(crate) fn known(&self) -> (Mark, Lsn) {
        let chain = self.chain.lock();
        (chain.end, chain.proven)
    }

    /// No process appends to a log that cannot be opened.
    fn is_damaged(&self) -> bool {
        !self.gaps.is_empty() || !self.stray.is_empty()
    }

    /// Looks at all of it anew: a file that was there is gone. True if the log is another than before.
    pub(crate) fn reload(&self) -> Result<bool> {
        self.look_at(|tip| self.look_anew(tip))
    }

    /// Searches for segments that were begun since the last refresh. True if there may be any.
    pub(crate) fn refresh(&self) -> Result<bool> {
        let asked = self.begun.load(Ordering::Acquire);
        let mut tip = self.looking.lock();
        if self.ended.load(Ordering::Acquire) > asked {
            // A refresh that began after this call has seen everything that this one would see.
            return Ok(true);
        }
        self.count(&mut tip, |tip| self.look_for_more(tip))
    }

    /// Reads where the log ends now, and up to which LSN it is known to be durable.
    pub(crate) fn follow(&self) -> Result<()> {
        // Everything was read when it was opened.
        if self.is_damaged() {
            return Ok(());
        }
        self.look_at(|tip| {
            self.look_for_more(tip)?;
            match self.look_at_the_end(tip) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    self.look_anew(tip)?;
                    self.look_at_the_end(tip)
                }
                looked => looked,
            }
        })
    }

    fn look_at<T>(&self, look: impl FnOnce(&mut Tip) -> Result<T>) -> Result<T> {
        self.count(&mut self.looking.lock(), look)
    }

    fn count<T>(&self, tip: &mut Tip, look: impl FnOnce(&mut Tip) -> Result<T>) -> Result<T> {
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let found = look(tip)?;
        self.ended.store(number, Ordering::Release);
        Ok(found)
    }

    fn look_anew(&self, tip: &mut Tip) -> Result<bool> {
        if self.is_damaged() {
            return Ok(false);
        }
        let (scan, _) = look(&self.storage)?;
        let mut new = Chain::of(std::slice::from_ref(&scan), &[]);
        *tip = Tip::of(Some(&scan));
        let mut chain = self.chain.lock();
        new.replaces(&mut chain, &scan);
        let changed = !new.is_as(&chain);
        *chain = new;
        if changed {
            // The same names may stand for other files.
            self.files.retain(|_| false);
        }
        self.changed(&chain);
        Ok(changed)
    }

    fn look_for_more(&self, tip: &mut Tip) -> Result<bool> {
        let Some(listing) = Listing::read(&*self.storage)? else {
            return Err(Error::NotALog {
                location: self.storage.location(),
                reason: "it was removed".into(),
            });
        };
        let seen = self.chain.lock().seen;
        let newest = listing.segments.last().copied();
        let (mut changed, mut left_behind) = (false, false);
        for id in listing.segments.iter().copied().filter(|id| *id > seen) {
            // Its link may not be written yet: then it is looked at again.
            let facts = match SegmentFacts::read(&self.storage, id) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => break,
                facts => facts?,
            };
            let Ok(link) = facts.link else {
                // With another one above, it was superseded before it had one.
                left_behind = newest != Some(id);
                break;
            };
            let mut chain = self.chain.lock();
            if !chain.go_on(facts.header, &link) {
                // Its predecessor was begun and removed since the last refresh.
                left_behind = true;
                break;
            }
            self.changed(&chain);
            changed = true;
        }
        let mut chain = self.chain.lock();
        let before = chain.entries.len();
        left_behind |= !chain.lose_oldest(|id| listing.segments.binary_search(&id).is_ok());
        if chain.entries.len() < before {
            self.changed(&chain);
            changed = true;
        }
        let last = chain.entries.last().map(|entry| entry.header);
        drop(chain);
        // If the whole log was removed, ids begin at 1 again, so it may be another file.
        if let Some(header) = last.filter(|header| !changed && newest == Some(header.segment_id)) {
            left_behind |= match SegmentFacts::read(&self.storage, header.segment_id) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => true,
                facts => facts?.header != header,
            };
        }
        if left_behind {
            changed |= self.look_anew(tip)?;
        }
        Ok(changed)
    }

    fn look_at_the_end(&self, tip: &mut Tip) -> Result<()> {
        let newest = self.chain.lock().entries.last().cloned();
        let Some(entry) = newest else {
            let mut chain = self.chain.lock();
            chain.end.lsn = chain.log_first.prev();
            return Ok(());
        };
        let id = entry.header.segment_id;
        if let Some((lsn, offset)) = entry.end {
            self.chain.lock().end = Mark {
                lsn,
                segment: id,
                offset,
            };
            return Ok(());
        }
        let io = |error| {
            Error::io(
                self.storage.location(),
                format!("reading segment {id}"),
                error,
            )
        };
        let found = tip.advance(&self.files, &entry).map_err(io)?;
        let mut chain = self.chain.lock();
        chain.end = found.end;
        chain.proven = chain.proven.max(found.proven).min(found.end.lsn);
        chain.log_first = chain.log_first.max(found.log_first);
        Ok(())
    }

    /// Closes files that no longer belong to the log, and tells readers of truncations.
    fn changed(&self, chain: &Chain) {
        self.era.store(chain.eras.now().0, Ordering::Release);
        self.files.retain(|open| chain.ids().any(|id| id == open));
    }
}

/// Scans the directory as it is, beside whoever changes it.
///
/// A writer that rotates, recovers or truncates meanwhile makes the listing, or what was read of the end, older than the
/// rest: a file is not there any more or not yet, a group was not there when it was looked for but the one behind it was. A
/// writer never leaves such a sight in the same place for a second look. Damage does.
fn look(storage: &Arc<dyn Storage>) -> Result<(Scan, RecoveryReport)> {
    let mut seen = None;
    loop {
        let error = match look_once(storage) {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let passing = match &error {
            Error::Corruption(_) | Error::MissingSegment { .. } => true,
            Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        };
        let message = error.to_string();
        if !passing || seen.as_ref() == Some(&message) {
            return Err(error);
        }
        seen = Some(message);
    }
}

fn look_once(storage: &Arc<dyn Storage>) -> Result<(Scan, RecoveryReport)> {
    let location = storage.location();
    let Some(listing) = Listing::read(&**storage)? else {
        let reason = "it does not exist; open it for writing to create a log".into();
        return Err(Error::NotALog { location, reason });
    };
    if listing.segments.is_empty() && !listing.lock {
        let reason = "there is no segment in it; open it for writing to create a log".into();
        return Err(Error::NotALog { location, reason });
    }
    let scan = recovery::scan(storage, listing)?;
    let plan = recovery::plan(&scan)?;
    Ok((scan, plan.report))
}
