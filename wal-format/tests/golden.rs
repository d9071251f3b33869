//! The golden files and the worked example: what was once written is read, and still written.

mod support;

use std::fs;
use std::path::Path;

use support::annotate::{annotate, parse};
use support::golden::{all, contents, directory, worked_example};
use support::{NOW, noise};
use wal_format::{Compression, Lsn, Record, SegmentId, SegmentView, UnixMillis};

fn kept(name: &str) -> Vec<u8> {
    fs::read(directory().join(format!("{name}.wal"))).unwrap()
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

#[test]
fn every_kept_file_is_known() {
    let mut kept: Vec<_> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort();
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

#[test]
fn the_worked_example_is_what_the_builder_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/format.md");
    let page = fs::read_to_string(path).expect("docs/format.md beside the crate");
    let (_, section) = page.split_once("## Worked example").expect("its section");
    let (_, block) = section.split_once("```text\n").expect("its block");
    let (block, _) = block.split_once("```").expect("the block's end");

    assert_eq!(
        parse(block),
        worked_example(),
        "the bytes of docs/format.md"
    );
    assert_eq!(
        block,
        annotate(&worked_example(), SegmentId::FIRST),
        "its notes"
    );
    assert_eq!(parse(block), kept("closed"), "the golden file");
}
