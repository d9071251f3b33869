//! How far each part of a damaged log is whole, and what can be read behind that. Reads only.

use std::io;

use wal_format::{
    Alignment, Footer, GROUP_HEADER_LEN, GroupKind, InBatch, Lsn, MAX_RECORD_HEAD, Offset,
    SegmentHeader, SegmentId,
};
use wal_io::{OpenMode, Storage};

use super::decision::{Facts, PartFacts};
use crate::recovery::{GroupEnd, LostRecords, Needs, Part, Walk, Walked, Wreck};
use crate::segment::{Files, GroupStep, RecordStep, SegmentCursor};
use crate::sync::Arc;
use crate::{Error, Result};

/// Bytes of one group of copies, roughly: one entry of the index each.
pub(super) const GROUP: u64 = wal_format::INDEX_INTERVAL;

/// How far one part is whole.
#[derive(Clone, Copy, Debug)]
struct Sound {
    whole: bool,
    anchor: Option<GroupEnd>,
    end: GroupEnd,
    /// The first of the groups that end with the same LSN.
    reached: GroupEnd,
    /// The log's first LSN, as far as a reader learns it here.
    log_first: Lsn,
}

/// Inspects every part. `damaged` are the segments that verification complains about; those in `verified` were read to the LSN
/// that stands there, and are whole.
pub(super) fn inspect(
    storage: &dyn Storage,
    wreck: &Wreck,
    damaged: &[SegmentId],
    verified: &[(SegmentId, Lsn)],
) -> Result<Facts> {
    let mut parts: Vec<PartFacts> = Vec::new();
    let mut below: Option<(&Part, Sound)> = None;
    let mut told = wreck.listing.first();
    for (at, part) in wreck.parts.iter().enumerate() {
        let next = wreck.parts.get(at + 1);
        let known = next.and_then(|next| known(part, next, wreck.proven, verified));
        let sound = known.map_or_else(|| sound(storage, part, wreck.proven), Ok);
        let sound = sound.map_err(|error| {
            let what = format!("reading segment {}", part.file);
            Error::io(wreck.location.clone(), what, error)
        })?;
        let body = part.link.as_ref().map(|link| &link.body);
        let follows = match (below, body) {
            (_, None) => false,
            (None, Some(_)) => part.first <= wreck.log_first,
            (Some((below, end)), Some(body)) => {
                let linked = GroupEnd {
                    lsn: body.end_lsn,
                    offset: body.end_offset.get(),
                    digest: body.end_digest,
                };
                let is_same = below.header.epoch == body.predecessor_epoch;
                body.predecessor == below.file
                    && below.header.answers_to(body.predecessor_epoch)
                    && body.end_lsn == end.end.lsn
                    // Without a proof, an open follows a link only if all of the segment before it is there.
                    && (body.end_lsn <= wreck.proven || !is_same || linked == end.end)
            }
        };
        parts.push(PartFacts {
            file: part.file,
            epoch: part.header.epoch,
            first: part.first,
            // What precedes a part that is not whole cannot be told from it; then that one is damaged already.
            follows: follows || below.is_some_and(|(_, below)| !below.whole),
            whole: sound.whole && !damaged.contains(&part.file),
            ends_badly: sound.whole && damaged.contains(&part.file),
            anchor: sound.anchor,
            end: sound.reached,
        });
        below = Some((part, sound));
        // The newest says it.
        told = sound.log_first.max(wreck.listing.first());
    }
    let mut facts = Facts {
        within: false,
        parts,
        files: wreck.listing.segments.clone(),
        damaged: damaged.to_vec(),
        log_first: wreck.log_first,
        told,
        last: wreck.end(),
    };
    facts.within = facts.is_within(damaged);
    Ok(facts)
}

/// What verification has found of a part that the next one's link describes.
fn known(part: &Part, next: &Part, proven: Lsn, verified: &[(SegmentId, Lsn)]) -> Option<Sound> {
    let link = &next.link.as_ref()?.body;
    let described = (link.predecessor, link.predecessor_epoch) == (part.file, part.header.epoch);
    let verified = verified.contains(&(part.file, link.end_lsn));
    // Where no record is proven, verification may have ended there.
    if link.end_lsn > proven {
        return None;
    }
    if !(described && verified && part.whole_header && part.link.is_some()) {
        return None;
    }
    let end = GroupEnd {
        lsn: link.end_lsn,
        offset: link.end_offset.get(),
        digest: link.end_digest,
    };
    Some(Sound {
        whole: true,
        anchor: Some(end),
        end,
        reached: end,
        log_first: link.log_first,
    })
}

