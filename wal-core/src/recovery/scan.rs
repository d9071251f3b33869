//! Reads a directory: the chain of segments from the newest link back, and the facts about its end.
//!
//! Reads only, and as little as the proof needs: header and link of each segment, the footer of the newest, and the groups
//! of those segments that nothing proves durable.

use std::collections::BTreeMap;
use std::io;

use wal_format::{Control, Footer, LinkBody, Lsn, Offset, SegmentId, UnixMillis};
use wal_io::Storage;

use super::list::Listing;
use super::recorded::recorded_gaps;
use super::surplus::Surplus;
use super::tail::{ChainLink, GroupEnd, Stop, TailFacts, find_end, scan_tail};
use super::witness::look_beyond;
use crate::error::Corruption;
use crate::segment::{LinkFacts, SegmentFacts};
use crate::sync::Arc;
use crate::{Error, Result};

/// Proof of durability from a segment that is not on the chain (any more).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Witness {
    pub(crate) watermark: Lsn,
    pub(crate) segment: SegmentId,
    pub(crate) offset: Offset,
}

/// All facts about a directory.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) location: String,
    pub(crate) listing: Listing,
    /// The chain, oldest first; empty if there is no segment with a valid link.
    pub(crate) chain: Vec<ChainLink>,
    /// The footer of the newest segment.
    pub(crate) footer: Option<Footer>,
    /// The log's first LSN.
    pub(crate) log_first: Lsn,
    /// The control state at the chain's end.
    pub(crate) control: Control,
    /// It is as durable as this record; 0 if it is durable.
    pub(crate) control_before: Lsn,
    /// The time of its last group of records, as far as it was read.
    pub(crate) latest: UnixMillis,
    /// The highest proven LSN, and who says so.
    pub(crate) proven: Witness,
    /// Segments with higher ids than the chain's newest: begun, but nothing in them follows the chain's end.
    pub(crate) above: Vec<SegmentFacts>,
    /// The highest watermark in those.
    pub(crate) above_witness: Option<Witness>,
    /// The newest file was cut short: how many bytes of it are left.
    pub(crate) cut_short: Option<(SegmentId, u64)>,
    /// The chain names a segment that is not there.
    pub(crate) missing: Option<(SegmentId, String)>,
    /// How many segments of the chain stay part of the log when the next one is begun.
    pub(crate) kept: usize,
    /// The end of what is proven in the last of them.
    pub(crate) anchor: GroupEnd,
    /// First and last LSN of each loss that a repair recorded.
    pub(crate) gaps: Vec<(Lsn, Lsn)>,
    /// Nothing behind the anchor needs a copy to survive the next crash. False also if the newest segment lives in the reserve.
    pub(crate) settled: bool,
    /// Files of the chain that are longer than necessary, except that of the last segment that is kept.
    pub(crate) surplus: Vec<Surplus>,
    /// The same for that last one, once another segment follows it.
    pub(crate) last_surplus: Option<Surplus>,
}

/// Scans the directory.
pub(crate) fn scan(storage: &Arc<dyn Storage>, listing: Listing) -> Result<Scan> {
    let location = storage.location();
    let mut segments = BTreeMap::new();
    let mut unreadable = BTreeMap::new();
    for id in &listing.segments {
        match SegmentFacts::read(storage, *id) {
            Ok(facts) => drop(segments.insert(*id, facts)),
            Err(error @ Error::Corruption(_)) => drop(unreadable.insert(*id, error)),
            Err(error) => return Err(error),
        }
    }
    // Records of another log are not this one's.
    check_one_log(&location, &segments)?;
    let mut scan = Scan {
        location,
        log_first: listing.first(),
        control: Control::default(),
        control_before: Lsn::ZERO,
        latest: UnixMillis::new(0),
        listing,
        chain: Vec::new(),
        footer: None,
        proven: Witness {
            watermark: Lsn::ZERO,
            segment: SegmentId::NONE,
            offset: Offset::new(0),
        },
        above: Vec::new(),
        above_witness: None,
        cut_short: None,
        missing: None,
        kept: 0,
        anchor: GroupEnd {
            lsn: Lsn::ZERO,
            offset: wal_format::HEADER_LEN,
            digest: 0,
        },
        gaps: Vec::new(),
        settled: true,
        surplus: Vec::new(),
        last_surplus: None,
    };
    // From the newest segment down: one whose link, or whose predecessor's link, did not survive holds nothing that follows
    // the log, and the search goes on below it.
    let mut below = SegmentId::new(u64::MAX);
    while let Some(newest) = segments
        .range(..below)
        .rev()
        .find(|(_, facts)| facts.link.is_ok())
        .map(|(id, _)| *id)
    {
        match scan.walk(&segments, newest)? {
            ChainWalk::Done => break,
            ChainWalk::Below(id) => {
                below = id;
                scan.forget_chain();
            }
        }
    }
    let newest = scan
        .chain
        .last()
        .map_or(SegmentId::NONE, |link| link.facts.id());
    scan.check_headers(unreadable, newest)?;
    scan.above = segments
        .range(newest.next()..)
        .map(|(_, facts)| facts.clone())
        .collect();
    for facts in &scan.above {
        check_copy(&scan.location, facts)?;
    }
    scan.look_above()?;
    // Only what was proven durable is dropped.
    let dropped = scan.listing.first().prev();
    scan.testify(dropped, SegmentId::NONE, Offset::new(0));
    scan.check_length();
    scan.find_control(&segments)?;
    scan.find_anchor()?;
    scan.gaps = recorded_gaps(&scan.chain, scan.log_first, scan.end());
    scan.find_surplus()?;
    Ok(scan)
}

