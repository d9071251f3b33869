//! `wal upgrade`, and what `wal stat` says of versions of the format.

mod common;

use common::live::Live;
use common::{Ended, Lengths, Place, append, cat, odd_lines, run, stat, verify, wal};
use serde_json::json;

fn upgrade(place: &Place, options: &[&str]) -> Ended {
    run(wal().arg("upgrade").arg(place.log()).args(options), b"")
}

/// The names and the bytes of the log's segments.
fn segments(place: &Place) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let read = |path: std::path::PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    };
    place.files("wal").into_iter().map(read).collect()
}

/// A log of version 1 with several segments.
fn of_version_1(place: &Place) -> Vec<u8> {
    let lines = odd_lines(31, 3_000, Lengths::Long);
    let options = ["--segment-size", "1MiB", "--format-version", "1"];
    append(&place.log(), &options, &lines).code(0);
    lines
}

#[test]
fn an_upgrade_adds_a_segment_and_changes_no_other() {
    let place = Place::new();
    let lines = of_version_1(&place);
    let before = segments(&place);
    assert!(before.len() > 2);
    let old = json!([{"version": 1, "segments": before.len()}]);
    assert_eq!(stat(&place.log())["format_versions"], old);

    let planned = upgrade(&place, &["--dry-run", "--json"]).code(0).json();
    let expected = json!({"done": "planned", "format_version": 2, "format_versions": old});
    assert_eq!(planned, expected);
    let text = upgrade(&place, &["--dry-run"]).code(0);
    assert!(
        text.text().contains("nothing yet; without --dry-run"),
        "{text:?}"
    );
    assert!(segments(&place) == before);

    let text = upgrade(&place, &[]).code(0);
    let row = format!(
        "format       version 1 in {} segments, version 2 in 1 segment\n",
        before.len()
    );
    assert_eq!(text.text(), format!("done         upgraded\n{row}"));
    let after = segments(&place);
    assert!(after.starts_with(&before) && after.len() == before.len() + 1);
    let stat_text = run(wal().arg("stat").arg(place.log()), b"").code(0);
    assert!(stat_text.text().contains(&row), "{stat_text:?}");
    assert_eq!(cat(&place.log(), &[]).code(0).stdout, lines);

    // Once is enough.
    for options in [&["--json"][..], &["--json", "--dry-run"]] {
        let again = upgrade(&place, options).code(0).json();
        assert_eq!(again["done"], "nothing");
        assert_eq!(
            again["format_versions"],
            stat(&place.log())["format_versions"]
        );
    }
    assert!(segments(&place) == after);

    // It goes on in version 2, and not back.
    append(&place.log(), &[], b"one more\n").code(0);
    append(&place.log(), &["--format-version", "1"], b"another\n")
        .code(2)
        .says(&["--format-version is 1, allowed is 2"]);
    assert_eq!(stat(&place.log())["format_versions"][1]["segments"], 2);
    assert_eq!(
        cat(&place.log(), &[]).code(0).stdout,
        [lines, b"one more\n".to_vec()].concat()
    );
    assert_eq!(verify(&place.log()).code(0).json()["verdict"], "clean");
}

#[test]
fn an_upgrade_keeps_what_the_log_has_set() {
    let place = Place::new();
    let options = [
        "--segment-size",
        "2MiB",
        "--node-id",
        "7",
        "--record-limit",
        "10000",
    ];
    let options = [&options[..], &["--format-version", "1"]].concat();
    append(&place.log(), &options, b"one\ntwo\nthree\n").code(0);
    run(
        wal().args(["truncate", "--before", "2"]).arg(place.log()),
        b"",
    )
    .code(0);
    upgrade(&place, &[]).code(0);
    let facts = stat(&place.log());
    assert_eq!(
        (&facts["first_lsn"], &facts["last_lsn"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(facts["other_node_ids"], json!([]));
    append(&place.log(), &[], &[&[b'x'; 10_001][..], b"\n"].concat())
        .code(1)
        .says(&["a record may have 10000 bytes"]);
    append(&place.log(), &["--no-preallocate"], b"four\n").code(0);
    let newest = segments(&place).pop().unwrap().1;
    let capacity = u64::from_le_bytes(newest[48..56].try_into().unwrap());
    assert_eq!(capacity, 2 << 20);
}

#[test]
fn a_log_that_is_in_use_damaged_or_not_there_is_not_upgraded() {
    let place = Place::new();
    upgrade(&place, &[]).code(1).says(&["not a log"]);
    assert!(!place.log().exists());

    let options = ["--fsync", "always", "--ack", "--format-version", "1"];
    let mut live = Live::append(&place.log(), &options);
    live.send(b"one\n");
    assert_eq!(live.acked(), 1);
    for options in [&[][..], &["--dry-run"]] {
        let pid = live.id().to_string();
        upgrade(&place, options)
            .code(5)
            .says(&["locked by process", &pid]);
    }
    live.kill();
    // What a kill left is taken over.
    let upgraded = upgrade(&place, &["--json"]).code(0).json();
    assert_eq!(upgraded["done"], "upgraded");
    assert_eq!(cat(&place.log(), &[]).code(0).stdout, b"one\n");

    let place = Place::new();
    of_version_1(&place);
    std::fs::remove_file(&place.files("wal")[1]).unwrap();
    let before = segments(&place);
    for options in [&[][..], &["--dry-run"]] {
        upgrade(&place, options)
            .code(4)
            .says(&["segment 2 is missing"]);
    }
    assert!(segments(&place) == before);
}

#[test]
fn the_help_says_that_readers_come_first() {
    let help = run(wal().args(["upgrade", "--help"]), b"").code(0);
    let words: Vec<&str> = help.text().split_whitespace().collect();
    let text = words.join(" ");
    for sentence in [
        "Upgrade the readers first, then the writer",
        "There is no way back",
        "Version 2 is a draft",
    ] {
        assert!(text.contains(sentence), "{text}");
    }
}
