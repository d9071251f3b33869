//! The index of a segment of version 2: where records and groups are, about each 4 KiB, in pages that can be read and checked
//! one at a time.
//!
//! What an index says is a hint. Who reads a record there verifies it. Deliberately absent: reading files.

use crate::checksum::{Salt, crc32};
use crate::error::GroupError;
use crate::ids::{Lsn, Offset};
use crate::limits::{
    LEAST_PLACES, PAGE_ENTRY, PAGE_HEAD, PAGE_LEN, PAGE_PLACES, PLACE_LEN, index_step,
};
use crate::record::UnixMillis;
use crate::wire::{is_zero, put, u16_at, u32_at, u64_at};

/// Bit of an entry's LSN: the place is a group header.
const IS_GROUP: u32 = 1 << 31;

/// A place that an index names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The LSN of the record, or the group's first.
    pub lsn: Lsn,
    /// Where the record or the group header starts.
    pub offset: Offset,
    /// Whether a group header is there, and not a record.
    pub is_group: bool,
    /// The reach there: the greatest time of the groups of records that end before it, or 0.
    pub reach: UnixMillis,
}

/// What a footer says of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFacts {
    /// The LSN of its first place.
    pub first_lsn: Lsn,
    /// The offset of its first place.
    pub first_offset: Offset,
    /// The reach at the next page's first place, or at the segment's end.
    pub reach: UnixMillis,
}

/// A page of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The first LSN of a group that starts at or before the page's first place, close to it.
    pub group_lsn: Lsn,
    /// Its places, in the order of their offsets; at least one.
    pub places: Vec<Place>,
}

/// Where to look for the first group of records whose time is at or above a given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStart {
    /// At this group, or a little after it.
    At(Place),
    /// The group with this first LSN is close before it.
    Near(Lsn),
}

impl Page {
    /// Where to look for the first group of records whose time is at or above `time`. It ends after the page's first place, and
    /// before the next page's: the footer says in which page that is so.
    #[must_use]
    pub fn start_of(&self, time: UnixMillis) -> PageStart {
        let at = self.places.partition_point(|place| place.reach < time);
        let mut groups = self.places[..at].iter().rev().filter(|it| it.is_group);
        groups
            .next()
            .map_or(PageStart::Near(self.group_lsn), |place| {
                PageStart::At(*place)
            })
    }
}

/// Collects the places of a segment while it is written.
#[derive(Clone, Debug)]
pub struct IndexBuilder {
    step: u64,
    places: Vec<Place>,
    reach: UnixMillis,
    /// The step of the last group header that has a place.
    group_step: Option<u64>,
    /// A record from this offset on has a place.
    next_record: u64,
}

