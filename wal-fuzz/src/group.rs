//! Groups: headers, bodies, and what the writer makes of any calls.
//!
//! Deliberately absent: the exact set of kinds and fields. A newer kind is decoded, not known.

use arbitrary::{Result, Unstructured};
use wal_format::{
    Alignment, Compression, Consumer, Control, ControlBody, ControlChange, EncodedRecord, Footer,
    FooterFacts, FooterMore, FooterTrailer, GROUP_HEADER_LEN, GroupFacts, GroupHeader, GroupKind,
    GroupWriter, HEADER_LEN, History, InBatch, IndexBuilder, IndexEntry, Layout, LinkBody, Lsn,
    Offset, RecordKind, RecordRef, SegmentHeader, SegmentId, SegmentView, UnixMillis, Version,
    crc32, decode_cut, decode_stamp, scan_headers,
};

use crate::{base, segment};

/// Bytes as a group, or as calls of the writer.
pub fn group(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    if mode & 1 == 0 {
        decoded(rest, Version::V1);
        decoded(rest, Version::V2);
    } else {
        // Fewer bytes than a run needs end the run.
        let _ = written(&mut Unstructured::new(rest));
    }
}

/// The first 64 bytes as a header, whose checksum, epoch and place are put right; the others as its payload.
fn decoded(data: &[u8], version: Version) {
    let Some((head, payload)) = data.split_first_chunk::<GROUP_HEADER_LEN>() else {
        return;
    };
    let segment = SegmentHeader {
        ..base::header(SegmentId::FIRST, version)
    };
    let salt = segment.salt();
    let mut head = *head;
    head[..4].copy_from_slice(b"WGRP");
    head[8..16].copy_from_slice(&segment.epoch.get().to_le_bytes());
    // A place, and a length that may be that of the payload.
    let offset = HEADER_LEN + u64::from(u16::from_le_bytes([head[32], head[33]])) * 8;
    head[32..40].copy_from_slice(&offset.to_le_bytes());
    if head[43] == 0 {
        head[40..44].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        head[52..56].copy_from_slice(&crc32(payload).to_le_bytes());
    }
    let offset = Offset::new(offset);
    let checksum = crc32(&head[8..]) ^ salt.group_mask(offset);
    head[4..8].copy_from_slice(&checksum.to_le_bytes());

    let all = [&head[..], payload].concat();
    let found: Vec<_> = scan_headers(&all, offset, segment.frame()).collect();
    let Ok((header, stored)) = GroupHeader::decode(&head, segment.frame(), offset) else {
        return;
    };
    assert_eq!(stored, checksum);
    assert_eq!(
        header.encode(segment.frame()),
        (head, checksum),
        "{header:?}"
    );
    assert!(
        found.first() == Some(&(header, checksum)),
        "the search finds it"
    );
    assert!(header.watermark < header.first_lsn);
    assert!(
        header.end_lsn() <= header.next_lsn()
            && header.payload_offset().get() <= header.end_offset()
    );
    assert_eq!(header.fits(header.end_offset()), Ok(()));
    assert!(header.fits(header.end_offset() - 1).is_err());
    bodies(payload, &header, &segment);
}

fn bodies(payload: &[u8], header: &GroupHeader, segment: &SegmentHeader) {
    if decode_stamp(payload, header).is_ok() {
        assert!(payload.is_empty() && header.kind == GroupKind::Stamp);
    }
    if let Ok(GroupFacts::Control(ControlBody::Table(control))) =
        GroupFacts::decode(payload, header)
    {
        assert_eq!(control.table()[..], payload[..], "{control:?}");
    }
    if let Ok(first) = decode_cut(payload, header) {
        assert_eq!(first.get().to_le_bytes()[..], payload[..]);
    }
    if let Ok(link) = LinkBody::decode(payload, header) {
        assert_eq!(link.encode(header.version)[..], payload[..], "{link:?}");
    }
    let Ok(footer) = Footer::decode(payload, header) else {
        return;
    };
    let pages = footer.more.as_ref().map_or(0, |more| more.pages.len());
    assert!(
        footer.index.len() * 16 + pages * 24 <= payload.len(),
        "no more entries than bytes"
    );
    let trailer = payload.last_chunk().expect("it is decoded, so it is there");
    assert_eq!(
        FooterTrailer::decode(trailer),
        Ok((header.offset, header.epoch))
    );
    // The writer makes the same facts of it.
    let mut writer = GroupWriter::new(segment.frame(), 0);
    writer.reset(
        segment.frame(),
        header.offset,
        header.previous,
        header.first_lsn,
    );
    let facts = FooterFacts {
        record_count: footer.record_count,
        successor: footer.successor,
        log_first: footer.log_first,
        index: &footer.index,
        more: footer.more.as_ref(),
    };
    writer.footer(&facts);
    let bytes = writer.bytes();
    let (again, _) =
        GroupHeader::decode(bytes, segment.frame(), header.offset).expect("just written");
    assert_eq!(
        Footer::decode(&bytes[GROUP_HEADER_LEN..], &again),
        Ok(footer)
    );
}

