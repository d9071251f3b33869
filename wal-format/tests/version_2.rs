//! Version 2 of the format: what it adds is written and read back, and what a newer program adds is skipped or refused by name.

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use support::{LOG, NOW};
use wal_format::{
    Alignment, Consumer, Control, ControlBody, ControlChange, EncodedRecord, Epoch, FooterFacts,
    FooterMore, Frame, GroupBody, GroupError, GroupFacts, GroupHeader, GroupKind, GroupWriter,
    HEADER_LEN, HeaderError, Histories, History, InBatch, IndexBuilder, LinkBody, LinkCause, Lsn,
    Offset, Origin, PAGE_LEN, PageStart, Place, RecordRef, SegmentHeader, SegmentId, SegmentView,
    Stretch, UnixMillis, Version, changes_len, crc32, decode_page, find_in_page, index_step,
    last_at,
};

const LEN: u64 = 1 << 20;

fn header(alignment: Alignment) -> SegmentHeader {
    SegmentHeader {
        version: Version::V2,
        record_limit: 64 << 10,
        log_record_limit: 64 << 10,
        ..support::header(5, LEN, alignment)
    }
}

fn consumer(lsn: u64) -> Consumer {
    Consumer {
        lsn: Lsn::new(lsn),
        history: History::new(lsn + 100),
        moved: false,
    }
}

fn control() -> Control {
    let mut control = Control::default();
    for change in [
        ControlChange::Term(7),
        ControlChange::Consumer("billing".into(), consumer(3)),
        ControlChange::Consumer("audit".into(), consumer(9)),
        ControlChange::Unknown(0x85, Box::from(*b"later")),
    ] {
        control.apply(&change);
    }
    control
}

fn link() -> LinkBody {
    let copied = [Stretch {
        to: Lsn::new(11),
        history: History::new(6),
    }];
    LinkBody {
        predecessor: SegmentId::new(3),
        predecessor_epoch: Epoch::new(33),
        end_lsn: Lsn::new(9),
        end_offset: Offset::new(7000),
        log_first: Lsn::new(2),
        end_digest: 0x1234,
        cause: LinkCause::Recovered,
        kept: Lsn::ZERO,
        histories: Histories::after(History::new(5), &copied, History::new(8)),
    }
}

/// A segment being written.
struct Segment {
    header: SegmentHeader,
    groups: GroupWriter,
    index: IndexBuilder,
    /// Each record, and where it starts.
    records: Vec<(Lsn, Offset)>,
    /// Each group of records: its first LSN, where it starts and ends, and its time.
    groups_at: Vec<(Lsn, u64, u64, u64)>,
}

impl Segment {
    fn new(alignment: Alignment) -> Self {
        let header = header(alignment);
        let mut groups = GroupWriter::new(header.frame(), 0);
        groups.reset(header.frame(), Offset::new(HEADER_LEN), 0, Lsn::new(10));
        groups.set_time(UnixMillis::new(1000));
        groups.link(&link(), Lsn::new(9));
        groups.control(&control(), Lsn::new(9));
        Self {
            header,
            groups,
            index: IndexBuilder::new(LEN),
            records: Vec::new(),
            groups_at: Vec::new(),
        }
    }

    fn group(&mut self, time: u64, lens: &[usize]) {
        for len in lens {
            let value = vec![b'v'; *len];
            let record = RecordRef::data(&value);
            let record = EncodedRecord::new(record, InBatch::Last, NOW, LEN).unwrap();
            let is_first = !self.groups.is_group_open();
            let place = self.groups.push(&record);
            if is_first {
                let (lsn, offset) = self.groups.open_group_start().unwrap();
                self.index.group(lsn, offset);
            }
            self.index.record(place.0, place.1);
            self.records.push(place);
        }
        let (first, start) = self.groups.open_group_start().unwrap();
        let end = self.groups.end().get();
        self.groups_at.push((first, start.get(), end, time));
        self.groups.set_time(UnixMillis::new(time));
        self.index.group_end(UnixMillis::new(time));
        self.groups.close_group(Lsn::new(9));
    }

    fn footer(&mut self, room: u64) -> FooterMore {
        let (index_offset, pages) = self.groups.index(&self.index, room);
        let more = FooterMore {
            index_offset,
            pages,
            time_least: UnixMillis::new(1000),
            time_greatest: self.index.reach(),
            control: control(),
        };
        self.groups.footer(&FooterFacts {
            record_count: self.records.len() as u64,
            successor: SegmentId::NONE,
            log_first: Lsn::new(2),
            index: &[],
            more: Some(&more),
        });
        more
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.header.encode()[..], self.groups.bytes()].concat()
    }
}

