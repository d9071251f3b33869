//! `wal repair` and `wal cat --skip-damage` on real files: what is damaged is lost, all else stays, and every byte is kept.

mod common;

use std::fs;
use std::path::Path;

use common::live::Live;
use common::{Ended, Place, append, cat, overwrite, run, verify, wal};
use serde_json::Value;

fn repair(dir: &Path, options: &[&str]) -> Ended {
    run(wal().arg("repair").arg(dir).args(options), b"")
}

/// A line that tells itself apart; no newline in it.
fn line(n: usize) -> String {
    format!("line {n} {}", "x".repeat(n * 13 % 700))
}

fn lines(count: usize) -> Vec<u8> {
    let lines = (1..=count).map(|n| line(n) + "\n");
    lines.collect::<String>().into_bytes()
}

/// A closed log of several segments, in which these records are damaged: their LSNs.
fn damaged(place: &Place, lost: &[usize]) {
    append(&place.log(), &["--segment-size", "1MiB"], &lines(8000)).code(0);
    assert!(place.files("wal").len() > 2);
    let records = cat(&place.log(), &["--json"]).code(0).json_lines();
    for lsn in lost {
        let record = &records[lsn - 1];
        let file = format!("{:020}.wal", record["segment_id"].as_u64().unwrap());
        let offset = record["offset"].as_u64().unwrap();
        overwrite(&place.log().join(file), offset + 8, b"\xFF\xFF");
    }
}

/// Names and bytes below a directory, but for the lock.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut contents = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().unwrap().is_dir() {
            contents.push((name, Vec::new()));
        } else if !name.starts_with("lock") {
            contents.push((name, fs::read(entry.path()).unwrap()));
        }
    }
    contents.sort();
    contents
}

fn lsns(records: &[Value]) -> Vec<u64> {
    records
        .iter()
        .map(|record| record["lsn"].as_u64().unwrap())
        .collect()
}

#[test]
fn skipping_damage_prints_all_that_can_be_read() {
    let place = Place::new();
    damaged(&place, &[2500, 2501, 5000]);
    let ended = cat(&place.log(), &["--skip-damage"]).code(4).says(&[
        "LSNs 2500 to 2501 cannot be read",
        "LSN 5000 cannot be read",
    ]);
    let expected: String = (1..=8000)
        .filter(|n| ![2500, 2501, 5000].contains(n))
        .map(|n| line(n) + "\n")
        .collect();
    assert!(ended.text() == expected);
    // Without it the reader ends there.
    let ended = cat(&place.log(), &[]).code(4);
    assert!(ended.stdout == lines(2499));
}

#[test]
fn a_repair_keeps_all_other_records_and_every_damaged_byte() {
    let place = Place::new();
    let log = place.log();
    damaged(&place, &[2500, 5000]);
    let before = contents(&log);
    let skipped = cat(&log, &["--skip-damage"]).code(4).stdout;

    let planned = repair(&log, &["--dry-run", "--json"]).code(4).json();
    assert!(contents(&log) == before, "a dry run changed a byte");
    assert_eq!(planned["done"], "planned");
    assert_eq!(planned["records_lost"], 2);
    assert_eq!(planned["gaps"][0]["from"], 2500);
    assert_eq!(planned["gaps"][1]["to"], 5000);
    assert_eq!(planned["next_lsn"], 8001);

    let repaired = repair(&log, &["--json"]).code(0).json();
    assert_eq!(repaired["done"], "repaired");
    assert_eq!(repaired["gaps"], planned["gaps"]);
    let quarantined = repaired["quarantined"].as_array().unwrap();
    assert_eq!(quarantined.len(), 2);
    for name in quarantined.iter().map(|name| name.as_str().unwrap()) {
        let kept = fs::read(log.join("quarantine").join(name)).unwrap();
        let old = before.iter().find(|(found, _)| found == name).unwrap();
        assert!(kept == old.1, "{name}");
    }

    let verified = verify(&log).code(6).json();
    assert_eq!(verified["verdict"], "gaps");
    assert_eq!(verified["gaps"][0]["from"], 2500);
    assert_eq!(verified["gaps"][1]["from"], 5000);
    let ended = cat(&log, &["--skip-damage"]).code(6);
    assert!(ended.stdout == skipped);
    let records = cat(&log, &["--skip-damage", "--json"]).code(6).json_lines();
    let expected: Vec<u64> = (1..=8000).filter(|n| ![2500, 5000].contains(n)).collect();
    assert_eq!(lsns(&records), expected);

    repair(&log, &[]).code(0);
    let second = repair(&log, &["--json"]).code(0).json();
    assert_eq!(second["done"], "nothing");
    append(&log, &[], b"after the repair\n").code(0);
    let last = cat(&log, &["--from", "8001", "--json"])
        .code(0)
        .json_lines();
    assert_eq!(lsns(&last), [8001]);
    assert_eq!(last[0]["value"], "after the repair");
}