impl IndexBuilder {
    /// For a segment of that capacity.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self {
            step: index_step(capacity),
            places: Vec::new(),
            reach: UnixMillis::new(0),
            group_step: None,
            next_record: u64::MAX,
        }
    }

    /// Notes a group of records that starts at `offset`. Offsets ascend.
    pub fn group(&mut self, first_lsn: Lsn, offset: Offset) {
        let step = offset.get() / self.step;
        if self.group_step.is_none_or(|last| step > last) {
            self.group_step = Some(step);
            self.push(first_lsn, offset, true);
        }
        self.next_record = (step + 1) * self.step;
    }

    /// Notes that the last group ends, and its time.
    pub fn group_end(&mut self, time: UnixMillis) {
        self.reach = self.reach.max(time);
    }

    /// Notes a place of an index that was read. Offsets ascend.
    pub fn restore(&mut self, place: Place) {
        self.group_end(place.reach);
        if place.is_group {
            self.group(place.lsn, place.offset);
        } else {
            self.record(place.lsn, place.offset);
        }
    }

    /// Notes a record of the last group, which starts at `offset`.
    #[inline]
    pub fn record(&mut self, lsn: Lsn, offset: Offset) {
        if offset.get() >= self.next_record {
            self.next_record = (offset.get() / self.step + 1) * self.step;
            self.push(lsn, offset, false);
        }
    }

    #[cold]
    fn push(&mut self, lsn: Lsn, offset: Offset, is_group: bool) {
        self.places.push(Place {
            lsn,
            offset,
            is_group,
            reach: self.reach,
        });
    }

    /// The last place at or before the record `lsn`.
    #[must_use]
    pub fn find(&self, lsn: Lsn) -> Option<Place> {
        last_at(&self.places, lsn)
    }

    /// The last group header at or before the record `lsn` that has a place.
    #[must_use]
    pub fn group_before(&self, lsn: Lsn) -> Option<Place> {
        let behind = self.places.partition_point(|place| place.lsn <= lsn);
        let before = self.places[..behind].iter().rev();
        before.copied().find(|place| place.is_group)
    }

    /// All places, in the order of their offsets.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Records that start before this offset get no place.
    #[must_use]
    pub fn next_record(&self) -> u64 {
        self.next_record
    }

    /// Forgets the places at or after `end`, where the segment's data ends now. The reach stays.
    pub fn cut(&mut self, end: Offset) {
        let kept = self.places.partition_point(|place| place.offset < end);
        self.places.truncate(kept);
    }

    /// Where to look for the first group of records whose time is at or above `time`; `None` if no group that has ended is.
    #[must_use]
    pub fn start_of(&self, time: UnixMillis) -> Option<Place> {
        let at = self.places.partition_point(|place| place.reach < time);
        let mut groups = self.places[..at].iter().rev().filter(|it| it.is_group);
        groups.next().copied().filter(|_| self.reach >= time)
    }

    /// The greatest time that was noted.
    #[must_use]
    pub fn reach(&self) -> UnixMillis {
        self.reach
    }

    /// The pages as they stand in a file from `start` on, and what the footer says of each: at most `room` bytes of both. None if
    /// there is no room for any, or nothing is noted.
    #[must_use]
    pub fn pages(&self, room: u64, start: Offset, salt: Salt) -> (Vec<u8>, Vec<PageFacts>) {
        let most = usize::try_from(room / (PAGE_LEN + PAGE_ENTRY) as u64).unwrap_or(usize::MAX);
        let mut step = self.step;
        if most == 0 || self.places.len() < LEAST_PLACES {
            return (Vec::new(), Vec::new());
        }
        // The last attempt has one place, and one page.
        loop {
            let chosen = self.at_steps(step);
            let pages = self.split(&chosen);
            if pages.len() <= most {
                return self.encode(&pages, start, salt);
            }
            step = step.saturating_mul(2);
        }
    }

    /// The places of an index with a longer step: by the same rule as those of this one. So a reader that walks from a record to
    /// the next place never comes to the end of its group.
    fn at_steps(&self, step: u64) -> Vec<usize> {
        let (mut group_step, mut record_step) = (None, None);
        let mut chosen = Vec::new();
        for (at, place) in self.places.iter().enumerate() {
            let this = Some(place.offset.get() / step);
            if place.is_group && this > group_step {
                (group_step, record_step) = (this, this);
                chosen.push(at);
            } else if !place.is_group && this > record_step {
                record_step = this;
                chosen.push(at);
            }
        }
        chosen
    }

    /// The chosen places, page by page.
    fn split<'a>(&self, chosen: &'a [usize]) -> Vec<&'a [usize]> {
        let mut pages = Vec::new();
        let mut rest = chosen;
        while let Some(first) = rest.first() {
            let first = self.places[*first];
            let mut base = 0;
            let fits = |at: &&usize| {
                let place = self.places[**at];
                if base == 0 {
                    base = place.reach.get();
                }
                place.lsn.get() - first.lsn.get() < u64::from(IS_GROUP)
                    && u32::try_from(place.offset.get() - first.offset.get()).is_ok()
                    && place.reach.get() - base < u64::from(u32::MAX)
            };
            let len = rest.iter().take(PAGE_PLACES).take_while(fits).count();
            let (page, behind) = rest.split_at(len);
            pages.push(page);
            rest = behind;
        }
        pages
    }

    fn encode(&self, pages: &[&[usize]], start: Offset, salt: Salt) -> (Vec<u8>, Vec<PageFacts>) {
        let mut bytes = vec![0; pages.len() * PAGE_LEN];
        let mut facts = Vec::with_capacity(pages.len());
        for (at, (page, places)) in bytes.chunks_exact_mut(PAGE_LEN).zip(pages).enumerate() {
            let first = self.places[places[0]];
            let next = pages.get(at + 1).map(|next| self.places[next[0]].reach);
            let reach = next.unwrap_or(self.reach);
            let mut groups = self.places[..=places[0]].iter().rev();
            let group = groups.find(|it| it.is_group).map_or(first.lsn, |it| it.lsn);
            put(page, 4, &(places.len() as u16).to_le_bytes());
            put(page, 8, &first.lsn.get().to_le_bytes());
            put(page, 16, &first.offset.get().to_le_bytes());
            let reaches = places.iter().map(|at| self.places[*at].reach.get());
            let base = reaches.into_iter().find(|it| *it > 0).unwrap_or_default();
            put(page, 24, &base.to_le_bytes());
            put(page, 32, &group.get().to_le_bytes());
            for (entry, at) in page[PAGE_HEAD..].chunks_exact_mut(PLACE_LEN).zip(*places) {
                let place = self.places[*at];
                let group = if place.is_group { IS_GROUP } else { 0 };
                let lsn = (place.lsn.get() - first.lsn.get()) as u32 | group;
                let offset = (place.offset.get() - first.offset.get()) as u32;
                put(entry, 0, &lsn.to_le_bytes());
                let reach = match place.reach.get() {
                    0 => 0,
                    reach => (reach - base + 1) as u32,
                };
                put(entry, 4, &offset.to_le_bytes());
                put(entry, 8, &reach.to_le_bytes());
            }
            let place = Offset::new(start.get() + (at * PAGE_LEN) as u64);
            let checksum = crc32(&page[4..]) ^ salt.group_mask(place);
            put(page, 0, &checksum.to_le_bytes());
            facts.push(PageFacts {
                first_lsn: first.lsn,
                first_offset: first.offset,
                reach,
            });
        }
        (bytes, facts)
    }
}

