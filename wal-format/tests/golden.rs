//! The golden files and the worked examples: what was once written is read, and still written.

mod support;

use std::fs;
use std::path::Path;

use support::annotate::{annotate, parse};
use support::golden::{Folder, all, contents, worked_example};
use support::{NOW, golden_2, noise};
use wal_format::{
    Compression, ControlBody, Epoch, Footer, GroupBody, GroupFacts, GroupHeader, GroupKind,
    History, Lsn, Origin, Record, SegmentHeader, SegmentId, SegmentView, UnixMillis, Version,
};

fn kept(name: &str) -> Vec<u8> {
    fs::read(Folder::V1.path().join(format!("{name}.wal"))).unwrap()
}

fn read(name: &str, id: u64) -> (Vec<(Lsn, Record)>, String) {
    contents(&kept(name), SegmentId::new(id))
}

fn numbered(first: u64, records: Vec<Record>) -> Vec<(Lsn, Record)> {
    (first..).map(Lsn::new).zip(records).collect()
}

#[test]
fn the_builder_still_makes_what_is_kept() {
    for golden in all() {
        let kept = fs::read(golden.path()).unwrap_or_else(|_| panic!("{} is kept", golden.name));
        assert_eq!(golden.difference(&kept), None);
    }
}

/// The segments in a folder, by name.
fn files(folder: Folder) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    files
}

#[test]
fn every_kept_file_is_known() {
    let kept = files(Folder::V1);
    let known = [
        "closed",
        "cut",
        "lz4",
        "recovered",
        "repaired",
        "sealed",
        "sector",
        "truncated",
        "ttl",
        "unclean",
        "zstd",
    ];
    assert_eq!(kept, known.map(|name| format!("{name}.wal")));
    for folder in [Folder::V2, Folder::Mixed] {
        let known = all().into_iter().filter(|golden| golden.folder == folder);
        let mut known: Vec<_> = known.map(|golden| format!("{}.wal", golden.name)).collect();
        known.sort();
        assert_eq!(files(folder), known);
    }
}

#[test]
fn closed_and_sealed_segments_are_read_to_their_footer() {
    let closed = numbered(
        1,
        vec![Record::put("user:1", "Ada"), Record::delete("user:1")],
    );
    assert_eq!(read("closed", 1), (closed, "footer".into()));

    let large = vec![b'x'; 40_000];
    let sealed = vec![
        Record::data(""),
        Record::put("", ""),
        Record::put("a", "1"),
        Record::put("b", "2"),
        Record::data(&large),
        Record::put("large", &large),
        Record::delete("a"),
    ];
    assert_eq!(read("sealed", 1), (numbered(1, sealed), "footer".into()));
}

#[test]
fn an_unclean_segment_is_read_to_its_torn_tail() {
    let records = numbered(1, vec![Record::data("first"), Record::data("second")]);
    assert_eq!(read("unclean", 1), (records, "LSN 3: invalid".into()));
}

#[test]
fn padded_cut_and_recovered_segments_are_read() {
    let padded = vec![Record::put("k", "v"), Record::data([b'd'; 600])];
    assert_eq!(read("sector", 1), (numbered(1, padded), "footer".into()));
    let cut = vec![Record::data("42"), Record::data("43"), Record::data("44")];
    assert_eq!(read("cut", 4), (numbered(42, cut), "footer".into()));
    let recovered = vec![Record::put("tail", "unproven")];
    assert_eq!(
        read("recovered", 2),
        (numbered(3, recovered), "open".into())
    );
}

#[test]
fn truncated_and_repaired_segments_are_read() {
    let left = || vec![Record::put("tail", "unproven")];
    assert_eq!(read("truncated", 2), (numbered(3, left()), "open".into()));
    assert_eq!(read("repaired", 3), (numbered(5, left()), "open".into()));
}

