//! Fields of version 2 that lie, with checksums that hold; and logs of both versions with several damages at a time.

use std::sync::Arc;

use wal_core::blocking::Wal;
use wal_core::{FsyncPolicy, Lsn, Record};
use wal_format::{
    Consumer, Control, ControlChange, FooterFacts, FooterMore, GroupHeader, GroupKind, GroupWriter,
    History, IndexBuilder, Offset, SegmentId, Version, crc32,
};
use wal_io::fault::{Chooser, Fill, Seeded, Site};

use super::hostile::{
    beginning, begun, first_link, group_header, header_of, random_bytes, survive, survive_image,
};
use crate::common::trace::segment;
use crate::common::{Machine, SMALL, append, large};

/// Bodies of groups in version 2 in which one field lies, with a digest that holds.
#[test]
fn bodies_with_fields_that_lie() {
    const LIES: [u32; 6] = [0, 1, 7, 0x1_0001, u32::MAX >> 1, u32::MAX];
    let header = header_of(Version::V2);
    let consumer = Consumer {
        lsn: Lsn::FIRST,
        history: History::new(7),
        moved: false,
    };
    let mut control = Control::default();
    control.apply(&ControlChange::Consumer("consumer".into(), consumer));
    control.apply(&ControlChange::Term(3));
    let mut places = IndexBuilder::new(header.capacity);
    for n in 1..=20 {
        places.group(Lsn::new(n), Offset::new(4096 * n));
    }
    let of = |write: &dyn Fn(&mut GroupWriter)| {
        let mut groups = begun(&header);
        let start = groups.bytes().len();
        write(&mut groups);
        groups.bytes()[start..].to_vec()
    };
    let index = |groups: &mut GroupWriter| {
        let (index_offset, pages) = groups.index(&places, 32 << 10);
        assert!(!pages.is_empty());
        FooterMore {
            index_offset,
            pages,
            control: control.clone(),
            ..FooterMore::default()
        }
    };
    let mut bodies = vec![
        (
            GroupKind::Control,
            of(&|groups| groups.control(&control, Lsn::ZERO)),
        ),
        (GroupKind::Index, of(&|groups| drop(index(groups)))),
    ];
    let with_footer = of(&|groups| {
        let more = index(groups);
        groups.footer(&FooterFacts {
            record_count: 0,
            successor: SegmentId::NONE,
            log_first: Lsn::FIRST,
            index: &[],
            more: Some(&more),
        });
    });
    bodies.push((GroupKind::Footer, with_footer[bodies[1].1.len()..].to_vec()));
    let link = first_link(Version::V2).encode(Version::V2);
    bodies.push((GroupKind::Link, [&[0; 64][..], &link].concat()));
    for (kind, group) in bodies {
        let body = &group[64..];
        // Of a page, its head and a few places.
        for at in (0..body.len().min(200)).step_by(4) {
            for lie in LIES {
                let mut payload = body.to_vec();
                let field = at..(at + 4).min(body.len());
                payload[field.clone()].copy_from_slice(&lie.to_le_bytes()[..field.len()]);
                let (mut bytes, previous) = match kind {
                    GroupKind::Link => (header.encode(), 0),
                    _ => beginning(&header),
                };
                let start = bytes.len() as u64;
                if kind == GroupKind::Index {
                    let mask = header.salt().group_mask(Offset::new(start + 64));
                    let checksum = crc32(&payload[4..4096]) ^ mask;
                    payload[..4].copy_from_slice(&checksum.to_le_bytes());
                }
                let head = GroupHeader {
                    offset: Offset::new(start),
                    payload_len: payload.len() as u32,
                    digest: crc32(&payload),
                    ..group_header(kind, &header, previous)
                };
                bytes.extend_from_slice(&head.encode(header.frame()).0);
                bytes.extend_from_slice(&payload);
                survive(&[(1, bytes)], &format!("{kind:?}, {lie:#x} at {at}"));
            }
        }
    }
}

/// Small damage of any kind, several at a time, to a log of several segments.
#[test]
fn any_damage_to_a_real_log() {
    let (one, two) = (Version::V1, Version::V2);
    for (first, second) in [(one, one), (two, two), (one, two)] {
        damage_a_log(first, second);
    }
}

/// Two sessions, in these versions.
fn damage_a_log(first: Version, second: Version) {
    let machine = Machine::new(FsyncPolicy::Os).segments_of(SMALL);
    let open = |version| {
        let builder = Wal::builder("log").storage(Arc::new(machine.storage.clone()));
        let builder = builder.config(machine.config.clone()).small_segments();
        let builder = builder.format_version(version).driven_by_caller();
        builder.open().expect("the log opens")
    };
    let wal = open(first);
    append(&wal, 1..=100);
    wal.append_batch(&[Record::data(large(1, 900)), Record::data(large(2, 900))])
        .expect("appended");
    wal.truncate_before(Lsn::new(20)).expect("truncated");
    wal.close().expect("closed");
    let wal = open(second);
    append(&wal, 103..=130);
    wal.flush().expect("flushed");
    let image = machine.storage.image();
    let older = machine.storage.kill().image();
    for seed in 0..1000 {
        let machine = Machine::holding(&image, FsyncPolicy::Os);
        let names: Vec<String> = machine
            .segments()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let mut random = Seeded::new(seed);
        let mut below = |n: u64| u64::from(random.choose(n.max(2) as u32)) % n.max(1);
        for _ in 0..=below(4) {
            let name = &names[below(names.len() as u64) as usize];
            let other = &names[below(names.len() as u64) as usize];
            let len = machine.storage.image().get(name).map_or(0, <[u8]>::len) as u64;
            let site = Site {
                file: name,
                sector: below(len.div_ceil(512)),
            };
            let to = Site {
                file: other,
                sector: below(16),
            };
            let storage = &machine.storage;
            // What is not there any more cannot be damaged.
            let _ = match below(10) {
                0 => storage.flip_bits(name, below(len * 8), 1 + below(9) as u32),
                1 => storage.fill_sector(site, Fill::Zeros),
                2 => storage.fill_sector(site, Fill::Garbage(seed)),
                3 => storage.copy_sector(site, to),
                4 => storage.truncate_file(name, below(len)),
                5 => storage.extend_file(name, &random_bytes(seed, 700)),
                6 => storage.remove_file(name),
                7 => storage.swap_files(name, other),
                8 => storage.duplicate_file(name, &segment(1 + below(9))),
                _ => storage.restore_file(name, &older),
            };
        }
        survive_image(
            &machine.storage.image(),
            &format!("{first:?}, {second:?}, seed {seed}"),
        );
    }
}
