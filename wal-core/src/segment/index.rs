//! Where records and groups of a segment are, as far as its writer notes it: for the footer, and for readers while it is written.

use std::io;

use wal_format::{
    Footer, FooterMore, GroupWriter, IndexBuilder, IndexEntry, Lsn, Offset, PAGE_LEN, Place,
    SegmentHeader, UnixMillis, Version, decode_page,
};
use wal_io::{StorageFile, StorageFileExt};

/// A place from which a reader goes on to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    /// Of the record, or the group's first.
    pub(crate) lsn: Lsn,
    pub(crate) offset: Offset,
}

/// What the writer of a segment notes.
#[derive(Clone, Debug)]
pub(crate) enum SegmentIndex {
    /// Groups of records, at most one for each 64 KiB.
    Groups(Vec<IndexEntry>),
    /// Groups and records, and the least time of the groups.
    Places(Box<IndexBuilder>, UnixMillis),
}

impl SegmentIndex {
    pub(crate) fn new(header: &SegmentHeader) -> Self {
        if header.version < Version::V2 {
            return Self::Groups(Vec::new());
        }
        let builder = IndexBuilder::new(header.capacity);
        Self::Places(Box::new(builder), UnixMillis::new(0))
    }

    /// What the footer of a segment says.
    pub(crate) fn from_footer(
        header: &SegmentHeader,
        footer: &Footer,
        file: &dyn StorageFile,
    ) -> io::Result<Self> {
        let Some(more) = &footer.more else {
            return Ok(Self::Groups(footer.index.clone()));
        };
        let mut builder = IndexBuilder::new(header.capacity);
        for (at, facts) in more.pages.iter().enumerate() {
            let offset = more.index_offset.get() + (at * PAGE_LEN) as u64;
            let mut bytes = [0; PAGE_LEN];
            let filled = file.read_full_at(&mut bytes, offset)?;
            // An index is a hint: without it, the way is longer.
            let Ok(page) = decode_page(&bytes, Offset::new(offset), header.salt()) else {
                break;
            };
            if filled < PAGE_LEN {
                break;
            }
            for place in page.places {
                builder.restore(place);
            }
            builder.group_end(facts.reach);
        }
        // Also where there are no pages, or not all of them can be read.
        builder.group_end(more.time_greatest);
        Ok(Self::Places(Box::new(builder), more.time_least))
    }

    /// Notes a group of records.
    pub(crate) fn group(&mut self, first_lsn: Lsn, offset: Offset) {
        match self {
            Self::Groups(entries) if IndexEntry::is_due(entries.last(), offset) => {
                entries.push(IndexEntry { first_lsn, offset });
            }
            Self::Groups(_) => {}
            Self::Places(builder, _) => builder.group(first_lsn, offset),
        }
    }

    /// Notes that the last group ends, and its time.
    pub(crate) fn group_end(&mut self, time: UnixMillis) {
        if let Self::Places(builder, least) = self {
            builder.group_end(time);
            if *least == UnixMillis::new(0) || time < *least {
                *least = time;
            }
        }
    }

    /// Notes a record of the last group.
    pub(crate) fn record(&mut self, lsn: Lsn, offset: Offset) {
        if let Self::Places(builder, _) = self {
            builder.record(lsn, offset);
        }
    }

    /// Records that start before this offset need not be noted.
    pub(crate) fn next_record(&self) -> u64 {
        match self {
            Self::Groups(_) => u64::MAX,
            Self::Places(builder, _) => builder.next_record(),
        }
    }

    /// The last record or group at or before `lsn`, if records are noted.
    pub(crate) fn place_before(&self, lsn: Lsn) -> Option<Place> {
        match self {
            Self::Groups(_) => None,
            Self::Places(builder, _) => builder.find(lsn),
        }
    }

    /// The last noted group at or before `lsn`.
    pub(crate) fn group_before(&self, lsn: Lsn) -> Option<Hint> {
        let found = match self {
            Self::Groups(entries) => {
                let at = entries.partition_point(|entry| entry.first_lsn <= lsn);
                let entry = entries[at.checked_sub(1)?];
                (entry.first_lsn, entry.offset)
            }
            Self::Places(builder, _) => {
                let place = builder.group_before(lsn)?;
                (place.lsn, place.offset)
            }
        };
        Some(Hint {
            lsn: found.0,
            offset: found.1,
        })
    }

    /// Whether a group that has ended may have a time at or above `time`.
    pub(crate) fn reaches(&self, time: UnixMillis) -> bool {
        match self {
            Self::Groups(_) => false,
            Self::Places(builder, _) => builder.reach() >= time,
        }
    }

    /// A group at or before the first one whose time is at or above `time`, if a place is known.
    pub(crate) fn start_of(&self, time: UnixMillis) -> Option<Hint> {
        let Self::Places(builder, _) = self else {
            return None;
        };
        let place = builder.start_of(time)?;
        Some(Hint {
            lsn: place.lsn,
            offset: place.offset,
        })
    }

    /// What a footer of version 1 lists.
    pub(crate) fn entries(&self) -> &[IndexEntry] {
        match self {
            Self::Groups(entries) => entries,
            Self::Places(..) => &[],
        }
    }

    /// The places of an index in pages.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        let places = match self {
            Self::Groups(_) => &[],
            Self::Places(builder, _) => builder.places(),
        };
        places.iter().copied()
    }

    /// Forgets what starts at or after `end`.
    pub(crate) fn cut(&mut self, end: u64) {
        match self {
            Self::Groups(entries) => entries.retain(|entry| entry.offset.get() < end),
            Self::Places(builder, _) => builder.cut(Offset::new(end)),
        }
    }

    /// Writes the pages, as far as there is room for them; returns what the footer says of them, without the control state.
    pub(crate) fn write(&self, groups: &mut GroupWriter, room: u64) -> FooterMore {
        match self {
            Self::Groups(_) => FooterMore::default(),
            Self::Places(builder, least) => {
                let (index_offset, pages) = groups.index(builder, room);
                FooterMore {
                    index_offset,
                    pages,
                    time_least: *least,
                    time_greatest: builder.reach(),
                    ..FooterMore::default()
                }
            }
        }
    }
}

/// Where in a segment the first group is that ended at or after a time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dated {
    /// There is none.
    Before,
    /// The group with this first LSN.
    In(Lsn),
    /// This group, or one after it.
    From(Hint),
}
