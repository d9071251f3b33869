//! A file goes through `wal append` and `wal cat` byte for byte: under each policy and compression, across rotation at 1 MiB
//! segments, across a reopening, and with a last line that has no newline.
//!
//! `WAL_TEST_LINES=1000000` makes the file as long as the promise says (3,000 lines under `always`).

mod common;

use common::{Lengths, Place, append, cat, odd_lines, scale, stat, verify};

fn goes_through(policy: &str, compression: &str) {
    let lines = scale("WAL_TEST_LINES", 100_000);
    let (lines, lengths) = match policy {
        "always" if lines > 100_000 => (3_000, Lengths::Long),
        "always" => (1_000, Lengths::Long),
        _ => (lines, Lengths::Short),
    };
    let place = Place::new();
    let log = place.log();
    let options = [
        "--fsync",
        policy,
        "--compression",
        compression,
        "--segment-size",
        "1MiB",
    ];
    let first = odd_lines(1, lines / 2, lengths);
    let mut second = odd_lines(2, lines - lines / 2 - 1, lengths);
    second.extend(b"the last line has no newline");

    append(&log, &options, &first)
        .code(0)
        .says(&[&format!("appended {} records", lines / 2)]);
    assert!(cat(&log, &[]).code(0).stdout == first);
    append(&log, &options, &second).code(0);

    let mut whole = first;
    whole.extend(&second);
    whole.push(b'\n');
    assert!(cat(&log, &[]).code(0).stdout == whole);

    let facts = stat(&log);
    assert_eq!(facts["records"], lines);
    assert_eq!(facts["clean_stop"], true);
    assert!(facts["segments"].as_u64().unwrap() >= 3, "{facts}");
    let verified = verify(&log).code(0).json();
    assert_eq!(verified["records"], lines);
    assert_eq!(verified["bytes"], facts["bytes"]);
}

macro_rules! cases {
    ($($name:ident: $policy:literal, $compression:literal;)*) => {$(
        #[test]
        fn $name() {
            goes_through($policy, $compression);
        }
    )*};
}

cases! {
    always_without_compression: "always", "none";
    always_with_lz4: "always", "lz4";
    always_with_zstd: "always", "zstd";
    batch_without_compression: "batch:5ms", "none";
    batch_with_lz4: "batch:5ms", "lz4";
    batch_with_zstd: "batch:5ms", "zstd";
    os_without_compression: "os", "none";
    os_with_lz4: "os", "lz4";
    os_with_zstd: "os", "zstd";
}

#[test]
fn without_preallocation() {
    let place = Place::new();
    let input = odd_lines(3, 20_000, Lengths::Short);
    let options = ["--no-preallocate", "--segment-size", "1MiB"];
    append(&place.log(), &options, &input).code(0);
    assert!(cat(&place.log(), &[]).code(0).stdout == input);
}

#[test]
fn no_lines_at_all() {
    let place = Place::new();
    append(&place.log(), &[], b"")
        .code(0)
        .says(&["appended 0 records, 0 bytes"]);
    assert_eq!(cat(&place.log(), &[]).code(0).stdout, b"");
    assert_eq!(stat(&place.log())["records"], 0);
    verify(&place.log()).code(0);
    append(&place.log(), &[], b"a\n").code(0);
    assert_eq!(cat(&place.log(), &[]).code(0).stdout, b"a\n");
}