/// A copy had its link before it had its name: no crash takes it.
fn check_copy(location: &str, facts: &SegmentFacts) -> Result<()> {
    let Some(what) = facts
        .link
        .as_ref()
        .err()
        .filter(|_| facts.header.origin.is_whole())
    else {
        return Ok(());
    };
    // A file that was whole when it got its name is whole.
    Err(Error::Corruption(Box::new(Corruption {
        location: location.to_owned(),
        segment_id: facts.id(),
        offset: Offset::new(wal_format::HEADER_LEN),
        first_lsn: Lsn::ZERO,
        last_lsn: None,
        what: what.clone(),
        witness: "the file was whole when it got its name".into(),
    })))
}

enum ChainWalk {
    Done,
    /// Only segments below this one can carry the log.
    Below(SegmentId),
}

fn check_one_log(location: &str, segments: &BTreeMap<SegmentId, SegmentFacts>) -> Result<()> {
    let Some((_, newest)) = segments.last_key_value() else {
        return Ok(());
    };
    let other = segments
        .values()
        .find(|facts| facts.header.log_id != newest.header.log_id);
    let Some(other) = other else { return Ok(()) };
    Err(Error::Corruption(Box::new(Corruption {
        location: location.to_owned(),
        segment_id: other.id(),
        offset: Offset::new(0),
        first_lsn: Lsn::ZERO,
        last_lsn: None,
        what: format!(
            "it belongs to log {}, the newest segment to log {}",
            other.header.log_id, newest.header.log_id
        ),
        witness: "all segments of a log carry its id".into(),
    })))
}

impl Scan {
    pub(super) fn io(&self, id: SegmentId, error: io::Error) -> Error {
        Error::io(
            self.location.clone(),
            format!("reading segment {id}"),
            error,
        )
    }

    fn testify(&mut self, watermark: Lsn, segment: SegmentId, offset: Offset) {
        if watermark > self.proven.watermark {
            self.proven = Witness {
                watermark,
                segment,
                offset,
            };
        }
    }

    fn testify_tail(&mut self, id: SegmentId, tail: &TailFacts) {
        self.testify(tail.watermark, id, Offset::new(tail.end.offset));
        if let Some((watermark, offset)) = tail.beyond.witness {
            self.testify(watermark, id, offset);
        }
        if let Stop::Footer(footer) = &tail.stop {
            self.testify(footer.last_lsn, id, footer.data_len);
        }
    }

    fn forget_chain(&mut self) {
        self.chain.clear();
        self.footer = None;
        self.log_first = self.listing.first();
    }

