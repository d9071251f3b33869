//! `wal truncate` on real files.

mod common;

use std::path::Path;

use common::{Ended, Place, append, cat, run, stat, verify, wal};

fn truncate(dir: &Path, options: &[&str]) -> Ended {
    run(wal().arg("truncate").arg(dir).args(options), b"")
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> Vec<u8> {
    let lines = range.map(|n| format!("{n}\n"));
    lines.collect::<String>().into_bytes()
}

fn log() -> Place {
    let place = Place::new();
    append(&place.log(), &[], &numbers(1..=100)).code(0);
    place
}

#[test]
fn the_oldest_go() {
    let place = log();
    let planned = truncate(&place.log(), &["--before", "40", "--dry-run", "--json"]);
    let planned = planned.code(0).json();
    assert_eq!(planned["done"], "planned");
    assert_eq!(planned["records_dropped"], 39);
    assert_eq!(stat(&place.log())["first_lsn"], 1);
    let done = truncate(&place.log(), &["--before", "40", "--json"]).code(0);
    assert_eq!(done.json()["done"], "truncated");
    assert!(cat(&place.log(), &[]).code(0).stdout == numbers(40..=100));
    let again = truncate(&place.log(), &["--before", "40", "--json"]).code(0);
    assert_eq!(again.json()["done"], "nothing");
    // All of them, up to the next one.
    truncate(&place.log(), &["--before", "101"]).code(0);
    assert!(cat(&place.log(), &[]).code(0).stdout.is_empty());
    verify(&place.log()).code(0);
}

#[test]
fn the_newest_go_and_their_lsns_are_given_again() {
    let place = log();
    let planned = truncate(&place.log(), &["--after", "60", "--dry-run", "--json"]);
    assert_eq!(planned.code(0).json()["records_dropped"], 40);
    assert_eq!(stat(&place.log())["last_lsn"], 100);
    let text = truncate(&place.log(), &["--after", "60"]).code(0);
    assert!(text.text().contains("40 records"), "{}", text.text());
    assert!(cat(&place.log(), &[]).code(0).stdout == numbers(1..=60));
    append(&place.log(), &[], b"61 anew\n").code(0);
    let last = cat(&place.log(), &["--from", "61", "--json"]).code(0);
    assert_eq!(last.json_lines()[0]["value"], "61 anew");
    truncate(&place.log(), &["--after", "0"]).code(0);
    assert!(cat(&place.log(), &[]).code(0).stdout.is_empty());
    verify(&place.log()).code(0);
}

#[test]
fn what_cannot_be_is_wrong_usage() {
    let place = log();
    let before = stat(&place.log());
    for (options, says) in [
        (&["--before", "102"][..], "the next record gets LSN 101"),
        (&["--after", "101"], "the last record is LSN 100"),
        (&["--before", "102", "--dry-run"], "LSN 101"),
        (&[], "required"),
        (&["--before", "1", "--after", "2"], "cannot be used with"),
    ] {
        truncate(&place.log(), options).code(2).says(&[says]);
    }
    truncate(&place.log(), &["--before", "50"]).code(0);
    truncate(&place.log(), &["--after", "30"])
        .code(2)
        .says(&["the first record is LSN 50"]);
    assert_eq!(before["records"], 100);
    let nowhere = place.root().join("nowhere");
    truncate(&nowhere, &["--before", "1"]).code(1);
    assert!(!nowhere.exists());
}

#[test]
fn a_dry_run_is_refused_where_the_real_run_is() {
    let place = log();
    let mut live = common::live::Live::append(&place.log(), &["--ack", "--fsync", "always"]);
    live.send(b"a line\n");
    live.acked();
    for options in [&["--before", "50"][..], &["--after", "50"]] {
        for dry in [&[][..], &["--dry-run"]] {
            truncate(&place.log(), &[options, dry].concat())
                .code(5)
                .says(&["locked by process"]);
        }
    }
}
