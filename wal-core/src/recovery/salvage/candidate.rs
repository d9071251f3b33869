//! The files with a segment's name, as far as each can be made out. A header that does not verify is made again from the
//! neighbours' and from what the groups say in clear.
//!
//! Deliberately absent: which of them make the log.

use std::collections::BTreeMap;
use std::io;

use wal_format::{
    Alignment, Control, Epoch, Footer, Frame, GROUP_HEADER_LEN, GroupHeader, GroupKind, HEADER_LEN,
    HeaderError, LONGEST_LINK, LogId, Lsn, Offset, Origin, Salt, SegmentHeader, SegmentId, Version,
    begins_group, scan_headers,
};
use wal_io::{OpenMode, Storage, StorageFile, StorageFileExt};

use crate::recovery::Listing;
use crate::segment::{LinkFacts, NEWEST, SegmentFacts, check_link, decode_header, read_link};
use crate::sync::Arc;
use crate::unknown::Unknown;
use crate::{Error, Result};

/// Bytes of a file that are looked at at a time.
const PIECE: usize = 1 << 20;

/// A file that is a segment of the log.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// The id in the file's name.
    pub(crate) file: SegmentId,
    pub(crate) header: SegmentHeader,
    /// The header verifies, under this name.
    pub(crate) whole_header: bool,
    pub(crate) len: u64,
    pub(crate) link: Option<LinkFacts>,
    pub(crate) footer: Option<Footer>,
}

impl Candidate {
    pub(crate) fn open(&self, storage: &dyn Storage) -> io::Result<Arc<dyn StorageFile>> {
        storage.open(&wal_format::segment_name(self.file), OpenMode::Read)
    }

    /// Whether it is the replacement of a file of that epoch. If its header is damaged, it may be one.
    pub(crate) fn replaces(&self, epoch: Epoch) -> bool {
        self.header.answers_to(epoch) || !self.whole_header && self.header.version >= Version::V2
    }
}

/// A file before it is known whose it is.
struct Raw {
    file: SegmentId,
    /// Header and link, as far as the file has them.
    bytes: Vec<u8>,
    len: u64,
    header: Option<SegmentHeader>,
}

/// Reads all of them; by the ids in their headers.
///
/// # Errors
/// An unknown version, or I/O.
pub(crate) fn candidates(
    storage: &Arc<dyn Storage>,
    listing: &Listing,
) -> Result<BTreeMap<SegmentId, Candidate>> {
    let mut raws = Vec::new();
    for id in &listing.segments {
        let io = |error| Error::io(storage.location(), format!("reading segment {id}"), error);
        raws.push(read(storage, *id).map_err(io)??);
    }
    let log_id = majority(&raws);
    let neighbours: Vec<SegmentHeader> = raws.iter().filter_map(|raw| raw.header).collect();
    let mut candidates = BTreeMap::new();
    // Files under their own names first: a second one of the same id is a copy.
    let own = |raw: &Raw| {
        raw.header
            .is_none_or(|header| header.segment_id == raw.file)
    };
    let (own, moved): (Vec<Raw>, Vec<Raw>) = raws.into_iter().partition(own);
    for raw in own.into_iter().chain(moved) {
        let io = |error| {
            let what = format!("reading segment {}", raw.file);
            Error::io(storage.location(), what, error)
        };
        let found = identify(storage, &raw, log_id, &neighbours).map_err(io)?;
        if let Some(candidate) = found {
            let id = candidate.header.segment_id;
            candidates.entry(id).or_insert(candidate);
        }
    }
    Ok(candidates)
}

fn read(storage: &Arc<dyn Storage>, id: SegmentId) -> io::Result<Result<Raw>> {
    let file = storage.open(&wal_format::segment_name(id), OpenMode::Read)?;
    let len = file.len()?;
    let mut bytes = vec![0; HEADER_LEN as usize + LONGEST_LINK];
    let filled = file.read_full_at(&mut bytes, 0)?;
    bytes.truncate(filled);
    let header = match decode_header(&bytes, id) {
        Ok(header) => Some(header),
        Err(HeaderError::UnknownVersion(version)) => {
            return Ok(Err(Error::UnknownVersion {
                location: storage.location(),
                segment_id: id,
                version,
                known: NEWEST.get(),
            }));
        }
        Err(error @ HeaderError::UnknownFeature(_)) => return Err(Unknown::refuse(&error)),
        // Under another name.
        Err(HeaderError::WrongId { found, .. }) => decode_header(&bytes, found).ok(),
        Err(_) => None,
    };
    if let Some(header) = &header {
        check_link(&bytes, header)?;
    }
    let file = id;
    Ok(Ok(Raw {
        file,
        bytes,
        len,
        header,
    }))
}

/// The log that most files are of; of two, the newest one's.
fn majority(raws: &[Raw]) -> Option<LogId> {
    let ids = || raws.iter().filter_map(|raw| raw.header?.log_id.into());
    let count = |id: LogId| ids().filter(|other: &LogId| *other == id).count();
    ids().max_by_key(|id| count(*id))
}

fn identify(
    storage: &Arc<dyn Storage>,
    raw: &Raw,
    log_id: Option<LogId>,
    neighbours: &[SegmentHeader],
) -> io::Result<Option<Candidate>> {
    let file = storage.open(&wal_format::segment_name(raw.file), OpenMode::Read)?;
    let header = match raw.header {
        Some(header) => Some(header).filter(|header| Some(header.log_id) == log_id),
        None => rebuild(&*file, raw, log_id, neighbours)?,
    };
    let Some(header) = header else {
        return Ok(None);
    };
    Ok(Some(Candidate {
        file: raw.file,
        header,
        whole_header: raw
            .header
            .is_some_and(|header| header.segment_id == raw.file),
        len: raw.len,
        link: read_link(&raw.bytes, &header).ok(),
        footer: SegmentFacts::footer_of(header, &file)?,
    }))
}