fn kinds(bytes: &[u8]) -> Vec<GroupKind> {
    let view = SegmentView::parse(bytes, SegmentId::new(5)).unwrap();
    let groups = view.groups().map(|group| group.unwrap().header.kind);
    groups.collect()
}

#[test]
fn a_segment_of_version_2_is_read_back_with_all_that_it_adds() {
    for alignment in [
        Alignment::Eight,
        Alignment::Sector512,
        Alignment::Sector4096,
    ] {
        let mut segment = Segment::new(alignment);
        segment.group(2000, &[10, 20]);
        segment.groups.set_back();
        segment.group(1500, &[30]);
        let moved = ControlChange::Consumer("audit".into(), consumer(4));
        let changes = [moved, ControlChange::First(Lsn::new(3))];
        segment.groups.change(&changes, Lsn::new(12));
        segment.groups.cut(Lsn::new(6), Lsn::new(12));
        let more = segment.footer(64 << 10);
        let bytes = segment.bytes();
        let view = SegmentView::parse(&bytes, SegmentId::new(5)).unwrap();
        assert_eq!(*view.header(), segment.header);
        let groups: Vec<_> = view.groups().map(Result::unwrap).collect();
        let times: Vec<_> = groups.iter().map(|group| group.header.time.get()).collect();
        assert_eq!(times[..4], [1000, 1000, 2000, 1500]);
        let back: Vec<_> = groups.iter().map(|group| group.header.set_back).collect();
        assert_eq!(back[..5], [false, false, false, true, false]);
        let facts: Vec<_> = groups
            .into_iter()
            .filter_map(|group| match group.body {
                GroupBody::Facts(facts) => Some(facts),
                GroupBody::Records(_) => None,
            })
            .collect();
        assert_eq!(facts[0], GroupFacts::Link(link()));
        assert_eq!(facts[1], GroupFacts::Control(ControlBody::Table(control())));
        let changes = ControlBody::Changes(changes.to_vec());
        assert_eq!(facts[2], GroupFacts::Control(changes));
        assert_eq!(
            (facts[2].log_first(), facts[3].log_first()),
            (Some(Lsn::new(3)), Some(Lsn::new(6)))
        );
        let GroupFacts::Footer(footer) = &facts[4] else {
            panic!("no footer: {:?}", facts[4]);
        };
        assert_eq!(footer.more.as_ref(), Some(&more));
        // So short a segment needs no index.
        assert_eq!(more.pages.len(), 0);
    }
}

#[test]
fn each_damaged_byte_of_a_segment_of_version_2_is_noticed() {
    let mut segment = Segment::new(Alignment::Eight);
    segment.group(2000, &[10, 20]);
    segment
        .groups
        .change(&[ControlChange::Term(8)], Lsn::new(11));
    segment.footer(64 << 10);
    let bytes = segment.bytes();
    let view = SegmentView::parse(&bytes, SegmentId::new(5)).unwrap();
    let ends = view
        .groups()
        .map(|group| group.unwrap().header.end_offset() as usize);
    let padding: Vec<_> = ends.map(|end| end..end.next_multiple_of(8)).collect();
    let whole = kinds(&bytes);
    // The header's own checks are elsewhere.
    for at in HEADER_LEN as usize..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let view = SegmentView::parse(&damaged, SegmentId::new(5)).unwrap();
        let read = view.groups().map_while(Result::ok);
        let same = read
            .map(|group| group.header.kind)
            .eq(whole.iter().copied());
        let is_padding = padding.iter().any(|range| range.contains(&at));
        assert_eq!(same, is_padding, "byte {at}");
    }
}

#[test]
fn a_header_says_what_a_segment_replaces_and_what_the_logs_segments_are_like() {
    let replacement = SegmentHeader {
        origin: Origin::Replacement,
        replaces: Some(Epoch::new(9)),
        log_capacity: 8 << 20,
        log_record_limit: 4 << 20,
        ..header(Alignment::Eight)
    };
    let decode =
        |header: &SegmentHeader| SegmentHeader::decode(&header.encode(), SegmentId::new(5));
    assert_eq!(decode(&replacement), Ok(replacement));
    for (epoch, answers) in [(9, true), (replacement.epoch.get(), true), (10, false)] {
        assert_eq!(replacement.answers_to(Epoch::new(epoch)), answers);
    }
    let wrong = [
        SegmentHeader {
            origin: Origin::Copy,
            ..replacement
        },
        SegmentHeader {
            replaces: None,
            ..replacement
        },
    ];
    for header in wrong {
        assert!(
            matches!(decode(&header), Err(HeaderError::Field(_))),
            "{header:?}"
        );
    }
}