#[test]
fn a_repair_in_place_changes_the_damaged_files_and_no_other() {
    let place = Place::new();
    let log = place.log();
    damaged(&place, &[2500, 5000]);
    let before = contents(&log);
    let skipped = cat(&log, &["--skip-damage"]).code(4).stdout;
    let longest = before.iter().map(|(_, bytes)| bytes.len()).max().unwrap() as u64;

    let planned = repair(&log, &["--upgrade", "--dry-run", "--json"]).code(4);
    assert!(contents(&log) == before, "a dry run changed a byte");
    let repaired = repair(&log, &["--upgrade", "--json"]).code(0).json();
    let numbers = |field: &str| -> Vec<u64> {
        let numbers = repaired[field].as_array().unwrap();
        numbers.iter().map(|id| id.as_u64().unwrap()).collect()
    };
    assert_eq!(repaired["replaced"], planned.json()["replaced"]);
    assert_eq!(numbers("replaced").len(), 2);
    assert!(numbers("new_segments").is_empty());
    let needed = repaired["bytes_needed"].as_u64().unwrap();
    assert!(needed <= 4 * longest + (1 << 20), "{needed}");
    let names: Vec<String> = numbers("replaced")
        .iter()
        .map(|id| format!("{id:020}.wal"))
        .collect();
    let after = contents(&log);
    for (name, bytes) in before
        .iter()
        .filter(|(_, bytes)| bytes.starts_with(b"WALSEG"))
    {
        let now = after.iter().find(|(found, _)| found == name).unwrap();
        assert_eq!(names.contains(name), now.1 != *bytes, "{name}");
        if names.contains(name) {
            let kept = fs::read(log.join("quarantine").join(name)).unwrap();
            assert!(kept == *bytes, "{name}");
        }
    }

    assert_eq!(verify(&log).code(6).json()["verdict"], "gaps");
    assert!(cat(&log, &["--skip-damage"]).code(6).stdout == skipped);
    append(&log, &[], b"after the repair\n").code(0);
    let last = cat(&log, &["--from", "8001", "--json"])
        .code(0)
        .json_lines();
    assert_eq!(lsns(&last), [8001]);
    // It is a log of version 2 now, and repaired in place without being asked for it.
    overwrite(&log.join(&names[0]), 40_000, b"\xFF\xFF");
    let again = repair(&log, &["--json"]).code(0).json();
    assert_eq!(again["replaced"].as_array().unwrap().len(), 1);
    verify(&log).code(6);
}

#[test]
fn after_a_repair_the_records_that_exist_are_counted_and_gaps_have_an_exit_code() {
    let place = Place::new();
    let log = place.log();
    damaged(&place, &[2500, 2501, 5000]);
    repair(&log, &[]).code(0);
    let gaps = serde_json::json!([{"from": 2500, "to": 2501}, {"from": 5000, "to": 5000}]);
    for subcommand in ["stat", "verify"] {
        let ended = run(wal().arg(subcommand).arg(&log).arg("--json"), b"").code(6);
        let said = ended.json();
        assert_eq!(said["records"], 7997, "{subcommand}");
        assert_eq!(said["gaps"], gaps, "{subcommand}");
        assert_eq!(
            (&said["first_lsn"], &said["last_lsn"]),
            (&1.into(), &8000.into())
        );
        let ended = run(wal().arg(subcommand).arg(&log), b"").code(6);
        assert!(
            ended
                .text()
                .contains("LSNs 2500 to 2501, as a repair recorded")
        );
    }
    let ended = cat(&log, &[])
        .code(6)
        .says(&["LSNs 2500 to 2501 cannot be read: lost", "--skip-damage"]);
    assert!(ended.stdout == lines(2499));
    // A gap that is truncated away is none of the log's any more.
    run(
        wal().arg("truncate").arg(&log).args(["--before", "5001"]),
        b"",
    )
    .code(0);
    assert_eq!(verify(&log).code(0).json()["records"], 3000);
    assert_eq!(common::stat(&log)["records"], 3000);
}

#[test]
fn a_segment_that_is_gone_is_a_gap() {
    let place = Place::new();
    let log = place.log();
    damaged(&place, &[]);
    let records = cat(&log, &["--json"]).code(0).json_lines();
    let missing: Vec<u64> = records
        .iter()
        .filter(|record| record["segment_id"] == 2)
        .map(|record| record["lsn"].as_u64().unwrap())
        .collect();
    fs::remove_file(&place.files("wal")[1]).unwrap();
    append(&log, &[], b"refused\n").code(4);
    let text = repair(&log, &[]).code(0);
    let lost = format!(
        "LSNs {} to {}: there is no valid record",
        missing[0],
        missing[missing.len() - 1]
    );
    assert!(text.text().contains(&lost), "{}", text.text());
    append(&log, &[], b"taken\n").code(0);
    let after = cat(&log, &["--skip-damage", "--json"]).code(6).json_lines();
    let expected: Vec<u64> = (1..=8001).filter(|lsn| !missing.contains(lsn)).collect();
    assert_eq!(lsns(&after), expected);
}

#[test]
fn a_repair_of_an_end_that_was_cut_off_does_not_claim_to_know_what_is_lost() {
    for cut in [true, false] {
        let place = Place::new();
        damaged(&place, if cut { &[] } else { &[5000] });
        if cut {
            let newest = place.files("wal").pop().unwrap();
            let newest = fs::File::options().write(true).open(newest).unwrap();
            newest.set_len(20_000).unwrap();
        }
        let said = repair(&place.log(), &["--dry-run", "--json"]).code(4);
        assert_eq!(said.json()["end_unknown"], cut);
        let ended = repair(&place.log(), &["--dry-run"]).code(4);
        let said = ended.text();
        assert_eq!(said.contains("log's end    unknown"), cut, "{said}");
    }
}

#[test]
fn a_repair_is_refused_while_the_log_is_open() {
    let place = Place::new();
    let mut live = Live::append(&place.log(), &["--ack", "--fsync", "always"]);
    live.send(b"a line\n");
    live.acked();
    for options in [&[][..], &["--dry-run"]] {
        repair(&place.log(), options).code(5).says(&["locked"]);
    }
}

#[test]
fn what_is_no_log_is_not_repaired() {
    let place = Place::new();
    repair(&place.log(), &[]).code(1).says(&["not a log"]);
    assert!(!place.log().exists());
}