    /// A file without a valid header is damage, unless the chain is whole without it and a newer segment replaces it: what a
    /// repair had no time to remove.
    fn check_headers(
        &self,
        unreadable: BTreeMap<SegmentId, Error>,
        newest: SegmentId,
    ) -> Result<()> {
        let oldest_first = unreadable.into_iter();
        let mut needed = oldest_first.filter(|(id, _)| *id > newest || self.missing.is_some());
        needed.next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Walks the chain back from `newest`.
    fn walk(
        &mut self,
        segments: &BTreeMap<SegmentId, SegmentFacts>,
        newest: SegmentId,
    ) -> Result<ChainWalk> {
        self.push_newest(&segments[&newest])?;
        loop {
            let first = &self.chain[0];
            let link = first.link.clone();
            let id = first.facts.id();
            let predecessor = link.body.predecessor;
            if link.body.end_lsn < self.log_first {
                return Ok(ChainWalk::Done);
            }
            if predecessor == SegmentId::NONE {
                return Err(self.no_beginning(id, link.body.end_lsn));
            }
            let Some(facts) = segments.get(&predecessor) else {
                self.missing = Some((
                    predecessor,
                    format!(
                        "the link of segment {id} follows it, and it holds records up to LSN {}",
                        link.body.end_lsn
                    ),
                ));
                return Ok(ChainWalk::Done);
            };
            // A copy of another file under this name is not the file.
            if !facts.header.answers_to(link.body.predecessor_epoch) {
                return Err(self.not_the_file(facts, id));
            }
            let Ok(predecessor_link) = facts.link.clone() else {
                check_copy(&self.location, facts)?;
                return Ok(ChainWalk::Below(predecessor));
            };
            self.push_predecessor(facts, predecessor_link, &link)?;
        }
    }

    fn no_beginning(&self, id: SegmentId, end_lsn: Lsn) -> Error {
        Error::Corruption(Box::new(Corruption {
            location: self.location.clone(),
            segment_id: id,
            offset: Offset::new(wal_format::HEADER_LEN),
            first_lsn: self.log_first,
            last_lsn: Some(end_lsn),
            what: "it is the first segment, and does not hold the log's first record".into(),
            witness: "its link".into(),
        }))
    }

    fn not_the_file(&self, facts: &SegmentFacts, successor: SegmentId) -> Error {
        Error::Corruption(Box::new(Corruption {
            location: self.location.clone(),
            segment_id: facts.id(),
            offset: Offset::new(0),
            first_lsn: Lsn::ZERO,
            last_lsn: None,
            what: "it is another file than the one that the log was written to".into(),
            witness: format!("the link of segment {successor} names the epoch of its predecessor"),
        }))
    }

    fn push_newest(&mut self, facts: &SegmentFacts) -> Result<()> {
        let Ok(link) = facts.link.clone() else {
            return Ok(());
        };
        let id = facts.id();
        if let Some(footer) = facts.footer().map_err(|error| self.io(id, error))? {
            let offset = footer.data_len;
            let end = GroupEnd {
                lsn: footer.last_lsn,
                offset: offset.get(),
                digest: footer.data_digest,
            };
            self.testify(footer.last_lsn, id, offset);
            self.log_first = self
                .log_first
                .max(footer.log_first)
                .max(link.body.log_first);
            self.footer = Some(footer);
            self.chain.push(ChainLink {
                facts: facts.clone(),
                link,
                end,
                tail: None,
            });
            return Ok(());
        }
        let tail = scan_tail(facts, &link, facts.len, &self.location)?;
        self.testify_tail(id, &tail);
        self.log_first = self.log_first.max(tail.log_first);
        if let Stop::Footer(footer) = &tail.stop {
            self.footer = Some(footer.as_ref().clone());
        }
        self.chain.push(ChainLink {
            facts: facts.clone(),
            link,
            end: tail.end,
            tail: Some(tail),
        });
        Ok(())
    }

    /// Where the link of the next segment says that this one ends.
    fn promised_end(&self, facts: &SegmentFacts, link: &LinkBody) -> Result<GroupEnd> {
        let promised = GroupEnd {
            lsn: link.end_lsn,
            offset: link.end_offset.get(),
            digest: link.end_digest,
        };
        // The offset in the link of a later segment counts for the file that the link names, and no other.
        if facts.header.epoch == link.predecessor_epoch {
            return Ok(promised);
        }
        let read = |error| self.io(facts.id(), error);
        if let Some(footer) = facts.footer().map_err(read)?
            && footer.last_lsn == link.end_lsn
        {
            return Ok(GroupEnd {
                offset: footer.data_len.get(),
                digest: footer.data_digest,
                ..promised
            });
        }
        let found = find_end(facts, link.end_lsn, facts.len, &self.location)?;
        let found = found.filter(|end| end.lsn == link.end_lsn);
        // Damage before that is for whoever reads it.
        Ok(found.unwrap_or(GroupEnd {
            offset: facts.len,
            ..promised
        }))
    }

    fn push_predecessor(
        &mut self,
        facts: &SegmentFacts,
        link: LinkFacts,
        successor: &LinkFacts,
    ) -> Result<()> {
        let id = facts.id();
        let body = &successor.body;
        let promised = self.promised_end(facts, body)?;
        // A link gives order; it is no proof.
        if self.proven.watermark < promised.lsn
            && let Some(footer) = facts.footer().map_err(|error| self.io(id, error))?
            && footer.last_lsn >= promised.lsn
        {
            let offset = footer.data_len;
            // What lies behind the link's end is no longer the log's.
            self.testify(promised.lsn, id, offset);
        }
        if self.proven.watermark >= promised.lsn {
            self.chain.insert(
                0,
                ChainLink {
                    facts: facts.clone(),
                    link,
                    end: promised,
                    tail: None,
                },
            );
            return Ok(());
        }
        let tail = scan_tail(facts, &link, promised.offset, &self.location)?;
        self.testify_tail(id, &tail);
        if tail.end != promised {
            // What the segment has after that place is no longer the log's, but it was written after what was durable.
            let beyond = look_beyond(facts, promised.offset, facts.len);
            let beyond = beyond.map_err(|error| self.io(id, error))?;
            if let Some((watermark, offset)) = beyond.witness {
                self.testify(watermark.min(promised.lsn), id, offset);
            }
            // The data does not reach the place where the successor goes on: the log ends in this segment. Whether it may
            // is for the plan to say.
            self.chain.clear();
            self.footer = None;
            self.log_first = self.listing.first().max(tail.log_first);
        }
        let end = tail.end;
        self.chain.insert(
            0,
            ChainLink {
                facts: facts.clone(),
                link,
                end,
                tail: Some(tail),
            },
        );
        Ok(())
    }

    /// Segments above the chain hold nothing that follows it, but they may prove that something is lost.
    fn look_above(&mut self) -> Result<()> {
        for facts in &self.above {
            let beyond = look_beyond(facts, wal_format::HEADER_LEN, facts.len)
                .map_err(|error| self.io(facts.id(), error))?;
            if let Some((watermark, offset)) = beyond.witness
                && self
                    .above_witness
                    .is_none_or(|witness| watermark > witness.watermark)
            {
                self.above_witness = Some(Witness {
                    watermark,
                    segment: facts.id(),
                    offset,
                });
            }
        }
        if let Some(witness) = self.above_witness {
            self.testify(witness.watermark, witness.segment, witness.offset);
        }
        Ok(())
    }

    /// Bytes of the chain's data.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = self.chain.iter().map(|link| link.end.offset);
        bytes.fold(0, u64::saturating_add)
    }

