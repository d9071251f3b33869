//! `wal stat` and `wal verify`: their figures and their verdicts.

mod common;

use common::live::Live;
use common::{Lengths, Place, append, cat, odd_lines, overwrite, run, stat, verify, wal};

/// A log whose writer was killed, its last record durable.
fn killed(place: &Place, lines: u64) {
    let mut live = Live::append(
        &place.log(),
        &["--fsync", "always", "--ack", "--segment-size", "1MiB"],
    );
    for lsn in 1..=lines {
        live.send(b"some line\n");
        assert_eq!(live.acked(), lsn);
    }
    live.kill();
}

#[test]
fn a_closed_log_is_clean() {
    let place = Place::new();
    let lines = odd_lines(21, 3_000, Lengths::Long);
    append(&place.log(), &["--segment-size", "1MiB"], &lines).code(0);
    let facts = stat(&place.log());
    assert_eq!(facts["records"], 3_000);
    assert_eq!(facts["first_lsn"], 1);
    assert_eq!(facts["last_lsn"], 3_000);
    assert_eq!(facts["proven_lsn"], 3_000);
    assert_eq!(facts["clean_stop"], true);
    assert_eq!(facts["segments"], place.files("wal").len());
    assert!(facts["torn_tail"].is_null() && facts["damage"].is_null());
    // All but headers and small overheads is what was appended.
    let bytes = facts["bytes"].as_u64().unwrap();
    assert!((lines.len() as u64..lines.len() as u64 * 11 / 10).contains(&bytes));

    let report = verify(&place.log()).code(0).json();
    assert_eq!(report["verdict"], "clean");
    assert_eq!(report["bytes"], bytes);
    let segments = report["segments"].as_array().unwrap();
    assert_eq!(segments.len(), place.files("wal").len());
    let mut next = 1;
    for segment in segments {
        assert_eq!(segment["first_lsn"], next, "{segment}");
        assert_eq!(segment["sealed"], true);
        assert_eq!(segment["damaged"], false);
        next += segment["records"].as_u64().unwrap();
        assert_eq!(segment["last_lsn"], next - 1);
    }
    assert_eq!(next, 3_001);

    let text = run(wal().arg("stat").arg(place.log()), b"").code(0);
    for row in [
        "records      3000\n",
        "last LSN     3000\n",
        "last stop    clean\n",
    ] {
        assert!(text.text().contains(row), "{}", text.text());
    }
    let text = run(wal().arg("verify").arg(place.log()), b"").code(0);
    assert!(
        text.text().starts_with("verdict      clean\n"),
        "{}",
        text.text()
    );
}

#[test]
fn verify_says_the_same_on_any_number_of_threads() {
    let place = Place::new();
    let lines = odd_lines(22, 3_000, Lengths::Long);
    append(&place.log(), &["--segment-size", "1MiB"], &lines).code(0);
    assert!(place.files("wal").len() > 2);
    let on = |threads: &str, code: i32| {
        let mut command = wal();
        command.args(["verify", "--json", "--threads", threads]);
        run(command.arg(place.log()), b"").code(code).json()
    };
    assert_eq!(on("1", 0), on("4", 0));
    // Damage in two segments: both are found, whoever comes first.
    for segment in &place.files("wal")[..2] {
        overwrite(segment, 5_000, b"damage");
    }
    let report = on("1", 4);
    let segments = report["segments"].as_array().unwrap();
    let damaged = segments.iter().filter(|one| one["damaged"] == true);
    assert_eq!(damaged.count(), 2, "{report}");
    assert_eq!(report, on("4", 4));
    run(
        wal().args(["verify", "--threads", "0"]).arg(place.log()),
        b"",
    )
    .code(2);
}

#[test]
fn an_unclean_stop_with_a_whole_end_is_clean_to_verify() {
    let place = Place::new();
    killed(&place, 5);
    let facts = stat(&place.log());
    assert_eq!(facts["clean_stop"], false);
    assert_eq!(facts["records"], 5);
    assert!(facts["torn_tail"].is_null(), "{facts}");
    let report = verify(&place.log()).code(0).json();
    assert_eq!(report["verdict"], "clean");
    assert_eq!(report["clean_stop"], false);
    assert_eq!(report["segments"][0]["sealed"], false);
}

