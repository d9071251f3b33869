//! Where the data of one segment ends, and what its groups say.

use std::collections::VecDeque;

use wal_format::{
    Control, ControlBody, ControlChange, Footer, GroupError, GroupFacts, GroupHeader, GroupKind,
    Lsn, UnixMillis,
};

use super::witness::{Beyond, look_beyond};
use crate::segment::{GroupStep, LinkFacts, SegmentCursor, SegmentFacts};
use crate::unknown::Unknown;
use crate::{Error, Result};

/// The end of a group: a place where the log may be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupEnd {
    pub(crate) lsn: Lsn,
    pub(crate) offset: u64,
    pub(crate) digest: u32,
}

/// Why the scan of a segment stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// At its footer.
    Footer(Box<Footer>),
    /// Where its successor's link, or the file, ends.
    Limit,
    /// At a place that is not a valid group.
    Invalid(GroupError),
}

/// What the scan of a segment found.
#[derive(Debug)]
pub(crate) struct TailFacts {
    /// The last valid group.
    pub(crate) end: GroupEnd,
    pub(crate) stop: Stop,
    /// Highest watermark of a valid group header up to the end.
    pub(crate) watermark: Lsn,
    /// The log's first LSN, as far as this segment knows.
    pub(crate) log_first: Lsn,
    /// That LSN, and the control state, are as durable as this record: the first one after the last group that changed them.
    pub(crate) said_before: Lsn,
    /// The control state at its end; `None` if no group says it.
    pub(crate) control: Option<Control>,
    /// Where its first group after link and table starts, or before.
    pub(crate) start: u64,
    /// The time of its last group of records.
    pub(crate) latest: UnixMillis,
    /// At the end stands the header of a footer that ends with the file, whatever the rest of it says.
    pub(crate) ends_closing: bool,
    /// What lies behind an invalid place.
    pub(crate) beyond: Beyond,
    /// Group ends at or above the watermark, as far as kept.
    ends: VecDeque<GroupEnd>,
}

/// A segment of the chain.
#[derive(Debug)]
pub(crate) struct ChainLink {
    pub(crate) facts: SegmentFacts,
    pub(crate) link: LinkFacts,
    /// What the log takes from it.
    pub(crate) end: GroupEnd,
    /// Its groups, where they were read.
    pub(crate) tail: Option<TailFacts>,
}

/// Group ends kept in memory; above that, the place of the watermark is looked for in a second pass.
const ENDS_KEPT: usize = 1 << 16;

impl TailFacts {
    /// The end of the group whose last record is `lsn`. What stands behind it (a stamp, a cut) may not be durable though the
    /// record is.
    pub(crate) fn end_of(&self, lsn: Lsn) -> Option<GroupEnd> {
        self.ends.iter().find(|end| end.lsn == lsn).copied()
    }
}

