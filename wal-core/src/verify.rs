//! Reads every byte of a log, one segment per core, and says what is damaged. Takes no lock and changes nothing.

use std::collections::VecDeque;

use wal_format::{
    Footer, GroupKind, IndexEntry, Lsn, Offset, Place, SegmentId, UnixMillis, Version,
};
use wal_io::Storage;

use crate::error::Corruption;
use crate::recovery::RecoveryReport;
use crate::segment::ChainEntry;
use crate::segment::{GroupStep, RecordStep, SegmentCursor, SegmentFacts, SegmentIndex};
use crate::sync::{self, Arc};
use crate::view::{Damaged, View};
use crate::{Error, Result, Threads};

/// How often a log is verified anew that a writer truncates meanwhile.
const LOOKS: u32 = 8;

/// What verification found in one segment.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SegmentReport {
    /// The segment.
    pub segment_id: SegmentId,
    /// The first LSN in it.
    pub first_lsn: Lsn,
    /// The last valid LSN in it; below `first_lsn` if there is none.
    pub last_lsn: Lsn,
    /// Valid records, those before the log's first LSN included.
    pub records: u64,
    /// Of these the records before the log's first LSN: they are no longer part of the log.
    pub truncated: u64,
    /// Bytes of valid data, the segment's header included.
    pub bytes: u64,
    /// First and last LSN of each loss that a repair has recorded in it. They are no damage.
    pub gaps: Vec<(Lsn, Lsn)>,
    /// It has a valid footer.
    pub sealed: bool,
    /// What does not verify.
    pub damage: Option<Error>,
}

/// What verification found.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct VerifyReport {
    /// What opening the log would find.
    pub recovery: RecoveryReport,
    /// The segments, oldest first.
    pub segments: Vec<SegmentReport>,
    /// Damage for which an open is refused, the first in the log first: at the end of the log, and where a segment is missing or
    /// has no valid header.
    pub refused: Vec<Error>,
}

impl VerifyReport {
    /// All damage, the first in the log first.
    pub fn damage(&self) -> impl Iterator<Item = &Error> {
        self.segments
            .iter()
            .filter_map(|segment| segment.damage.as_ref())
            .chain(&self.refused)
    }

    /// First and last LSN of each loss that a repair has recorded, oldest first. They are no damage.
    pub fn gaps(&self) -> impl Iterator<Item = (Lsn, Lsn)> {
        let first = self.recovery.first_lsn;
        let segments = self.segments.iter();
        let gaps = segments.flat_map(|segment| segment.gaps.iter().copied());
        // The log may have been truncated since.
        gaps.filter(move |(_, to)| *to >= first)
            .map(move |(from, to)| (from.max(first), to))
    }

    /// Valid records of the log, counted one by one.
    #[must_use]
    pub fn records(&self) -> u64 {
        let segments = self.segments.iter();
        segments
            .map(|segment| segment.records - segment.truncated)
            .sum()
    }

    /// Bytes of valid data.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

/// How a log is verified.
///
/// ```
/// use std::num::NonZeroUsize;
/// use wal_core::{Offline, Threads, VerifyOptions, WalConfig, blocking::Wal};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("log");
/// Wal::open(&dir, WalConfig::default())?.close()?;
/// let beside_other_work = VerifyOptions::default().threads(Threads::Exactly(NonZeroUsize::MIN));
/// assert_eq!(Offline::at(&dir).verify(beside_other_work)?.damage().count(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifyOptions {
    threads: Threads,
}