/// The page that stands at `offset`.
///
/// # Errors
///
/// A [`GroupError`] that says what is wrong.
pub fn decode_page(bytes: &[u8; PAGE_LEN], offset: Offset, salt: Salt) -> Result<Page, GroupError> {
    let found = u32_at(bytes, 0);
    let expected = crc32(&bytes[4..]) ^ salt.group_mask(offset);
    if found != expected {
        return Err(GroupError::Checksum { expected, found });
    }
    let count = usize::from(u16_at(bytes, 4));
    if count == 0 || count > PAGE_PLACES || !is_zero(&bytes[6..8]) {
        return Err(GroupError::Field("an index page has no such length"));
    }
    let (first_lsn, first_offset) = (u64_at(bytes, 8), u64_at(bytes, 16));
    let (first_reach, group_lsn) = (u64_at(bytes, 24), Lsn::new(u64_at(bytes, 32)));
    let (entries, unused) = bytes[PAGE_HEAD..].split_at(count * PLACE_LEN);
    if !is_zero(unused) {
        return Err(GroupError::Field(
            "bytes follow the entries of an index page",
        ));
    }
    let places: Option<Vec<Place>> = entries
        .chunks_exact(PLACE_LEN)
        .map(|entry| place(entry, first_lsn, first_offset, first_reach))
        .collect();
    let places = places.filter(|places| {
        let ascend =
            |a: &Place, b: &Place| a.lsn <= b.lsn && a.offset < b.offset && a.reach <= b.reach;
        places.is_sorted_by(ascend)
            && places[0].lsn.get() == first_lsn
            && places[0].offset.get() == first_offset
            && group_lsn <= places[0].lsn
    });
    let places = places.ok_or(GroupError::Field("an index page does not ascend"))?;
    Ok(Page { group_lsn, places })
}

/// The last place at or before the record `lsn` of the page that stands at `offset`. `None` also if the page does not verify: a
/// place is a hint.
#[must_use]
pub fn find_in_page(bytes: &[u8; PAGE_LEN], offset: Offset, salt: Salt, lsn: Lsn) -> Option<Place> {
    if u32_at(bytes, 0) != crc32(&bytes[4..]) ^ salt.group_mask(offset) {
        return None;
    }
    let (first_lsn, first_offset) = (u64_at(bytes, 8), u64_at(bytes, 16));
    let entries = bytes[PAGE_HEAD..].as_chunks::<PLACE_LEN>().0;
    let entries = entries.get(..usize::from(u16_at(bytes, 4)))?;
    let above = lsn.get().checked_sub(first_lsn)?;
    let after = entries.partition_point(|entry| u64::from(u32_at(entry, 0) & !IS_GROUP) <= above);
    place(
        entries.get(after.checked_sub(1)?)?,
        first_lsn,
        first_offset,
        u64_at(bytes, 24),
    )
}

/// The place that an entry of a page names.
fn place(entry: &[u8], first_lsn: u64, first_offset: u64, first_reach: u64) -> Option<Place> {
    let lsn = u32_at(entry, 0);
    let above = first_lsn.checked_add(u64::from(lsn & !IS_GROUP))?;
    let offset = first_offset.checked_add(u64::from(u32_at(entry, 4)))?;
    let reach = match u64::from(u32_at(entry, 8)) {
        0 => 0,
        reach => first_reach.checked_add(reach - 1)?,
    };
    Some(Place {
        lsn: Lsn::new(above),
        offset: Offset::new(offset),
        is_group: lsn & IS_GROUP != 0,
        reach: UnixMillis::new(reach),
    })
}

/// The last place at or before the record `lsn`.
#[must_use]
pub fn last_at(places: &[Place], lsn: Lsn) -> Option<Place> {
    let behind = places.partition_point(|place| place.lsn <= lsn);
    places.get(behind.checked_sub(1)?).copied()
}
