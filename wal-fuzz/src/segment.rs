//! Any bytes as a segment file, as they are or with their checksums put right.
//!
//! Deliberately absent: other segments, and so what a link says of its predecessor.

use wal_format::{
    ControlBody, GroupBody, GroupFacts, HEADER_LEN, InvalidAt, RecordError, SegmentId, SegmentView,
    Version,
};

use crate::base;
use crate::mend::{self, Depth};

/// The first byte says how the rest becomes a file.
pub fn segment(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    let mut file = rest.to_vec();
    if mode & 1 != 0 {
        let version = match mode & 8 {
            0 => Version::V1,
            _ => Version::V2,
        };
        file.splice(..0, base::header(SegmentId::FIRST, version).encode());
    }
    match mode & 6 {
        0 => {}
        2 => mend::segment(&mut file, SegmentId::FIRST, Depth::Sums),
        _ => mend::segment(&mut file, SegmentId::FIRST, Depth::Chain),
    }
    walk(&file);
}

/// Walks all groups. What is handed out is consistent, and encodes to the bytes that it was decoded from.
pub(crate) fn walk(file: &[u8]) -> Option<InvalidAt> {
    let view = SegmentView::parse(file, SegmentId::FIRST).ok()?;
    let header = *view.header();
    assert_eq!(header.encode(), file[..HEADER_LEN as usize]);
    let mut groups = view.groups();
    let mut next = None;
    while let Some(group) = groups.next() {
        let group = match group {
            Ok(group) => group,
            Err(invalid) => {
                assert_eq!(invalid.offset, groups.offset());
                assert!(groups.next().is_none(), "an error ends the walk");
                return Some(invalid);
            }
        };
        let at = group.header.offset.get() as usize;
        let (bytes, checksum) = group.header.encode(header.frame());
        assert_eq!(bytes[..], file[at..at + bytes.len()]);
        assert_eq!(checksum, group.checksum);
        let payload = &file[at + bytes.len()..group.header.end_offset() as usize];
        let first = group.header.first_lsn;
        assert!(next.is_none_or(|next| next == first), "LSNs are dense");
        next = Some(group.header.next_lsn());
        let mut lsn = first;
        let mut offset = group.header.payload_offset().get();
        for (at, place, record) in group.records() {
            assert_eq!((at, place.get()), (lsn, offset));
            assert!(u64::from(record.head().raw_len) <= header.record_limit);
            match (record.value(), record.to_record()) {
                (Ok(value), Ok(copy)) => {
                    assert_eq!(value.len(), record.head().raw_len as usize);
                    assert_eq!((&copy.key[..], &copy.value[..]), (record.key(), &value[..]));
                }
                (Err(_), Err(RecordError::Decompress(_))) => {}
                (value, copy) => unreachable!("{value:?}, but {copy:?}"),
            }
            lsn = lsn.next();
            offset += record.stored().len() as u64;
        }
        match &group.body {
            GroupBody::Records(_) => {
                assert_eq!(lsn, group.header.next_lsn(), "a record for each LSN");
                assert_eq!(
                    offset,
                    group.header.end_offset(),
                    "records fill the payload"
                );
            }
            GroupBody::Facts(GroupFacts::Link(link)) => {
                assert_eq!(link.encode(header.version)[..], payload[..]);
            }
            GroupBody::Facts(GroupFacts::Control(ControlBody::Table(control))) => {
                assert_eq!(control.table()[..], payload[..]);
            }
            GroupBody::Facts(_) => {}
        }
    }
    assert!(groups.offset().get() <= header.alignment.round_up(file.len() as u64));
    None
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for base in base::all() {
        for (name, file) in base.image.files() {
            if name == "00000000000000000001.wal" {
                seeds.push([&[0], file].concat());
                let version_2 = file[12] == 2;
                let mode = if version_2 { 13 } else { 5 };
                seeds.push([&[mode], &file[HEADER_LEN as usize..]].concat());
            }
        }
    }
    seeds
}