#[test]
fn expiries_are_read_as_points_in_time() {
    let hour = UnixMillis::new(NOW.get() + 3_600_000);
    let records = vec![
        Record::data("data").with_expiry(hour),
        Record::put("k", "v").with_expiry(UnixMillis::new(1)),
        Record::delete("k").with_expiry(UnixMillis::new(u64::MAX)),
    ];
    assert_eq!(read("ttl", 1), (numbered(1, records), "footer".into()));
}

#[test]
fn compressed_values_of_old_are_read() {
    let (text, noise) = ("the log is a log is a log; ".repeat(40), noise(64, 2));
    for (name, compression) in [("lz4", Compression::Lz4), ("zstd", Compression::Zstd)] {
        if !compression.is_available() {
            // Even then all is verified; only the values stay shut.
            let bytes = kept(name);
            let view = SegmentView::parse(&bytes, SegmentId::FIRST).unwrap();
            assert_eq!(view.groups().map(Result::unwrap).count(), 3);
            continue;
        }
        let records = vec![
            Record::data(&text).with_compression(compression),
            Record::put("text", &text).with_compression(compression),
            Record::put("noise", &noise),
            Record::put("both", &text)
                .with_compression(compression)
                .with_expiry(NOW),
            Record::put("empty", ""),
            Record::delete("text"),
        ];
        assert_eq!(
            read(name, 1),
            (numbered(1, records), "footer".into()),
            "{name}"
        );
    }
}

/// Header, groups and facts of a kept segment of version 2, and its records as [`contents`] has them.
struct Segment {
    header: SegmentHeader,
    groups: Vec<GroupHeader>,
    facts: Vec<GroupFacts>,
    records: Vec<(u64, Vec<u8>)>,
    end: String,
}

fn read_2(name: &str, id: u64) -> Segment {
    let bytes = fs::read(Folder::V2.path().join(format!("{name}.wal"))).unwrap();
    let id = SegmentId::new(id);
    let view = SegmentView::parse(&bytes, id).unwrap();
    let groups: Vec<_> = view.groups().map_while(Result::ok).collect();
    let (records, end) = contents(&bytes, id);
    let records = records.into_iter();
    let facts = groups.iter().filter_map(|group| match &group.body {
        GroupBody::Facts(facts) => Some(facts.clone()),
        GroupBody::Records(_) => None,
    });
    Segment {
        header: *view.header(),
        facts: facts.collect(),
        groups: groups.iter().map(|group| group.header).collect(),
        records: records
            .map(|(lsn, record)| (lsn.get(), record.value.to_vec()))
            .collect(),
        end,
    }
}

impl Segment {
    fn kinds(&self) -> Vec<GroupKind> {
        self.groups.iter().map(|group| group.kind).collect()
    }

    /// The histories of the record before it, and of these.
    fn histories(&self, lsns: &[u64]) -> Vec<History> {
        let Some(GroupFacts::Link(link)) = self.facts.first() else {
            panic!("a segment begins with a link");
        };
        let of = lsns.iter().map(|lsn| link.histories.of(Lsn::new(*lsn)));
        [link.histories.before()].into_iter().chain(of).collect()
    }

    fn footer(&self) -> &Footer {
        match self.facts.last() {
            Some(GroupFacts::Footer(footer)) => footer,
            other => panic!("no footer: {other:?}"),
        }
    }
}

fn data(lsn: u64, value: &str) -> (u64, Vec<u8>) {
    (lsn, value.into())
}

use GroupKind::{Control, Footer as FooterKind, Gap, Index, Link, Other, Records, Stamp};