/// Scans a segment with a valid link from its first group on. Nothing at or behind `limit` is read.
pub(crate) fn scan_tail(
    segment: &SegmentFacts,
    link: &LinkFacts,
    limit: u64,
    location: &str,
) -> Result<TailFacts> {
    let limit = limit.min(segment.len);
    let io = |error| Error::io(location, format!("reading segment {}", segment.id()), error);
    let mut cursor = SegmentCursor::new(segment.open().map_err(io)?, segment.header, limit);
    let mut facts = TailFacts {
        end: GroupEnd {
            lsn: link.body.end_lsn,
            offset: wal_format::HEADER_LEN,
            digest: 0,
        },
        stop: Stop::Limit,
        watermark: link.watermark,
        log_first: link.body.log_first,
        said_before: if segment.header.origin.is_whole() {
            Lsn::ZERO
        } else {
            link.first_lsn
        },
        control: None,
        start: wal_format::HEADER_LEN,
        latest: UnixMillis::new(0),
        ends_closing: false,
        beyond: Beyond::default(),
        ends: VecDeque::new(),
    };
    loop {
        let header = match cursor.next_group().map_err(io)? {
            GroupStep::Group(header) => header,
            GroupStep::Invalid(error) => {
                facts.stop = Stop::Invalid(error);
                break;
            }
            GroupStep::End => break,
        };
        facts.note_time(&header);
        // The header verifies by itself, so its watermark counts whatever its payload is.
        facts.watermark = facts.watermark.max(header.watermark);
        let verdict = match header.kind {
            // Invariant 2: a group is valid as a whole or not at all.
            GroupKind::Records => cursor
                .check_group()
                .map_err(io)?
                .map(|()| cursor.skip_group()),
            GroupKind::Link => Ok(()),
            GroupKind::Footer => {
                facts.ends_closing = header.end_offset() == segment.len;
                let payload = cursor.payload(&header).map_err(io)?;
                match Footer::decode(&payload, &header) {
                    Ok(footer) => {
                        facts.log_first = facts.log_first.max(footer.log_first);
                        facts.note_end(GroupEnd {
                            lsn: footer.last_lsn,
                            ..facts.end
                        });
                        facts.stop = Stop::Footer(Box::new(footer));
                        return Ok(facts);
                    }
                    Err(error) => Err(error),
                }
            }
            _ => cursor
                .facts(&header)
                .map_err(io)?
                .map(|said| facts.note_said(&said, header.first_lsn)),
        };
        if let Err(error) = Unknown::check(verdict).map_err(io)? {
            facts.stop = Stop::Invalid(error);
            break;
        }
        let offset = segment.header.alignment.round_up(header.end_offset());
        if facts.is_table_of(&header) {
            facts.start = offset;
        }
        facts.note_end(GroupEnd {
            lsn: header.end_lsn(),
            offset,
            digest: cursor.previous(),
        });
    }
    // A group behind the damage may prove that it was durable.
    if matches!(facts.stop, Stop::Invalid(_)) {
        facts.beyond = look_beyond(segment, facts.end.offset, limit).map_err(io)?;
    }
    Ok(facts)
}

impl TailFacts {
    /// Whether the group is the first table: it follows the link.
    fn is_table_of(&self, header: &GroupHeader) -> bool {
        header.kind == GroupKind::Link
            || (header.kind == GroupKind::Control && header.offset.get() == self.start)
    }

    /// Notes what a group before the record `before` says of the log as a whole.
    fn note_said(&mut self, said: &GroupFacts, before: Lsn) {
        match said {
            GroupFacts::Control(ControlBody::Table(control)) => {
                let is_first = self.control.is_none();
                self.control = Some(control.clone());
                // A later one is a change.
                if !is_first {
                    self.said_before = before;
                }
            }
            GroupFacts::Control(ControlBody::Changes(changes)) => {
                let control = self.control.get_or_insert_default();
                for change in changes {
                    control.apply(change);
                }
                let of_control =
                    |change: &ControlChange| !matches!(change, ControlChange::First(_));
                if changes.iter().any(of_control) {
                    self.said_before = before;
                }
            }
            _ => {}
        }
        // What was truncated stays away.
        if let Some(first) = said.log_first()
            && first > self.log_first
        {
            self.log_first = first;
            self.said_before = before;
        }
    }

    fn note_time(&mut self, header: &GroupHeader) {
        if header.kind == GroupKind::Records {
            self.latest = header.time;
        }
    }

    fn note_end(&mut self, end: GroupEnd) {
        self.end = end;
        while self
            .ends
            .front()
            .is_some_and(|first| first.lsn < self.watermark)
        {
            self.ends.pop_front();
        }
        if self.ends.len() == ENDS_KEPT {
            self.ends.pop_front();
        }
        self.ends.push_back(end);
    }
}

/// The same, found by walking the group headers: the end of the first group of `segment` that reaches `lsn`, or of the last
/// one below it.
pub(crate) fn find_end(
    segment: &SegmentFacts,
    lsn: Lsn,
    limit: u64,
    location: &str,
) -> Result<Option<GroupEnd>> {
    let io = |error| Error::io(location, format!("reading segment {}", segment.id()), error);
    let limit = limit.min(segment.len);
    let mut cursor = SegmentCursor::new(segment.open().map_err(io)?, segment.header, limit);
    let mut found: Option<GroupEnd> = None;
    while let GroupStep::Group(header) = cursor.next_group().map_err(io)? {
        cursor.skip_group();
        if header.end_lsn() > lsn || header.kind == GroupKind::Footer {
            break;
        }
        let offset = segment.header.alignment.round_up(header.end_offset());
        found = Some(GroupEnd {
            lsn: header.end_lsn(),
            offset,
            digest: cursor.previous(),
        });
        if header.end_lsn() == lsn {
            break;
        }
    }
    Ok(found)
}