#[test]
fn a_torn_tail_has_a_code_of_its_own() {
    let place = Place::new();
    killed(&place, 5);
    let end = stat(&place.log())["bytes"].as_u64().unwrap();
    // What a write that was cut short leaves: the beginning of a group of this segment. (Other bytes are stale, and nobody's.)
    let segment = &place.files("wal")[0];
    let records = cat(&place.log(), &["--json", "--limit", "1"]).json_lines();
    let start = records[0]["offset"].as_u64().unwrap() as usize - 64;
    let group = std::fs::read(segment).unwrap()[start..start + 40].to_vec();
    overwrite(segment, end, &group);

    let report = verify(&place.log()).code(3).json();
    assert_eq!(report["verdict"], "torn_tail");
    assert_eq!(report["torn_tail"]["segment_id"], 1);
    assert_eq!(report["torn_tail"]["offset"], end);
    assert_eq!(report["torn_tail"]["bytes"], 64);
    let text = run(wal().arg("verify").arg(place.log()), b"").code(3);
    assert!(text.text().starts_with("verdict      torn tail\n"));
    assert!(
        text.text().contains("torn tail    64 bytes"),
        "{}",
        text.text()
    );
    assert_eq!(stat(&place.log())["torn_tail"]["bytes"], 64);

    // It is no damage to a reader or a writer.
    assert_eq!(
        cat(&place.log(), &[]).code(0).stdout,
        b"some line\n".repeat(5)
    );
    append(&place.log(), &[], b"six\n")
        .code(0)
        .says(&["left 64 bytes of an incomplete write behind"]);
    verify(&place.log()).code(0);
    let whole = [b"some line\n".repeat(5), b"six\n".to_vec()].concat();
    assert_eq!(cat(&place.log(), &[]).code(0).stdout, whole);
}

#[test]
fn damage_before_the_end_is_corruption_and_not_a_torn_tail() {
    let place = Place::new();
    killed(&place, 5);
    let first = cat(&place.log(), &["--json", "--limit", "1"]).json_lines();
    let offset = first[0]["offset"].as_u64().unwrap();
    overwrite(&place.files("wal")[0], offset + 10, b"X");
    let report = verify(&place.log()).code(4).json();
    assert_eq!(report["damage"][0]["kind"], "corruption");
    assert_eq!(report["damage"][0]["first_lsn"], 1);
    let ended = run(wal().args(["stat", "--json"]).arg(place.log()), b"").code(4);
    assert_eq!(ended.json()["damage"]["segment_id"], 1);
    let ended = cat(&place.log(), &[])
        .code(4)
        .says(&["segment 1", "corruption"]);
    assert!(ended.stdout.is_empty());
    append(&place.log(), &[], b"six\n").code(4);
}

#[test]
fn neither_needs_the_lock() {
    let place = Place::new();
    let mut live = Live::append(&place.log(), &["--fsync", "always", "--ack"]);
    live.send(b"one\ntwo\n");
    assert_eq!((live.acked(), live.acked()), (1, 2));
    assert_eq!(stat(&place.log())["records"], 2);
    assert_eq!(verify(&place.log()).code(0).json()["records"], 2);
    live.send(b"three\n");
    assert_eq!(live.acked(), 3);
    assert!(live.finish().0.success());
}

#[test]
fn a_running_writer_is_told_from_one_that_was_killed() {
    let place = Place::new();
    let log = place.log();
    let text = |subcommand: &str| {
        let ended = run(wal().arg(subcommand).arg(&log), b"").code(0);
        ended.text().to_owned()
    };
    let mut live = Live::append(
        &log,
        &["--fsync", "always", "--ack", "--segment-size", "1MiB"],
    );
    live.send(b"some line\n");
    live.acked();
    let facts = stat(&log);
    assert_eq!(facts["writer_running"], true);
    assert_eq!(facts["writer_pid"], live.id());
    let running = format!("writer       process {} has the log open\n", live.id());
    for subcommand in ["stat", "verify"] {
        let said = text(subcommand);
        assert!(
            said.contains("last stop    none yet: a writer is running\n"),
            "{said}"
        );
        assert!(said.contains(&running), "{said}");
    }
    live.kill();
    assert_eq!(stat(&log)["writer_running"], false);
    for subcommand in ["stat", "verify"] {
        let said = text(subcommand);
        assert!(
            said.contains(
                "last stop    not clean: the log was not closed after its last append or repair\n"
            ),
            "{said}"
        );
        assert!(!said.contains("writer"), "{said}");
    }
}

#[test]
fn a_stat_at_any_moment_keeps_no_writer_out() {
    let place = Place::new();
    let log = place.log();
    append(&log, &["--segment-size", "1MiB"], b"one\n").code(0);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    wal_core::writer(&log).unwrap();
                }
            });
        }
        for _ in 0..50 {
            append(&log, &[], b"one more\n").code(0);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