/// A record: its LSN, its kind, key, value, and whether its batch goes on.
type Kept = (Lsn, RecordKind, Vec<u8>, Vec<u8>, InBatch);

/// What a run of the writer put into a segment.
struct Written {
    file: Vec<u8>,
    records: Vec<Kept>,
    sealed: bool,
}

/// What the writer wrote is read back; of a file that is cut or has a changed bit, a prefix.
fn written(u: &mut Unstructured<'_>) -> Result<()> {
    let written = write(u)?;
    let (records, sealed) = read(&written.file);
    assert!(records == written.records, "something else is read back");
    assert_eq!(sealed, written.sealed);
    assert!(segment::walk(&written.file).is_none());

    let is_prefix = |file: &[u8]| {
        let (records, _) = read(file);
        assert!(
            written.records.starts_with(&records),
            "something else than a prefix"
        );
        segment::walk(file);
    };
    let cut = u.choose_index(written.file.len() + 1)?;
    is_prefix(&written.file[..cut]);
    let mut changed = written.file.clone();
    let at = u.choose_index(changed.len())?;
    changed[at] ^= 1 << u.int_in_range(0..=7)?;
    is_prefix(&changed);
    Ok(())
}

fn write(u: &mut Unstructured<'_>) -> Result<Written> {
    let alignment = *u.choose(&[
        Alignment::Eight,
        Alignment::Sector512,
        Alignment::Sector4096,
    ])?;
    let version = *u.choose(&[Version::V1, Version::V2])?;
    let is_new = version >= Version::V2;
    let capacity = 1 << 20;
    let header = SegmentHeader {
        alignment,
        capacity,
        allocated: capacity,
        record_limit: Layout {
            version,
            segment_len: capacity,
            alignment,
            record_limit: 0,
        }
        .max_record_limit(),
        ..base::header(SegmentId::FIRST, version)
    };
    let first = Lsn::new(*u.choose(&[1, 2, 1 << 40, u64::MAX - 1000])?);
    let mut writer = GroupWriter::new(header.frame(), 0);
    writer.reset(header.frame(), Offset::new(HEADER_LEN), 0, first);
    let history = History::new(if is_new { 77 } else { 0 });
    writer.link(&LinkBody::first(first, history), below(u, first)?);
    let mut control = Control::default();
    if is_new {
        control.apply(&change(u)?);
        writer.control(&control, below(u, first)?);
    }
    let mut written = Written {
        file: header.encode(),
        records: Vec::new(),
        sealed: false,
    };
    let mut index: Vec<IndexEntry> = Vec::new();
    let mut places = IndexBuilder::new(capacity);
    let runs = u.int_in_range(0..=20)?;
    for _ in 0..runs {
        let oldest = writer
            .open_group_start()
            .map_or(writer.next_lsn(), |(lsn, _)| lsn);
        let call = u.int_in_range(0..=6)?;
        // A group has the time at which it is closed.
        if is_new && call > 2 {
            writer.set_time(UnixMillis::new(u.int_in_range(0..=(1 << 48) - 1)?));
        }
        match call {
            0..=2 => batch(u, &mut writer, header.record_limit, &mut written.records)?,
            3 => drop(writer.close_group(below(u, oldest)?)),
            4 => writer.stamp(below(u, oldest)?),
            5 if is_new => {
                let change = change(u)?;
                control.apply(&change);
                writer.change(&[change], below(u, oldest)?);
            }
            5 => writer.cut(below(u, oldest)?, below(u, oldest)?),
            _ => continue,
        }
        if let Some((first_lsn, offset)) = writer.open_group_start() {
            if is_new {
                places.group(first_lsn, offset);
            } else if IndexEntry::is_due(index.last(), offset) {
                index.push(IndexEntry { first_lsn, offset });
            }
        }
    }
    if let Some((oldest, _)) = writer.open_group_start() {
        writer.set_time(UnixMillis::new(1));
        writer.close_group(below(u, oldest)?);
    }
    if u.arbitrary()? {
        let more = is_new.then(|| {
            let (index_offset, pages) = writer.index(&places, capacity / 2);
            FooterMore {
                index_offset,
                pages,
                control,
                ..FooterMore::default()
            }
        });
        let facts = FooterFacts {
            record_count: writer.records(),
            successor: SegmentId::new(u.arbitrary()?),
            log_first: first,
            index: &index,
            more: more.as_ref(),
        };
        writer.footer(&facts);
        written.sealed = true;
    }
    written.file.extend_from_slice(writer.bytes());
    assert_eq!(writer.end().get(), written.file.len() as u64);
    Ok(written)
}

