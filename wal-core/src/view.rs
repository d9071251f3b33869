//! A log as seen without its lock: by a read-only open, in this process or beside a writer in another.
//!
//! The chain is read once and then followed: a new segment appears under its final name, and its link says where the one
//! before it ends. Changes no byte.

use wal_format::{Lsn, SegmentId};
use wal_io::Storage;

use crate::log::ChainEntry;
use crate::recovery::{self, Listing, Plan, RecoveryReport, Scan};
use crate::segment::SegmentFacts;
use crate::sync::{Arc, Mutex};
use crate::{Error, Result};

/// The segments of a log that someone else may be writing.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) storage: Arc<dyn Storage>,
    chain: Mutex<Chain>,
    report: RecoveryReport,
    /// Why the log could not be opened for writing: what readers get where the data ends.
    damage: Option<Error>,
}

#[derive(Clone, Debug)]
struct Chain {
    entries: Vec<ChainEntry>,
    log_first: Lsn,
    /// The newest file's id, on the chain or not.
    seen: SegmentId,
}

/// What to do about damage found while opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDamage {
    /// Refuse to open.
    Refuse,
    /// Open, and let readers meet it in its place.
    Defer,
}

impl View {
    pub(crate) fn open(storage: Arc<dyn Storage>, on_damage: OnDamage) -> Result<Self> {
        let location = storage.location();
        let Some(listing) = Listing::read(&*storage)? else {
            let reason = "it does not exist; open it for writing to create a log".into();
            return Err(Error::NotALog { location, reason });
        };
        if listing.segments.is_empty() && !listing.lock {
            let reason = "there is no segment in it; open it for writing to create a log".into();
            return Err(Error::NotALog { location, reason });
        }
        let scan = recovery::scan(&*storage, listing)?;
        match recovery::plan(&scan) {
            Ok(Plan { report, .. }) => Ok(Self::new(storage, &scan, report, None)),
            Err(error) if on_damage == OnDamage::Defer => {
                let report = damaged_report(&scan);
                Ok(Self::new(storage, &scan, report, Some(error)))
            }
            Err(error) => Err(error),
        }
    }

    fn new(
        storage: Arc<dyn Storage>,
        scan: &Scan,
        report: RecoveryReport,
        damage: Option<Error>,
    ) -> Self {
        let count = scan.chain.len();
        let entries = scan.chain.iter().enumerate().map(|(at, link)| ChainEntry {
            header: link.facts.header,
            first_lsn: link.link.first_lsn,
            // The newest segment may still grow, unless it is closed or damaged.
            end: (at + 1 < count || scan.footer.is_some() || damage.is_some())
                .then_some((link.end.lsn, link.end.offset)),
        });
        let chain = Chain {
            entries: entries.collect(),
            log_first: scan.log_first,
            seen: scan
                .chain
                .last()
                .map_or(SegmentId::NONE, |link| link.facts.id()),
        };
        Self {
            storage,
            chain: Mutex::new(chain),
            report,
            damage,
        }
    }

    pub(crate) fn report(&self) -> &RecoveryReport {
        &self.report
    }

    pub(crate) fn damage(&self) -> Option<Error> {
        self.damage.clone()
    }

    pub(crate) fn chain(&self) -> Vec<ChainEntry> {
        self.chain.lock().entries.clone()
    }

    pub(crate) fn first_lsn(&self) -> Lsn {
        self.chain.lock().log_first
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
        let mut changed = false;
        for id in listing.segments.into_iter().filter(|id| *id > seen) {
            // Its link may not be written yet: then it is looked at again.
            let facts = SegmentFacts::read(&*self.storage, id)?;
            let Ok(link) = facts.link else { break };
            let body = link.body;
            if body.predecessor != SegmentId::NONE {
                let found = chain
                    .entries
                    .iter()
                    .position(|entry| entry.header.segment_id == body.predecessor);
                let Some(at) = found else { break };
                chain.entries.truncate(at + 1);
                chain.entries[at].end = Some((body.end_lsn, body.end_offset.get()));
            }
            chain.entries.push(ChainEntry {
                header: facts.header,
                first_lsn: link.first_lsn,
                end: None,
            });
            chain.log_first = chain.log_first.max(body.log_first);
            chain.seen = id;
            changed = true;
        }
        Ok(changed)
    }
}

/// What can be said of a log that cannot be opened.
fn damaged_report(scan: &Scan) -> RecoveryReport {
    RecoveryReport {
        clean: false,
        segments: scan.chain.len(),
        first_lsn: scan.log_first,
        last_lsn: scan.end(),
        proven_lsn: scan.proven.watermark,
        unproven: 0,
        tail: recovery::Tail::Whole,
        witness: String::new(),
        leftovers: Vec::new(),
    }
}