    /// The last LSN of the chain. Without one, that of the records that were dropped: a crash may take all that was behind them.
    pub(crate) fn end(&self) -> Lsn {
        let dropped = self.listing.first().prev();
        self.chain.last().map_or(dropped, |link| link.end.lsn)
    }

    /// The newest file has the length that it was made with, unless a footer says why not: a crash cannot take that.
    fn check_length(&mut self) {
        let newest = match (self.above.last(), self.chain.last()) {
            (Some(facts), _) => Some((facts, false)),
            (None, Some(link)) => {
                let closing = link.tail.as_ref().is_some_and(|tail| tail.ends_closing);
                Some((&link.facts, closing || self.footer.is_some()))
            }
            (None, None) => None,
        };
        self.cut_short = newest
            .filter(|(facts, closed)| facts.len < facts.header.allocated && !closed)
            .map(|(facts, _)| (facts.id(), facts.len));
    }

    /// Finds the files that are longer than necessary. Each kept segment but the last is followed by a durable one.
    fn find_surplus(&mut self) -> Result<()> {
        let Some(last) = self.kept.checked_sub(1) else {
            return Ok(());
        };
        let find = |link: &ChainLink, end: u64| {
            let facts = &link.facts;
            Surplus::find(&facts.header, facts.len, end, || facts.open())
                .map_err(|error| self.io(facts.id(), error))
        };
        let mut surplus = Vec::new();
        for link in &self.chain[..last] {
            surplus.extend(find(link, link.end.offset)?);
        }
        let last_surplus = find(&self.chain[last], self.anchor.offset)?;
        (self.surplus, self.last_surplus) = (surplus, last_surplus);
        Ok(())
    }
}

impl Scan {
    /// The node ids of the segments but for `own`, oldest first, each once. Without `own` that of the newest segment is left out.
    pub(crate) fn other_node_ids(&self, own: Option<u32>) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut chain = self.chain.iter().map(|link| link.facts.header.node_id);
        let own = own.or(chain.clone().next_back());
        // A log that another node wrote is reported.
        for id in chain.by_ref().filter(|id| Some(*id) != own) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }
}