/// The header of a file whose own does not verify: the log's id, and the epoch under which a group of the file does.
fn rebuild(
    file: &dyn StorageFile,
    raw: &Raw,
    log_id: Option<LogId>,
    neighbours: &[SegmentHeader],
) -> io::Result<Option<SegmentHeader>> {
    // What stands in clear where the id is, if there is no neighbour to say it.
    let in_clear = raw.bytes.get(16..32).and_then(|id| id.first_chunk());
    let Some(log_id) = log_id.or(in_clear.map(|id| LogId::from_bytes(*id))) else {
        return Ok(None);
    };
    let Some((epoch, version)) = find_epoch(file, raw.len, log_id)? else {
        return Ok(None);
    };
    let like = neighbours
        .iter()
        .min_by_key(|header| header.segment_id.get().abs_diff(raw.file.get()));
    let mut header = SegmentHeader {
        log_id,
        segment_id: raw.file,
        epoch,
        capacity: raw.len,
        record_limit: raw.len,
        node_id: like.map_or(0, |like| like.node_id),
        alignment: Alignment::Eight,
        allocated: HEADER_LEN,
        origin: Origin::Spare,
        version,
        replaces: None,
        log_capacity: raw.len,
        log_record_limit: raw.len,
    };
    header.alignment = find_alignment(file, &header, like.map(|like| like.alignment))?;
    Ok(Some(header))
}

/// The alignment at which every group stands that verifies in the first bytes of the file: the neighbours', or the largest that
/// leaves room for a record.
fn find_alignment(
    file: &dyn StorageFile,
    header: &SegmentHeader,
    like: Option<Alignment>,
) -> io::Result<Alignment> {
    let mut bytes = vec![0; PIECE.min(usize::try_from(header.capacity).unwrap_or(PIECE))];
    let filled = file.read_full_at(&mut bytes, HEADER_LEN)?;
    let found = scan_headers(&bytes[..filled], Offset::new(HEADER_LEN), header.frame());
    // All links stand at the same place.
    let offsets: Vec<u64> = found
        .map(|(group, _)| group.offset.get())
        .filter(|offset| *offset > HEADER_LEN)
        .collect();
    let fits = |alignment: &Alignment| {
        let layout = SegmentHeader {
            alignment: *alignment,
            ..*header
        }
        .layout();
        let stands = |offset: &u64| alignment.round_up(*offset) == *offset;
        layout.max_record_limit() > 0 && offsets.iter().all(stands)
    };
    let largest = [Alignment::Sector4096, Alignment::Sector512];
    let largest = largest.into_iter().filter(|_| !offsets.is_empty());
    let mut alignments = like.into_iter().chain(largest);
    Ok(alignments.find(fits).unwrap_or(Alignment::Eight))
}

/// The epoch of the first group in the file that is valid under the epoch that it names, and its version.
fn find_epoch(
    file: &dyn StorageFile,
    len: u64,
    log_id: LogId,
) -> io::Result<Option<(Epoch, Version)>> {
    let mut piece = vec![0; PIECE.min(usize::try_from(len).unwrap_or(PIECE))];
    let mut start = HEADER_LEN;
    while start < len {
        let filled = file.read_full_at(&mut piece, start)?;
        let last = filled.saturating_sub(GROUP_HEADER_LEN - 1);
        for at in (0..last).step_by(8) {
            let bytes = &piece[at..];
            let Some(epoch) = bytes[8..].first_chunk().map(|it| u64::from_le_bytes(*it)) else {
                continue;
            };
            let epoch = Epoch::new(epoch);
            if !begins_group(bytes, epoch) {
                continue;
            }
            let offset = Offset::new(start + at as u64);
            for version in [Version::V1, Version::V2] {
                let frame = Frame {
                    version,
                    salt: Salt::new(log_id, epoch),
                    epoch,
                    alignment: Alignment::Eight,
                };
                let group = GroupHeader::decode(bytes, frame, offset);
                if group.is_ok_and(|(group, _)| version >= Version::V2 || is_of_version_1(&group)) {
                    return Ok(Some((epoch, version)));
                }
            }
        }
        if filled < piece.len() || filled <= GROUP_HEADER_LEN {
            break;
        }
        start += (filled - GROUP_HEADER_LEN) as u64 & !7;
    }
    Ok(None)
}

/// A group of version 2 without a time looks like one of version 1, save that a link is longer.
fn is_of_version_1(group: &GroupHeader) -> bool {
    group.kind != GroupKind::Link || group.payload_len as usize == wal_format::LINK_BODY_LEN
}

/// What the groups' headers say, whatever has become of the records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    /// The first LSN of the first group.
    pub(crate) first: Option<Lsn>,
    /// The highest LSN that any of them speaks of.
    pub(crate) highest: Lsn,
    /// The highest watermark.
    pub(crate) proven: Lsn,
    /// The log's first LSN, as far as the segment knows.
    pub(crate) log_first: Lsn,
    /// The control state at the end of what was read, if a group says it.
    pub(crate) control: Option<Control>,
    /// Every header up to the last one was read, and every change of the control state.
    pub(crate) is_whole: bool,
}
