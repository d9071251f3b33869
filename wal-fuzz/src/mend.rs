//! Puts checksums right in bytes that were changed, so that the decoder believes them and what lies behind is reached.
//!
//! Field places are those of `docs/format.md` and `docs/format-2.md`. Deliberately absent: sense. What the fields say stays as it is.

use std::collections::BTreeMap;

use wal_format::{
    Digest, Epoch, GROUP_HEADER_LEN, HEADER_LEN, LINK_BODY_LEN, Lsn, Offset, PAGE_LEN, RecordHead,
    Salt, SegmentHeader, SegmentId, crc32,
};

/// How much is put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Checksums and digests.
    Sums,
    /// Also what ties groups to their place, to each other, and segments to the one before.
    Chain,
}

/// Where a segment's data ends, as its successor's link says it.
#[derive(Clone, Copy, Debug)]
struct End {
    epoch: Epoch,
    lsn: u64,
    offset: u64,
    digest: u32,
}

const LINK: u8 = 3;
const RECORDS: u8 = 1;
const FOOTER: u8 = 5;
const INDEX: u8 = 8;
const TRAILER_LEN: usize = 24;

/// A whole log, the oldest segment first.
pub(crate) fn log(segments: &mut BTreeMap<SegmentId, Vec<u8>>, depth: Depth) {
    let mut ends: BTreeMap<u64, End> = BTreeMap::new();
    for (id, bytes) in segments {
        if depth == Depth::Chain {
            relink(bytes, &ends);
        }
        if let Some(end) = mend(bytes, *id, depth) {
            ends.insert(id.get(), end);
        }
    }
}

/// One segment.
pub(crate) fn segment(bytes: &mut [u8], id: SegmentId, depth: Depth) {
    mend(bytes, id, depth);
}

/// Lets the link say what is so of the predecessor that it names.
fn relink(bytes: &mut [u8], ends: &BTreeMap<u64, End>) {
    let body = HEADER_LEN as usize + GROUP_HEADER_LEN;
    if bytes.len() < body + LINK_BODY_LEN {
        return;
    }
    if let Some(end) = ends.get(&u64_at(bytes, body)) {
        put(bytes, body + 8, &end.epoch.get().to_le_bytes());
        put(bytes, body + 16, &end.lsn.to_le_bytes());
        put(bytes, body + 24, &end.offset.to_le_bytes());
        put(bytes, body + 40, &end.digest.to_le_bytes());
        let first = end.lsn.wrapping_add(1);
        put(bytes, HEADER_LEN as usize + 16, &first.to_le_bytes());
    }
}

fn mend(bytes: &mut [u8], id: SegmentId, depth: Depth) -> Option<End> {
    let head = bytes.get_mut(..HEADER_LEN as usize)?;
    put(head, 8, &[0; 4]);
    let checksum = crc32(head);
    put(head, 8, &checksum.to_le_bytes());
    let header = SegmentHeader::decode(head, id).ok()?;
    let mut end = End {
        epoch: header.epoch,
        lsn: 0,
        offset: HEADER_LEN,
        digest: 0,
    };
    let mut at = HEADER_LEN as usize;
    while at + GROUP_HEADER_LEN <= bytes.len() && bytes[at..].starts_with(b"WGRP") {
        let Some(len) = mend_group(&mut bytes[at..], at as u64, &header, end.digest, depth) else {
            break;
        };
        if bytes[at + 56] == FOOTER {
            break;
        }
        let records = u64::from(u32_at(bytes, at + 44));
        end.lsn = u64_at(bytes, at + 16).wrapping_add(records).wrapping_sub(1);
        end.digest = u32_at(bytes, at + 4);
        end.offset = header.alignment.round_up((at + len) as u64);
        at = usize::try_from(end.offset).ok()?;
    }
    Some(end)
}

/// `bytes` begin with a group and go on to the file's end. Returns the length of the group, `None` if it does not fit.
fn mend_group(
    bytes: &mut [u8],
    offset: u64,
    header: &SegmentHeader,
    previous: u32,
    depth: Depth,
) -> Option<usize> {
    let salt = header.salt();
    let kind = bytes[56];
    if depth == Depth::Chain {
        let previous = if kind == LINK { 0 } else { previous };
        put(bytes, 8, &header.epoch.get().to_le_bytes());
        put(bytes, 32, &offset.to_le_bytes());
        put(bytes, 48, &previous.to_le_bytes());
    }
    let len = GROUP_HEADER_LEN + u32_at(bytes, 40) as usize;
    let first = u64_at(bytes, 16);
    let records = u32_at(bytes, 44);
    let (head, rest) = bytes.split_at_mut(GROUP_HEADER_LEN);
    let payload = rest.get_mut(..len - GROUP_HEADER_LEN);
    let fits = payload.is_some();
    if let Some(payload) = payload {
        if depth == Depth::Chain {
            tie(payload, kind, offset, first, u32_at(head, 48), header.epoch);
        }
        if kind == INDEX {
            for (at, page) in payload.chunks_exact_mut(PAGE_LEN).enumerate() {
                let place = offset + (GROUP_HEADER_LEN + at * PAGE_LEN) as u64;
                let checksum = crc32(&page[4..]) ^ salt.group_mask(Offset::new(place));
                put(page, 0, &checksum.to_le_bytes());
            }
        }
        let digest = if kind == RECORDS {
            mend_records(payload, first, records, offset, salt, header.record_limit)
        } else {
            crc32(payload)
        };
        put(head, 52, &digest.to_le_bytes());
    }
    let checksum = crc32(&head[8..]) ^ salt.group_mask(Offset::new(offset));
    put(head, 4, &checksum.to_le_bytes());
    fits.then_some(len)
}

/// What a body repeats of its place.
fn tie(payload: &mut [u8], kind: u8, offset: u64, first: u64, previous: u32, epoch: Epoch) {
    let last = first.wrapping_sub(1).to_le_bytes();
    if kind == LINK && payload.len() >= 24 {
        put(payload, 16, &last);
    }
    if kind == FOOTER && payload.len() >= 56 + TRAILER_LEN {
        put(payload, 8, &last);
        put(payload, 16, &offset.to_le_bytes());
        put(payload, 44, &previous.to_le_bytes());
        let at = payload.len() - TRAILER_LEN;
        put(payload, at, &offset.to_le_bytes());
        put(payload, at + 8, &epoch.get().to_le_bytes());
        let checksum = crc32(&payload[at..at + 16]);
        put(payload, at + 16, &checksum.to_le_bytes());
    }
}

/// Gives each record its checksum; returns the digest of the group.
fn mend_records(
    payload: &mut [u8],
    first: u64,
    count: u32,
    group: u64,
    salt: Salt,
    limit: u64,
) -> u32 {
    let mut digest = Digest::new();
    let (mut at, mut lsn) = (0, first);
    for _ in 0..count {
        let rest = &mut payload[at..];
        let Ok(head) = RecordHead::parse(rest, rest.len() as u64, limit) else {
            break;
        };
        let len = head.total_len() as usize;
        let offset = Offset::new(group + (GROUP_HEADER_LEN + at) as u64);
        let checksum = crc32(&rest[4..len]) ^ salt.record_mask(Lsn::new(lsn), offset);
        put(rest, 0, &checksum.to_le_bytes());
        digest.push(checksum);
        at += len;
        lsn = lsn.wrapping_add(1);
    }
    digest.get()
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