#[test]
fn whole_and_torn_segments_of_version_2_are_read() {
    let closed = read_2("closed", 1);
    assert_eq!(
        closed.kinds(),
        [Link, Control, Records, Control, FooterKind]
    );
    assert_eq!(closed.records, [data(1, "Ada"), data(2, "")]);
    assert_eq!(closed.header.version, Version::V2);
    let times: Vec<_> = closed
        .groups
        .iter()
        .map(|group| group.time.get() - NOW.get())
        .collect();
    assert_eq!(times, [0, 0, 5, 9, 9]);
    let more = closed.footer().more.clone().unwrap();
    assert_eq!(more.control.consumers()["billing"].lsn, Lsn::new(2));
    assert_eq!(more.time_least.get() - NOW.get(), 5);
    let unclean = read_2("unclean", 1);
    assert_eq!(unclean.kinds(), [Link, Control, Records]);
    assert_eq!(unclean.end, "LSN 3: invalid");
    let sector = read_2("sector", 1);
    let offsets: Vec<_> = sector
        .groups
        .iter()
        .map(|group| group.offset.get())
        .collect();
    assert_eq!(offsets, [4096, 8192, 12288, 16384, 20480]);
}

#[test]
fn an_index_of_version_2_is_read_page_by_page() {
    let sealed = read_2("sealed", 1);
    let far = 21 + (1_u64 << 31);
    let lsns: Vec<u64> = sealed.records.iter().map(|(lsn, _)| *lsn).collect();
    assert_eq!(lsns, (1..=20).chain(far..far + 8).collect::<Vec<_>>());
    let footer = sealed.footer();
    let more = footer.more.as_ref().unwrap();
    let firsts: Vec<u64> = more.pages.iter().map(|page| page.first_lsn.get()).collect();
    assert_eq!(firsts, [1, far + 2]);
    let reach = more.pages.iter().map(|page| page.reach.get() - NOW.get());
    assert_eq!(reach.collect::<Vec<_>>(), [700, 1000]);
    let bytes = fs::read(Folder::V2.path().join("sealed.wal")).unwrap();
    let view = SegmentView::parse(&bytes, SegmentId::FIRST).unwrap();
    let (mut known, mut ends) = (Vec::new(), Vec::new());
    for group in view.groups().map(Result::unwrap) {
        let header = group.header;
        known.push((header.first_lsn, header.offset.get()));
        if header.kind == Records {
            ends.push((header.end_offset(), header.time));
        }
        known.extend(group.records().map(|(lsn, offset, _)| (lsn, offset.get())));
    }
    let mut found = 0;
    for at in 0..2 {
        let offset = more.index_offset.get() as usize + at * wal_format::PAGE_LEN;
        let page = bytes[offset..].first_chunk().unwrap();
        let page = wal_format::decode_page(page, (offset as u64).into(), sealed.header.salt());
        let page = page.unwrap();
        let group = page.places[0].lsn;
        assert_eq!((page.group_lsn, page.places[0].is_group), (group, true));
        for place in page.places {
            assert!(
                known.contains(&(place.lsn, place.offset.get())),
                "{place:?}"
            );
            let before = ends.iter().filter(|(end, _)| *end <= place.offset.get());
            let reach = before.map(|(_, time)| *time).max().unwrap_or_default();
            assert_eq!(place.reach, reach, "{place:?}");
            found += 1;
        }
    }
    assert!(found >= 16, "{found}");
    assert!(sealed.kinds().contains(&Index) && sealed.kinds().contains(&Gap));
}

#[test]
fn control_state_and_all_its_changes_are_read() {
    let control = read_2("control", 1);
    let said: Vec<_> = control
        .facts
        .iter()
        .filter_map(|facts| match facts {
            GroupFacts::Control(body) => Some(body.clone()),
            _ => None,
        })
        .collect();
    let changes = golden_2::changes();
    let mut state = golden_2::control();
    let table = ControlBody::Table(state.clone());
    let expected = [
        table,
        ControlBody::Changes(changes[..3].to_vec()),
        ControlBody::Changes(changes[3..].to_vec()),
    ];
    assert_eq!(said, expected);
    for change in &changes {
        state.apply(change);
    }
    assert_eq!(control.footer().more.as_ref().unwrap().control, state);
}