/// Walks a part as a reader does that skips nothing.
fn sound(storage: &dyn Storage, part: &Part, proven: Lsn) -> io::Result<Sound> {
    let start = GroupEnd {
        lsn: part.first.prev(),
        offset: wal_format::HEADER_LEN,
        digest: 0,
    };
    let mut sound = Sound {
        whole: false,
        anchor: None,
        end: start,
        reached: start,
        log_first: Lsn::FIRST,
    };
    let link = part.link.as_ref().filter(|_| part.whole_header);
    if link.is_none() {
        return Ok(sound);
    }
    let file = storage.open(&part.name(), OpenMode::Read)?;
    let limit = part.limit.min(file.len()?);
    let mut cursor = SegmentCursor::new(file, part.header, limit);
    while let GroupStep::Group(header) = cursor.next_group()? {
        if part.last.is_some_and(|last| header.end_lsn() > last) {
            break;
        }
        let said = match header.kind {
            GroupKind::Records => records(&mut cursor)?.then_some(None),
            GroupKind::Link => Some(link.map(|link| link.body.log_first)),
            GroupKind::Footer => {
                if let Ok(footer) = Footer::decode(&cursor.payload(&header)?, &header) {
                    sound.log_first = sound.log_first.max(footer.log_first);
                }
                break;
            }
            _ => cursor.facts(&header)?.ok().map(|said| said.log_first()),
        };
        let Some(said) = said else {
            break;
        };
        sound.log_first = sound.log_first.max(said.unwrap_or(Lsn::FIRST));
        sound.end = GroupEnd {
            lsn: header.end_lsn(),
            offset: part.header.alignment.round_up(header.end_offset()),
            digest: cursor.previous(),
        };
        let is_link = header.kind == GroupKind::Link;
        if is_link || sound.reached.lsn < sound.end.lsn {
            sound.reached = sound.end;
        }
        // Of the groups that end there the first: a stamp or a cut behind the last proven record need not be durable.
        let further = |anchor: GroupEnd| anchor.lsn < sound.end.lsn;
        if sound.end.lsn <= proven && sound.anchor.is_none_or(further) {
            sound.anchor = Some(sound.end);
        }
    }
    let expected = match part.last {
        Some(last) if part.bounded => last,
        // If the part above does not say, its own groups do.
        Some(last) => last.min(part.highest),
        // After the known durable records, the newest segment may end with an incomplete write. That is not damage.
        None => part.highest.min(proven),
    };
    let expected = expected.max(sound.end.lsn);
    // Rest the last record stands a stamp or a cut at most; whether that matters is for verification to say.
    sound.whole = sound.end.lsn == expected;
    Ok(sound)
}

fn records(cursor: &mut SegmentCursor) -> io::Result<bool> {
    loop {
        match cursor.next_record()? {
            RecordStep::Record { offset, head, .. } => {
                if cursor.check_value(offset, &head).is_err() {
                    return Ok(false);
                }
            }
            RecordStep::GroupEnd => return Ok(true),
            RecordStep::Invalid(_) => return Ok(false),
        }
    }
}

/// What lies behind the place from which everything is copied.
#[derive(Clone, Debug, Default)]
pub(super) struct Rest {
    /// The last LSN: of what was found, or of what anything speaks of.
    pub(super) last: Lsn,
    pub(super) records: u64,
    pub(super) gaps: Vec<LostRecords>,
    /// The content of each new segment, in order. The last one goes up to `last`.
    pub(super) pieces: Vec<Piece>,
    /// The batch that is being read.
    batch: Piece,
}

/// The content of one new segment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Piece {
    /// The LSN before its first record or loss.
    pub(super) after: Lsn,
    /// The last LSN in it.
    pub(super) last: Lsn,
    /// Bytes of the records.
    bytes: u64,
    /// Places where the copies' groups end at a gap.
    breaks: u64,
    /// Groups that record losses.
    gap_groups: u64,
    /// Key and uncompressed value of the longest record.
    longest: u64,
}

impl Piece {
    fn with(self, other: Self) -> Self {
        Self {
            after: self.after,
            last: other.last,
            bytes: self.bytes + other.bytes,
            breaks: self.breaks + other.breaks,
            gap_groups: self.gap_groups + other.gap_groups,
            longest: self.longest.max(other.longest),
        }
    }

    /// The space that the new segment needs.
    pub(super) fn needs(&self, alignment: Alignment) -> Needs {
        let groups = self.bytes / GROUP + self.breaks + self.gap_groups + 2;
        let each = GROUP_HEADER_LEN as u64 + alignment.get();
        Needs {
            data: self.bytes + MAX_RECORD_HEAD as u64 + groups * each,
            record_limit: self.longest,
        }
    }
}