/// A change of the control state.
fn change(u: &mut Unstructured<'_>) -> Result<ControlChange> {
    let name = (*u.choose(&["a", "b", "consumer"])?).into();
    Ok(match u.int_in_range(0..=2)? {
        0 => ControlChange::Term(u.arbitrary()?),
        1 => ControlChange::Consumer(
            name,
            Consumer {
                lsn: Lsn::new(u.arbitrary()?),
                history: History::new(u.arbitrary()?),
                moved: u.arbitrary()?,
            },
        ),
        _ => ControlChange::NoConsumer(name),
    })
}

fn below(u: &mut Unstructured<'_>, lsn: Lsn) -> Result<Lsn> {
    u.int_in_range(0..=lsn.get() - 1).map(Lsn::new)
}

fn batch(
    u: &mut Unstructured<'_>,
    writer: &mut GroupWriter,
    limit: u64,
    records: &mut Vec<Kept>,
) -> Result<()> {
    let count = u.int_in_range(1..=3)?;
    for left in (0..count).rev() {
        let in_batch = if left == 0 {
            InBatch::Last
        } else {
            InBatch::More
        };
        let len = u.int_in_range(0..=40)?.min(u.len());
        let value = u.bytes(len)?.repeat(u.int_in_range(0..=3)?);
        let record = match u.int_in_range(0..=2)? {
            0 => RecordRef::data(&value),
            1 => RecordRef::put(b"key", &value),
            _ => RecordRef::delete(&value),
        };
        let compression = *u.choose(&[Compression::None, Compression::Lz4, Compression::Zstd])?;
        let encoded = EncodedRecord::new(
            record.with_compression(compression),
            in_batch,
            UnixMillis::new(0),
            limit,
        )
        .expect("a small record");
        let (lsn, _) = writer.push(&encoded);
        records.push((
            lsn,
            record.kind(),
            record.key().to_vec(),
            record.value().to_vec(),
            in_batch,
        ));
    }
    Ok(())
}

/// The records of a file, and whether it ends with a footer.
fn read(file: &[u8]) -> (Vec<Kept>, bool) {
    let mut records = Vec::new();
    let Ok(view) = SegmentView::parse(file, SegmentId::FIRST) else {
        return (records, false);
    };
    let mut groups = view.groups();
    for group in groups.by_ref().map_while(std::result::Result::ok) {
        for (lsn, _, record) in group.records() {
            let value = record.value().expect("no damage verifies").into_owned();
            records.push((
                lsn,
                record.kind(),
                record.key().to_vec(),
                value,
                record.in_batch(),
            ));
        }
    }
    (records, groups.is_sealed())
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for base in base::all() {
        for (_, file) in base
            .image
            .files()
            .filter(|(name, _)| name.strip_suffix(".wal").is_some())
        {
            let Ok(view) = SegmentView::parse(file, SegmentId::FIRST) else {
                continue;
            };
            for group in view.groups().map_while(std::result::Result::ok).take(12) {
                let header = group.header;
                let mut group = Vec::new();
                group.extend_from_slice(
                    &file[header.offset.get() as usize..header.end_offset() as usize],
                );
                // The place, in units of 8 bytes behind the segment's header.
                let place = ((header.offset.get() - HEADER_LEN) / 8) as u16;
                group[32..34].copy_from_slice(&place.to_le_bytes());
                seeds.push([&[0], &group[..]].concat());
            }
        }
    }
    seeds.extend((0..6u64).map(|n| [vec![1], base::noise(200, n)].concat()));
    seeds
}