#[test]
fn a_clock_that_was_set_back_and_what_is_not_known_are_read() {
    let times = read_2("times", 1);
    let read: Vec<_> = times.groups[2..]
        .iter()
        .map(|group| (group.kind, group.time.get() - NOW.get(), group.set_back))
        .collect();
    let expected = [
        (Records, 3_600_000, false),
        (Records, 600, true),
        (Records, 700, false),
        (FooterKind, 700, false),
    ];
    assert_eq!(read, expected);
    let more = times.footer().more.clone().unwrap();
    let (least, greatest) = (more.time_least.get(), more.time_greatest.get());
    assert_eq!(
        (least - NOW.get(), greatest - NOW.get()),
        (600, 3_600_000),
        "the greatest of all"
    );
    let unknown = read_2("unknown", 1);
    assert_eq!(
        unknown.kinds(),
        [
            Link,
            Control,
            Records,
            Other(golden_2::UNKNOWN),
            Records,
            FooterKind
        ]
    );
    assert_eq!(unknown.records, [data(1, "1"), data(2, "2")]);
}

#[test]
fn copies_and_replacements_of_version_2_are_read_with_their_histories() {
    let (none, first, second) = (History::NONE, golden_2::FIRST, golden_2::SECOND);
    let recovered = read_2("recovered", 2);
    assert_eq!(recovered.histories(&[3, 4, 5]), [none, none, first, second]);
    let tail = |lsn| data(lsn, "unproven");
    assert_eq!(recovered.records, [tail(3), tail(4), data(5, "new")]);
    let truncated = read_2("truncated", 2);
    assert_eq!(truncated.histories(&[3, 4]), [none, first, second]);
    assert_eq!(truncated.records, [tail(3)]);
    let GroupFacts::Control(ControlBody::Table(table)) = &truncated.facts[1] else {
        panic!("no table");
    };
    let billing = table.consumers()["billing"];
    assert_eq!((billing.lsn.get(), billing.moved), (3, true));
    let repaired = read_2("repaired", 3);
    assert_eq!(repaired.histories(&[3, 6, 7]), [none, first, first, second]);
    assert_eq!(repaired.kinds(), [Link, Control, Gap, Records, Gap, Stamp]);
    let replacement = read_2("replacement", 4);
    assert_eq!(replacement.header.origin, Origin::Replacement);
    assert_eq!(replacement.header.replaces, Some(Epoch::new(44)));
    assert_eq!(replacement.header.log_capacity, 1 << 20);
    assert_eq!(replacement.records, [tail(3)]);
    let reserve = read_2("reserve", 5);
    assert_eq!(reserve.header.origin, Origin::Reserve);
    let lengths = (reserve.header.log_capacity, reserve.header.capacity);
    assert_eq!(lengths, (8 << 10, 32 << 10));
    assert_eq!(reserve.histories(&[3, 4]), [none, first, second]);
    let truncation = data(4, "LSN 1 and 2 go");
    assert_eq!(reserve.records, [tail(3), truncation, data(5, "small")]);
    let kinds = [Link, Control, Records, Stamp, Records, Control, Records];
    assert_eq!(reserve.kinds(), kinds);
    assert_eq!(reserve.facts[3].log_first(), Some(Lsn::new(3)));
}

/// The worked example of a page is `example`, and the kept file.
fn check_example(page: &str, example: &[u8], kept: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(page);
    let page = fs::read_to_string(path).expect("the page beside the crate");
    let (_, section) = page.split_once("## Worked example").expect("its section");
    let (_, block) = section.split_once("```text\n").expect("its block");
    let (block, _) = block.split_once("```").expect("the block's end");

    assert_eq!(parse(block), example, "the bytes of the page");
    assert_eq!(block, annotate(example, SegmentId::FIRST), "its notes");
    assert_eq!(parse(block), kept, "the golden file");
}

#[test]
fn the_worked_example_is_what_the_builder_makes() {
    check_example("format.md", &worked_example(), &kept("closed"));
    let kept = fs::read(Folder::V2.path().join("closed.wal")).unwrap();
    check_example("format-2.md", &golden_2::worked_example(), &kept);
}
