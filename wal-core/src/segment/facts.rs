//! What a segment's first and last bytes say: header, link, footer.

use std::io;

use wal_format::{
    FOOTER_TRAILER_LEN, Footer, FooterTrailer, GROUP_HEADER_LEN, GroupHeader, GroupKind,
    HEADER_LEN, HeaderError, LONGEST_LINK, Layout, LinkBody, Lsn, Offset, PAGE_LEN, Page,
    SegmentHeader, SegmentId, UnixMillis, Version, decode_page,
};
use wal_io::{OpenMode, Storage, StorageFile, StorageFileExt};

use super::Hint;
use crate::error::{Corruption, Error, Result};
use crate::sync::Arc;
use crate::unknown::Unknown;

/// A valid link.
#[derive(Clone, Debug)]
pub(crate) struct LinkFacts {
    pub(crate) first_lsn: Lsn,
    pub(crate) watermark: Lsn,
    /// When it was made; 0 in version 1.
    pub(crate) time: UnixMillis,
    pub(crate) body: LinkBody,
}

/// A segment with a valid header.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFacts {
    pub(crate) header: SegmentHeader,
    /// The directory: the file is opened when it is read, so that a log of many segments needs few open files.
    storage: Arc<dyn Storage>,
    pub(crate) len: u64,
    /// The link, or what is wrong with it.
    pub(crate) link: Result<LinkFacts, String>,
}

impl SegmentFacts {
    pub(crate) fn id(&self) -> SegmentId {
        self.header.segment_id
    }

    pub(crate) fn open(&self) -> io::Result<Arc<dyn StorageFile>> {
        self.storage
            .open(&wal_format::segment_name(self.id()), OpenMode::Read)
    }

    /// Reads header and link in one go. A file without a valid header is an error: it was complete before
    /// it got its name.
    pub(crate) fn read(storage: &Arc<dyn Storage>, id: SegmentId) -> Result<Self> {
        let location = storage.location();
        let name = wal_format::segment_name(id);
        let io = |what: &str| {
            let what = format!("{what} {name}");
            let location = location.clone();
            move |error| Error::io(location, what, error)
        };
        let file = storage.open(&name, OpenMode::Read).map_err(io("opening"))?;
        let len = file.len().map_err(io("measuring"))?;
        let mut bytes = vec![0; HEADER_LEN as usize + LONGEST_LINK];
        let filled = file.read_full_at(&mut bytes, 0).map_err(io("reading"))?;
        bytes.truncate(filled);
        let header = decode_header(&bytes, id)
            .map_err(|error| header_error(location.clone(), id, &error))?;
        check_link(&bytes, &header).map_err(io("reading"))?;
        let link = read_link(&bytes, &header);
        Ok(Self {
            header,
            storage: Arc::clone(storage),
            len,
            link,
        })
    }

    /// The footer at the end of the file, if there is a valid one.
    pub(crate) fn footer(&self) -> io::Result<Option<Footer>> {
        Self::footer_of(self.header, &self.open()?)
    }

    /// The footer of the segment in `file`. A writer may cut the file to its footer meanwhile: what is then short is none.
    pub(crate) fn footer_of(
        header: SegmentHeader,
        file: &Arc<dyn StorageFile>,
    ) -> io::Result<Option<Footer>> {
        let len = file.len()?;
        let Some(trailer_at) = len
            .checked_sub(FOOTER_TRAILER_LEN as u64)
            .filter(|at| *at > HEADER_LEN)
        else {
            return Ok(None);
        };
        let mut trailer = [0; FOOTER_TRAILER_LEN];
        let filled = file.read_full_at(&mut trailer, trailer_at)?;
        let Ok((offset, epoch)) = FooterTrailer::decode(&trailer) else {
            return Ok(None);
        };
        if filled < trailer.len()
            || epoch != header.epoch
            || offset.get() < HEADER_LEN
            || offset.get() >= trailer_at
        {
            return Ok(None);
        }
        // Bounded: a footer holds a share of the file at most.
        let layout = Layout {
            segment_len: header.capacity.max(len),
            ..header.layout()
        };
        let most = layout.longest_footer();
        let footer_len = len - offset.get();
        if footer_len > most || footer_len < GROUP_HEADER_LEN as u64 {
            return Ok(None);
        }
        let mut bytes = vec![0; footer_len as usize];
        let filled = file.read_full_at(&mut bytes, offset.get())?;
        bytes.truncate(filled);
        Ok(decode_footer(&bytes, &header, offset, len))
    }