impl VerifyOptions {
    /// On how many threads, one segment each at a time; one per core unless said otherwise.
    #[must_use]
    pub fn threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    pub(crate) fn run(self, storage: &Arc<dyn Storage>) -> Result<VerifyReport> {
        let mut view = View::open(Arc::clone(storage), Damaged::Defer)?;
        let mut looks = 1;
        loop {
            let verified = self.verify_view(&view);
            let whole = verified
                .as_ref()
                .is_ok_and(|found| found.segments.iter().all(|found| found.damage.is_none()));
            // What a writer has cut or removed meanwhile is no damage.
            let passing = !whole && looks < LOOKS && view.reload().unwrap_or(false);
            if !passing {
                return verified;
            }
            view = View::open(Arc::clone(storage), Damaged::Defer)?;
            looks += 1;
        }
    }

    fn verify_view(self, view: &View) -> Result<VerifyReport> {
        let chain = view.chain();
        let verify = |at: usize| verify_segment(view, &chain[at]);
        let segments = sync::in_parallel(self.threads.count(), chain.len(), verify);
        let segments = segments.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(VerifyReport {
            recovery: view.report().clone(),
            segments,
            refused: view.damage(),
        })
    }
}

struct Verifier<'a> {
    view: &'a View,
    entry: &'a ChainEntry,
    log_first: Lsn,
    report: SegmentReport,
    index: Vec<IndexEntry>,
    /// What an index in pages names and was not found yet.
    places: VecDeque<Place>,
    /// The greatest time of the groups of records so far.
    reach: UnixMillis,
    end: u64,
}

fn verify_segment(view: &View, entry: &ChainEntry) -> Result<SegmentReport> {
    let id = entry.header.segment_id;
    let io = |error| {
        Error::io(
            view.storage.location(),
            format!("reading segment {id}"),
            error,
        )
    };
    let file = view.files.open(id).map_err(io)?;
    let len = file.len().map_err(io)?;
    let limit = entry.end.map_or(len, |(_, end)| end);
    let mut verifier = Verifier {
        view,
        entry,
        log_first: view.first_lsn(),
        report: SegmentReport {
            segment_id: id,
            first_lsn: entry.first_lsn,
            last_lsn: entry.first_lsn.prev(),
            records: 0,
            truncated: 0,
            bytes: 0,
            gaps: Vec::new(),
            sealed: false,
            damage: None,
        },
        index: Vec::new(),
        places: VecDeque::new(),
        reach: UnixMillis::new(0),
        end: wal_format::HEADER_LEN,
    };
    let footer = SegmentFacts::footer_of(entry.header, &file).map_err(io)?;
    let counts = |footer: &&Footer| footer.ends_at(Offset::new(limit));
    if let Some(footer) = footer.as_ref().filter(counts) {
        let index = SegmentIndex::from_footer(&entry.header, footer, &*file).map_err(io)?;
        verifier.places = index.places().collect();
        let pages = footer.more.as_ref().map_or(0, |more| more.pages.len());
        if pages > 0 && verifier.places.is_empty() {
            verifier.damaged("a page of its index does not verify".into());
        }
    }
    let mut cursor = SegmentCursor::new(Arc::clone(&file), entry.header, limit);
    let walked = verifier.groups(&mut cursor).map_err(io)?;
    // Behind the last record stands a stamp or a cut at most, which nothing proves durable before there is a footer.
    let ended =
        |(last, end)| verifier.report.last_lsn == last && (verifier.end == end || footer.is_none());
    if !entry.end.is_none_or(ended) {
        let short = "the data ends before the place where the log goes on".into();
        verifier.damaged(walked.err().unwrap_or(short));
    }
    verifier.footer(footer);
    verifier.report.bytes = verifier.end;
    Ok(verifier.report)
}

