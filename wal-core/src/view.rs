//! A log as seen without its lock: by a read-only open, in this process or beside a writer in another.
//!
//! The chain is read once and then followed: a new segment appears under its final name, and its link says where the one
//! before it ends. Changes no byte.

use std::io;

use wal_format::{LinkBody, LinkCause, Lsn, SegmentId};
use wal_io::Storage;

use crate::damaged::{Gap, scan_pieces};
use crate::log::{ChainEntry, Era, Eras};
use crate::recovery::{self, ChainLink, Listing, RecoveryReport, Scan, Wreck};
use crate::segment::SegmentFacts;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};
use crate::{Error, Result, sabotage};

/// The segments of a log that someone else may be writing.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) storage: Arc<dyn Storage>,
    chain: Mutex<Chain>,
    /// A copy of the chain's era that is read without the lock.
    era: AtomicU64,
    report: RecoveryReport,
    /// Why the log could not be opened for writing: what readers get in the place of records. Oldest first.
    gaps: Vec<Gap>,
    /// The same, for what no reader needs.
    stray: Vec<Error>,
    /// What can be read all the same, once a reader has asked for it.
    wreck: Mutex<Option<Arc<Wreck>>>,
}

#[derive(Clone, Debug)]
struct Chain {
    entries: Vec<ChainEntry>,
    log_first: Lsn,
    eras: Eras,
    /// The newest file's id, on the chain or not.
    seen: SegmentId,
    /// The newest segment whose link was followed. Never goes back.
    followed: SegmentId,
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
            storage,
            chain: Mutex::new(Chain::of(&scans, &gaps)),
            era: AtomicU64::new(0),
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

    pub(crate) fn chain(&self) -> Vec<ChainEntry> {
        self.chain.lock().entries.clone()
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

    /// Whether segments behind this one may be begun that are not known yet.
    pub(crate) fn may_go_on_behind(&self, id: SegmentId) -> bool {
        let newest = |chain: &Chain| chain.ids().last() == Some(id);
        self.gaps.is_empty() && newest(&self.chain.lock())
    }

    /// Looks at all of it anew: a file that was there is gone. True if the log is another than before.
    pub(crate) fn reload(&self) -> Result<bool> {
        if !self.gaps.is_empty() || !self.stray.is_empty() {
            return Ok(false);
        }
        let (mut scan, _) = look(&self.storage)?;
        let mut new = Chain::of(std::slice::from_ref(&scan), &[]);
        let mut chain = self.chain.lock();
        if new.seen < chain.seen {
            // Another reader of the handle has seen more meanwhile.
            drop(chain);
            (scan, _) = look(&self.storage)?;
            new = Chain::of(std::slice::from_ref(&scan), &[]);
            chain = self.chain.lock();
        }
        new.eras = std::mem::take(&mut chain.eras);
        new.followed = chain.followed;
        if !chain.is_joined_by(&scan) {
            // What lies between was not seen. It may have been a truncation of the newest records.
            new.eras.begin(new.log_first.prev());
        }
        for link in &scan.chain {
            new.follow(link.facts.id(), &link.link.body);
        }
        let changed = new.log_first != chain.log_first || new.ids().ne(chain.ids());
        *chain = new;
        self.era.store(chain.eras.now().0, Ordering::Release);
        Ok(changed)
    }

    /// Looks for segments that were begun since the last look. True if there are any.
    pub(crate) fn refresh(&self) -> Result<bool> {
        let Some(listing) = Listing::read(&*self.storage)? else {
            return Err(Error::NotALog {
                location: self.storage.location(),
                reason: "it was removed".into(),
            });
        };
        let mut chain = self.chain.lock();
        let seen = chain.seen;
        let newest = listing.segments.last().copied();
        let (mut changed, mut left_behind) = (false, false);
        for id in listing.segments.into_iter().filter(|id| *id > seen) {
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
            let body = link.body;
            if body.predecessor == SegmentId::NONE {
                // Nothing before it was proven: what a crash left is in this segment now.
                chain.entries.clear();
            } else {
                let found = chain
                    .entries
                    .iter()
                    .position(|entry| entry.header.segment_id == body.predecessor);
                let Some(at) = found else {
                    // The one before it was begun and is gone since the last look.
                    left_behind = true;
                    break;
                };
                chain.entries.truncate(at + 1);
                chain.entries[at].end = Some((body.end_lsn, body.end_offset.get()));
            }
            chain.follow(id, &body);
            self.era.store(chain.eras.now().0, Ordering::Release);
            chain.entries.push(ChainEntry {
                header: facts.header,
                first_lsn: link.first_lsn,
                end: None,
            });
            chain.log_first = chain.log_first.max(body.log_first);
            chain.seen = id;
            changed = true;
        }
        drop(chain);
        if left_behind {
            changed |= self.reload()?;
        }
        Ok(changed)
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
    // A read-only open changes no byte.
    if sabotage::is("read-only-open-tidies-up") {
        for name in &plan.remove {
            let _ = storage.remove(name);
        }
    }
    Ok((scan, plan.report))
}

impl Chain {
    fn ids(&self) -> impl Iterator<Item = SegmentId> {
        self.entries.iter().map(|entry| entry.header.segment_id)
    }

    /// A new segment's link may say that the newest records were dropped.
    fn follow(&mut self, id: SegmentId, link: &LinkBody) {
        if id > self.followed && link.cause == LinkCause::TruncatedAfter {
            self.eras.begin(link.kept);
        }
        self.followed = self.followed.max(id);
    }

    /// Whether a later look goes on where this one ended.
    fn is_joined_by(&self, scan: &Scan) -> bool {
        let known = |id: SegmentId| self.ids().any(|known| known == id);
        // Without a predecessor nothing else is left of the log, and the link says since when.
        let begins = |id: SegmentId| id == SegmentId::NONE || known(id);
        let joined =
            |link: &ChainLink| known(link.facts.id()) || begins(link.link.body.predecessor);
        self.entries.is_empty() || scan.chain.iter().any(joined)
    }

    fn of(scans: &[Scan], gaps: &[Gap]) -> Self {
        let newest = scans.last();
        let footer = newest.is_some_and(|scan| scan.footer.is_some());
        let links = || scans.iter().flat_map(|scan| &scan.chain);
        let count = links().count();
        let entries = links().enumerate().map(|(at, link)| ChainEntry {
            header: link.facts.header,
            first_lsn: link.link.first_lsn,
            // The newest segment may still grow, unless it is closed or the log is damaged.
            end: (at + 1 < count || footer || !gaps.is_empty())
                .then_some((link.end.lsn, link.end.offset)),
        });
        // A segment above the chain whose link is valid does not follow it, and never will. One without a link may be
        // about to get it.
        let above = newest.and_then(|scan| {
            let mut above = scan.above.iter().rev();
            above.find(|facts| facts.link.is_ok())
        });
        Self {
            entries: entries.collect(),
            followed: links()
                .last()
                .map_or(SegmentId::NONE, |link| link.facts.id()),
            eras: Eras::default(),
            log_first: newest.map_or(Lsn::FIRST, |scan| scan.log_first),
            seen: above
                .or(links().last().map(|link| &link.facts))
                .map_or(SegmentId::NONE, SegmentFacts::id),
        }
    }
}