/// More groups than any loss needs that is not made up.
const MOST_GAP_GROUPS: u64 = 1 << 16;

impl Rest {
    /// Where nothing is copied.
    pub(super) fn nothing(wreck: &Wreck) -> Self {
        Self {
            last: wreck.end(),
            ..Self::default()
        }
    }

    /// Reads everything above `after`, up to the log's end, and splits it into segments like `new`. A segment begins with a
    /// batch, so that no batch is split.
    pub(super) fn read(
        storage: &Arc<dyn Storage>,
        wreck: &Wreck,
        after: Lsn,
        new: &SegmentHeader,
    ) -> Result<Self> {
        let all = (after, wreck.end());
        Self::read_parts(storage, wreck.parts.clone(), all, Some(new))
    }

    /// The same for the LSNs above `after` up to `last`, which lie in `parts`; without `new` it is not split.
    pub(super) fn read_parts(
        storage: &Arc<dyn Storage>,
        parts: Vec<Part>,
        (after, last): (Lsn, Lsn),
        new: Option<&SegmentHeader>,
    ) -> Result<Self> {
        let location = storage.location();
        let mut behind = Self {
            last,
            ..Self::default()
        };
        behind.batch.after = after;
        behind.pieces.push(Piece {
            after,
            last: after,
            ..Piece::default()
        });
        let mut next = after.next();
        let mut walk = Walk::new(Files::new(Arc::clone(storage)), parts, next);
        loop {
            let step = walk.step().map_err(|error| {
                let what = format!("reading segment {}", walk.segment());
                Error::io(location.clone(), what, error)
            })?;
            let (from, to) = match &step {
                Some(Walked::Record(taken)) => (taken.lsn, taken.lsn),
                Some(Walked::Gap { to }) => (next, *to),
                None => (last.next(), last),
            };
            if next < from {
                behind.end_batch(next.prev(), new);
                behind.lose(next, from.prev(), walk.take_trouble());
                behind.end_batch(from.prev(), new);
            }
            match step {
                Some(Walked::Record(taken)) => {
                    let head = &taken.head;
                    // A group of its own.
                    behind.batch.breaks += u64::from(taken.set_back);
                    behind.records += 1;
                    // In a group whose header is lost nothing else speaks of it.
                    behind.last = behind.last.max(taken.lsn);
                    behind.batch.bytes += head.total_len();
                    let len = u64::from(head.key_len) + u64::from(head.raw_len);
                    behind.batch.longest = behind.batch.longest.max(len);
                    if head.in_batch == InBatch::Last {
                        behind.end_batch(to, new);
                    }
                }
                Some(Walked::Gap { .. }) => {
                    behind.end_batch(next.prev(), new);
                    behind.gap_of(next, to);
                    behind.end_batch(to, new);
                }
                None => break,
            }
            next = to.next();
        }
        behind.end_batch(behind.last, new);
        let gap_groups: u64 = behind.pieces.iter().map(|piece| piece.gap_groups).sum();
        if gap_groups > MOST_GAP_GROUPS {
            let what = "more LSNs are missing than a log ever had";
            return Err(Error::io(
                location,
                "planning a repair",
                io::Error::new(io::ErrorKind::InvalidData, what),
            ));
        }
        Ok(behind)
    }

    fn gap_of(&mut self, from: Lsn, to: Lsn) {
        self.batch.breaks += 1;
        self.batch.gap_groups += (to.get() - from.get()) / u64::from(u32::MAX) + 1;
    }

    fn lose(&mut self, from: Lsn, to: Lsn, trouble: Option<(SegmentId, u64, String)>) {
        self.gap_of(from, to);
        let unknown = || {
            (
                SegmentId::NONE,
                0,
                "there is no valid record of them".into(),
            )
        };
        let (segment_id, offset, what) = trouble.unwrap_or_else(unknown);
        self.gaps.push(LostRecords {
            from,
            to,
            segment_id,
            offset: Offset::new(offset),
            what,
        });
    }

    /// Puts the batch or loss that ends with `last` into the newest new segment, or begins the next one with it.
    fn end_batch(&mut self, last: Lsn, new: Option<&SegmentHeader>) {
        let batch = Piece { last, ..self.batch };
        self.batch = Piece {
            after: last,
            ..Piece::default()
        };
        let Some(piece) = self.pieces.last_mut() else {
            return;
        };
        let whole = piece.with(batch);
        let fits = new.is_none_or(|new| whole.needs(new.alignment).fits(new));
        // A loss stays with the record before it.
        if fits || piece.bytes == 0 || batch.bytes == 0 {
            *piece = whole;
        } else {
            self.pieces.push(batch);
        }
    }
}