impl Verifier<'_> {
    fn damaged(&mut self, what: String) {
        let (last_lsn, witness) = match self.entry.end {
            Some((last, _)) => (Some(last), "the log continues after it".to_owned()),
            None => (None, "the segment's own footer".to_owned()),
        };
        self.report.damage.get_or_insert_with(|| {
            Error::Corruption(Box::new(Corruption {
                location: self.view.storage.location(),
                segment_id: self.report.segment_id,
                offset: Offset::new(self.end),
                first_lsn: self.report.last_lsn.next(),
                last_lsn,
                what,
                witness,
            }))
        });
    }

    /// Walks all groups; says what stopped it before the end.
    fn groups(&mut self, cursor: &mut SegmentCursor) -> std::io::Result<Result<(), String>> {
        // Without a fixed end, an invalid place is the end: what lies behind it was judged when the log was opened.
        let fixed = self.entry.end.is_some();
        loop {
            let header = match cursor.next_group()? {
                GroupStep::Group(header) => header,
                GroupStep::End => return Ok(Ok(())),
                GroupStep::Invalid(_) if !fixed => return Ok(Ok(())),
                GroupStep::Invalid(error) => return Ok(Err(error.to_string())),
            };
            self.meet(header.first_lsn, header.offset.get(), true);
            let verdict = match header.kind {
                GroupKind::Records => self.records(cursor)?,
                GroupKind::Link => Ok(()),
                GroupKind::Footer => return Ok(Ok(())),
                _ => cursor
                    .facts(&header)?
                    .map(drop)
                    .map_err(|error| error.to_string()),
            };
            match verdict {
                Ok(()) => {}
                Err(_) if !fixed => return Ok(Ok(())),
                Err(what) => return Ok(Err(what)),
            }
            if header.kind == GroupKind::Gap {
                self.report.gaps.push((header.first_lsn, header.end_lsn()));
            }
            if header.kind == GroupKind::Records {
                self.reach = self.reach.max(header.time);
                self.report.records += u64::from(header.record_count);
                let below = self.log_first.get().saturating_sub(header.first_lsn.get());
                self.report.truncated += below.min(u64::from(header.record_count));
                if IndexEntry::is_due(self.index.last(), header.offset) {
                    self.index.push(IndexEntry {
                        first_lsn: header.first_lsn,
                        offset: header.offset,
                    });
                }
            }
            self.report.last_lsn = header.end_lsn();
            self.end = self.entry.header.alignment.round_up(header.end_offset());
        }
    }

    /// Notes that a group or a record is where the index names one.
    fn meet(&mut self, lsn: Lsn, offset: u64, is_group: bool) {
        let place = Place {
            lsn,
            offset: Offset::new(offset),
            is_group,
            reach: self.reach,
        };
        if self.places.front() == Some(&place) {
            self.places.pop_front();
        }
    }

    fn records(&mut self, cursor: &mut SegmentCursor) -> std::io::Result<Result<(), String>> {
        loop {
            while let Some((lsn, offset, _)) = cursor.record_in_memory() {
                self.meet(lsn, offset, false);
            }
            match cursor.next_record()? {
                RecordStep::Record { lsn, offset, head } => {
                    self.meet(lsn, offset, false);
                    if let Err(error) = cursor.check_value(offset, &head) {
                        // Whole, as its checksum says, and so never the log's end.
                        self.damaged(format!("the value of LSN {lsn}: {error}"));
                    }
                }
                RecordStep::GroupEnd => return Ok(Ok(())),
                RecordStep::Invalid(error) => return Ok(Err(error.to_string())),
            }
        }
    }

    /// A footer must say what the groups say.
    fn footer(&mut self, footer: Option<Footer>) {
        let Some(footer) = footer else { return };
        if !footer.ends_at(Offset::new(self.end)) || self.report.damage.is_some() {
            // It is about more than the log takes from the segment, or the damage is reported already.
            self.report.sealed = self.report.damage.is_none();
            return;
        }
        if footer.record_count != self.report.records
            || footer.last_lsn != self.report.last_lsn
            || (self.entry.header.version == Version::V1 && footer.index != self.index)
            || !self.places.is_empty()
            || footer
                .more
                .is_some_and(|more| more.time_greatest < self.reach)
        {
            self.damaged("its footer says something else than its groups".into());
            return;
        }
        self.report.sealed = true;
    }
}