/// The bytes of a header after a change, with a checksum that fits.
fn forged_header(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = header(Alignment::Eight).encode();
    bytes[8..12].fill(0);
    change(&mut bytes);
    let checksum = crc32(&bytes);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn required_features_are_refused_by_number_and_optional_ones_are_not_looked_at() {
    let id = SegmentId::new(5);
    let required = forged_header(|bytes| bytes[88] = 0b100);
    assert_eq!(
        SegmentHeader::decode(&required, id),
        Err(HeaderError::UnknownFeature(2))
    );
    let optional = forged_header(|bytes| {
        bytes[96] = 1;
        bytes[3000] = 7;
    });
    assert_eq!(
        SegmentHeader::decode(&optional, id),
        Ok(header(Alignment::Eight))
    );
    for at in [85, 115, 140] {
        let reserved = forged_header(|bytes| bytes[at] = 1);
        assert!(matches!(
            SegmentHeader::decode(&reserved, id),
            Err(HeaderError::Field(_))
        ));
    }
    let third = forged_header(|bytes| bytes[12] = 3);
    assert_eq!(
        SegmentHeader::decode(&third, id),
        Err(HeaderError::UnknownVersion(3))
    );
}

/// A segment whose second group has another kind and flags, with checksums that fit.
fn with_kind(kind: u8, flags: u8) -> Vec<u8> {
    let mut segment = Segment::new(Alignment::Eight);
    let at = segment.groups.len();
    let offset = segment.groups.end();
    segment.groups.stamp(Lsn::new(9));
    let mut bytes = segment.groups.bytes()[at..].to_vec();
    bytes[56] = kind;
    bytes[57] = flags;
    let frame = segment.header.frame();
    let checksum = crc32(&bytes[8..64]) ^ frame.salt.group_mask(offset);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    let file = [
        &segment.header.encode()[..],
        &segment.groups.bytes()[..at],
        &bytes,
    ]
    .concat();
    let mut next = GroupWriter::new(frame, 0);
    next.reset(
        frame,
        Offset::new(file.len() as u64),
        checksum,
        Lsn::new(10),
    );
    next.stamp(Lsn::new(9));
    [&file[..], next.bytes()].concat()
}

#[test]
fn a_group_of_an_unknown_kind_is_skipped_if_it_may_be_and_refused_by_name_if_not() {
    use GroupKind::{Control, Link, Other, Stamp};

    let read = |kind, flags| -> Vec<_> {
        let bytes = with_kind(kind, flags);
        let view = SegmentView::parse(&bytes, SegmentId::new(5)).unwrap();
        view.groups()
            .map(|group| group.map(|group| group.header.kind).map_err(|at| at.error))
            .collect()
    };
    assert_eq!(
        read(77, 1),
        [Ok(Link), Ok(Control), Ok(Other(77)), Ok(Stamp)]
    );
    for (kind, flags, error) in [
        (77, 0, GroupError::UnknownKind(77)),
        // Cuts are version 1's.
        (4, 0, GroupError::UnknownKind(4)),
        (2, 4, GroupError::UnknownFlags(4)),
        (77, 0x81, GroupError::UnknownFlags(0x81)),
    ] {
        assert!(error.is_unknown());
        assert_eq!(read(kind, flags), [Ok(Link), Ok(Control), Err(error)]);
    }
}

#[test]
fn a_header_of_version_1_has_no_flags_and_no_time() {
    let version_2 = header(Alignment::Eight).frame();
    let version_1 = Frame {
        version: Version::V1,
        ..version_2
    };
    let mut groups = GroupWriter::new(version_2, 0);
    groups.reset(version_2, Offset::new(8192), 0, Lsn::new(10));
    groups.set_time(UnixMillis::new(5));
    groups.stamp(Lsn::new(9));
    let decoded = GroupHeader::decode(groups.bytes(), version_1, Offset::new(8192));
    assert!(matches!(decoded, Err(GroupError::Field(_))), "{decoded:?}");
}

#[test]
fn control_state_that_must_be_understood_is_refused_by_its_tag() {
    let mut table = Control::default().table();
    table[4] = 1;
    table.extend_from_slice(&[9, 0, 0, 0]);
    assert_eq!(Control::decode(&table), Err(GroupError::UnknownTag(9)));
    table[8] = 0x89;
    let control = Control::decode(&table).unwrap();
    assert_eq!(control.table(), table, "it is kept as it is");
    // Out of order, twice, cut short, too long: each is an error.
    let good = self::control().table();
    for len in 0..good.len() {
        assert!(Control::decode(&good[..len]).is_err(), "{len} bytes");
    }
    assert!(Control::decode(&[&good[..], &[0]].concat()).is_err());
    let mut twice = good.clone();
    twice[4] += 1;
    twice.extend_from_slice(&[2, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
    assert!(matches!(Control::decode(&twice), Err(GroupError::Field(_))));
}

fn name() -> impl Strategy<Value = Box<str>> {
    "[a-z]{1,3}".prop_map(Box::from)
}

fn change() -> impl Strategy<Value = ControlChange> {
    let consumer =
        (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(lsn, history, moved)| Consumer {
            lsn: Lsn::new(lsn),
            history: History::new(history),
            moved,
        });
    prop_oneof![
        any::<u64>().prop_map(ControlChange::Term),
        (name(), consumer).prop_map(|(name, at)| ControlChange::Consumer(name, at)),
        name().prop_map(ControlChange::NoConsumer),
        (0x80..=0xFF_u8, vec(any::<u8>(), 0..9))
            .prop_map(|(tag, body)| ControlChange::Unknown(tag, body.into())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn control_state_round_trips_and_a_table_is_worth_its_changes(changes in vec(change(), 1..40)) {
        let mut control = Control::default();
        let frame = header(Alignment::Eight).frame();
        let mut groups = GroupWriter::new(frame, 0);
        groups.reset(frame, Offset::new(8192), 0, Lsn::new(10));
        groups.change(&changes, Lsn::ZERO);
        let (head, _) = GroupHeader::decode(groups.bytes(), frame, Offset::new(8192)).unwrap();
        let payload = &groups.bytes()[64..][..head.payload_len as usize];
        let decoded = GroupFacts::decode(payload, &head).unwrap();
        prop_assert_eq!(decoded, GroupFacts::Control(ControlBody::Changes(changes.clone())));
        prop_assert_eq!(changes_len(&changes), payload.len());
        let (unknown, of_owner): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .partition(|change| matches!(change, ControlChange::Unknown(..)));
        for change in &unknown {
            control.apply(change);
        }
        let expected = control.table_len_after(&of_owner);
        for change in &of_owner {
            control.apply(change);
        }
        prop_assert_eq!(control.table().len(), control.table_len());
        prop_assert_eq!(control.table_len(), expected);
        let decoded = Control::decode(&control.table());
        prop_assert_eq!(decoded, Ok(control));
    }

    #[test]
    fn each_record_has_the_history_of_its_stretch(
        lens in vec(1..5_u64, 0..8),
        (after, to) in (9..50_u64, 9..50_u64),
    ) {
        let mut end = 9;
        let copied: Vec<_> = lens.iter().enumerate().map(|(at, len)| {
            end += len;
            Stretch { to: Lsn::new(end), history: History::new(at as u64 / 2 + 1) }
        }).collect();
        let histories = Histories::after(History::NONE, &copied, History::new(99));
        let expected = |lsn: u64| copied.iter().find(|stretch| stretch.to.get() >= lsn)
            .map_or(History::new(99), |stretch| stretch.history);
        for lsn in 10..60 {
            prop_assert_eq!(histories.of(Lsn::new(lsn)), expected(lsn));
        }
        // What lies between two LSNs, copied elsewhere, keeps its histories.
        let between = histories.between(Lsn::new(after), Lsn::new(to));
        prop_assert_eq!(between.last().map(|last| last.to.get()), (after < to).then_some(to));
        let copy = Histories::after(History::NONE, &between, History::new(100));
        for lsn in after + 1..=to {
            prop_assert_eq!(copy.of(Lsn::new(lsn)), expected(lsn));
        }
    }

    #[test]
    fn from_a_place_of_the_index_a_walk_meets_each_record(
        groups in vec(vec(0..9000_usize, 1..60), 1..12),
        small in vec(0..300_usize, 0..200),
        align in prop_oneof![Just(Alignment::Eight), Just(Alignment::Sector512)],
        room in prop_oneof![Just(1 << 20), Just(4096 + 64 + 512)],
    ) {
        let mut segment = Segment::new(align);
        for (at, group) in groups.iter().enumerate() {
            segment.group(2000 + at as u64, group);
        }
        for len in &small {
            segment.group(3000, &[*len]);
        }
        let more = segment.footer(room);
        let bytes = segment.bytes();
        let salt = segment.header.frame().salt;
        // A short segment needs no index. From one place to the next it is at most a step, the longest record and a group header.
        if more.pages.is_empty() {
            let most = HEADER_LEN + 16 * (index_step(LEN) + 9000 + 1024);
            prop_assert!(bytes.len() as u64 <= most, "{} bytes", bytes.len());
            return Ok(());
        }
        let (mut places, mut pages) = (Vec::new(), Vec::new());
        for (at, facts) in more.pages.iter().enumerate() {
            let offset = more.index_offset.get() as usize + at * PAGE_LEN;
            let page = bytes[offset..].first_chunk().unwrap();
            let page = decode_page(page, Offset::new(offset as u64), salt).unwrap();
            pages.push(page.clone());
            let page = page.places;
            prop_assert_eq!((page[0].lsn, page[0].offset), (facts.first_lsn, facts.first_offset));
            prop_assert!(decode_page(bytes[offset..].first_chunk().unwrap(), Offset::new(offset as u64 + 8), salt).is_err());
            places.extend(page);
        }
        // The first group that is as late as a time starts at the place that its page names, or in the step after it.
        let mut reach = 0;
        for (first, start, end, time) in &segment.groups_at {
            let mut before = places.iter().filter(|place| place.offset.get() < *end);
            prop_assert!(before.next_back().is_none_or(|place| place.reach.get() <= reach));
            for asked in reach + 1..=*time {
                let at = more.pages.partition_point(|page| page.reach.get() < asked);
                match pages[at].start_of(UnixMillis::new(asked)) {
                    PageStart::At(place) => {
                        prop_assert!(place.is_group && place.offset.get() <= *start);
                        prop_assert!(room < 1 << 20 || start - place.offset.get() <= index_step(LEN));
                    }
                    PageStart::Near(lsn) => prop_assert!(lsn <= *first),
                }
            }
            reach = reach.max(*time);
        }
        for (lsn, offset) in &segment.records {
            let place = last_at(&places, *lsn).expect("the first group has a place");
            let at = more.pages.partition_point(|page| page.first_lsn <= *lsn) - 1;
            let start = more.index_offset.get() + (at * PAGE_LEN) as u64;
            let page = bytes[start as usize..].first_chunk().unwrap();
            let find = |at| find_in_page(page, Offset::new(at), salt, *lsn);
            prop_assert_eq!((find(start), find(start + 8)), (Some(place), None));
            prop_assert_eq!(walk(&bytes, segment.header.frame(), place, *lsn), Some(*offset));
        }
        if room == 1 << 20 {
            let steps = bytes.len() as u64 / index_step(LEN) + 1;
            prop_assert!(places.len() as u64 <= 2 * steps, "{} places in {} steps", places.len(), steps);
        }
    }
}

/// Goes from `place` to the record `lsn`, as a reader does: over whole groups, or over records of one group.
fn walk(bytes: &[u8], frame: Frame, place: Place, lsn: Lsn) -> Option<Offset> {
    let (mut at, mut next) = (place.offset, place.lsn);
    if place.is_group {
        loop {
            let (header, _) = GroupHeader::decode(&bytes[at.get() as usize..], frame, at).ok()?;
            next = header.first_lsn;
            if header.kind == GroupKind::Records && header.next_lsn() > lsn {
                at = header.payload_offset();
                break;
            }
            at = Offset::new(frame.alignment.round_up(header.end_offset()));
        }
    }
    loop {
        let rest = &bytes[at.get() as usize..];
        let head = wal_format::RecordHead::parse(rest, rest.len() as u64, LEN).ok()?;
        let record = &rest[..head.total_len() as usize];
        wal_format::verify_record(record, frame.salt.record_mask(next, at)).ok()?;
        if next == lsn {
            return Some(at);
        }
        next = next.next();
        at = Offset::new(at.get() + head.total_len());
    }
}

#[test]
fn an_index_may_be_left_out() {
    use GroupKind::{Control, Footer, Link, Records};

    let mut segment = Segment::new(Alignment::Eight);
    segment.group(2000, &[10, 20]);
    let more = segment.footer(4096);
    assert_eq!((more.index_offset, more.pages.len()), (Offset::new(0), 0));
    assert_eq!(kinds(&segment.bytes()), [Link, Control, Records, Footer]);
    assert_eq!(
        SegmentView::parse(&segment.bytes(), SegmentId::new(5))
            .unwrap()
            .header()
            .log_id,
        LOG
    );
}