    /// The index of the segment in `file`: the last group at or before `lsn` that it names, if there is a valid footer.
    pub(crate) fn indexed(
        header: SegmentHeader,
        file: &Arc<dyn StorageFile>,
        lsn: Lsn,
    ) -> io::Result<Option<Hint>> {
        let Some(footer) = Self::footer_of(header, file)? else {
            return Ok(None);
        };
        let Some(more) = &footer.more else {
            let at = footer.index.partition_point(|entry| entry.first_lsn <= lsn);
            let entry = at.checked_sub(1).map(|at| footer.index[at]);
            return Ok(entry.map(|entry| Hint {
                lsn: entry.first_lsn,
                offset: entry.offset,
            }));
        };
        let pages = more.pages.partition_point(|page| page.first_lsn <= lsn);
        for at in (0..pages).rev() {
            let Some(page) = page_at(&header, &**file, more.index_offset, at)? else {
                return Ok(None);
            };
            let mut groups = page.places.iter().rev().filter(|place| place.is_group);
            if let Some(place) = groups.find(|place| place.lsn <= lsn) {
                return Ok(Some(Hint {
                    lsn: place.lsn,
                    offset: place.offset,
                }));
            }
        }
        Ok(None)
    }
}

/// A page; `None` if it does not verify. An index is a hint: without it, the way is longer.
pub(super) fn page_at(
    header: &SegmentHeader,
    file: &dyn StorageFile,
    index_offset: Offset,
    at: usize,
) -> io::Result<Option<Page>> {
    let offset = index_offset.get() + (at * PAGE_LEN) as u64;
    let mut bytes = [0; PAGE_LEN];
    let filled = file.read_full_at(&mut bytes, offset)?;
    let page = decode_page(&bytes, Offset::new(offset), header.salt());
    Ok(page.ok().filter(|_| filled == PAGE_LEN))
}

fn decode_footer(bytes: &[u8], header: &SegmentHeader, offset: Offset, len: u64) -> Option<Footer> {
    let (group, _) = GroupHeader::decode(bytes, header.frame(), offset).ok()?;
    if group.kind != GroupKind::Footer || group.end_offset() != len {
        return None;
    }
    Footer::decode(&bytes[GROUP_HEADER_LEN..], &group).ok()
}

/// Refuses a link that a newer program wrote: it is not a link that is missing.
pub(crate) fn check_link(bytes: &[u8], header: &SegmentHeader) -> io::Result<()> {
    let rest = bytes.get(HEADER_LEN as usize..).unwrap_or_default();
    let group = GroupHeader::decode(rest, header.frame(), Offset::new(HEADER_LEN));
    Unknown::check(group).map(drop)
}

/// The link behind the header that `bytes` begin with, or what is wrong with it.
pub(crate) fn read_link(bytes: &[u8], header: &SegmentHeader) -> Result<LinkFacts, String> {
    let at = HEADER_LEN as usize;
    let offset = Offset::new(HEADER_LEN);
    let bytes = bytes.get(at..).unwrap_or_default();
    let read = || {
        let (group, _) = GroupHeader::decode(bytes, header.frame(), offset)?;
        group.follows(group.first_lsn, 0)?;
        let payload = bytes.get(GROUP_HEADER_LEN..GROUP_HEADER_LEN + group.payload_len as usize);
        let body = LinkBody::decode(payload.unwrap_or_default(), &group)?;
        Ok(LinkFacts {
            first_lsn: group.first_lsn,
            watermark: group.watermark,
            time: group.time,
            body,
        })
    };
    let link: LinkFacts = read().map_err(|error: wal_format::GroupError| error.to_string())?;
    // Ids only grow: a chain that goes back by them ends.
    if link.body.predecessor >= header.segment_id {
        return Err(format!(
            "its link names segment {} as the one before it",
            link.body.predecessor
        ));
    }
    Ok(link)
}

/// The newest version of the format that this crate reads.
pub(crate) const NEWEST: Version = Version::V2;

/// The header that `bytes` begin with, if it is of a version that this crate reads.
pub(crate) fn decode_header(bytes: &[u8], id: SegmentId) -> Result<SegmentHeader, HeaderError> {
    let header = SegmentHeader::decode(bytes, id)?;
    if header.version > NEWEST {
        return Err(HeaderError::UnknownVersion(header.version.get()));
    }
    Ok(header)
}

fn header_error(location: String, id: SegmentId, error: &HeaderError) -> Error {
    if let HeaderError::UnknownVersion(version) = error {
        return Error::UnknownVersion {
            location,
            segment_id: id,
            version: *version,
            known: NEWEST.get(),
        };
    }
    if let HeaderError::UnknownFeature(_) = error {
        return Error::UnknownFeature {
            location,
            what: format!("segment {id}: {error}"),
        };
    }
    Error::Corruption(Box::new(Corruption {
        location,
        segment_id: id,
        offset: Offset::new(0),
        first_lsn: Lsn::ZERO,
        last_lsn: None,
        what: format!("its header is not valid: {error}"),
        witness: "a segment's header is synced before the file gets its name".into(),
    }))
}
