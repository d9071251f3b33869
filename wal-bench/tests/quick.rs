//! A quick run has every row that a full one has. No figure is looked at: they mean nothing here.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const BUFFERED: [&str; 5] = [
    "raw-chunk",
    "blocking, Os",
    "async, Os",
    "blocking, Batch(5ms)",
    "async, Batch(5ms)",
];
const DURABLE: [&str; 4] = [
    "raw-direct",
    "raw-group",
    "blocking, threads",
    "async, tasks",
];
const BATCHES: [&str; 3] = ["raw-direct", "append each, sync", "append_batch"];

/// Workload, case and contender of every row, in their order.
fn expected() -> Vec<[&'static str; 3]> {
    let cases: [(&str, &[&str], &[&str]); 5] = [
        ("append-buffered", &["100 B", "1 KiB", "10 KiB"], &BUFFERED),
        (
            "append-durable",
            &["1 writer", "2 writers", "8 writers", "32 writers"],
            &DURABLE,
        ),
        (
            "batch-durable",
            &["10 records", "100 records", "1000 records"],
            &BATCHES,
        ),
        ("replay", &["256 KiB"], &["raw-chunk", "blocking", "async"]),
        (
            "open",
            &[
                "closed, 256 KiB",
                "dropped, 64 KiB, Os",
                "dropped, 64 KiB, Batch(5ms)",
            ],
            &["blocking"],
        ),
    ];
    let mut rows = Vec::new();
    for (workload, cases, contenders) in cases {
        for case in cases {
            rows.extend(
                contenders
                    .iter()
                    .map(|contender| [workload, case, contender]),
            );
        }
    }
    rows
}

/// Runs the program in `dir`; its table and its report.
fn quick(dir: &Path, more: &[&str]) -> (String, Value) {
    let json = dir.join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_wal-bench"))
        .args(["--quick", "--dir"])
        .arg(dir)
        .arg("--json")
        .arg(&json)
        .args(more)
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors, "", "progress is for terminals");
    let report = std::fs::read(&json).expect("the report");
    let report = serde_json::from_slice(&report).expect("valid JSON");
    std::fs::remove_file(json).expect("removed");
    (String::from_utf8(output.stdout).expect("text"), report)
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

#[test]
fn every_row_is_in_the_report_and_in_the_table() {
    let dir = tempfile::tempdir().expect("a directory");
    let (table, report) = quick(dir.path(), &[]);
    let mut found = Vec::new();
    for section in list(&report, "sections") {
        let workload = text(section, "workload");
        assert!(table.contains(&format!("\n{workload}: ")), "{table}");
        for row in list(section, "rows") {
            let (case, contender) = (text(row, "case"), text(row, "contender"));
            found.push([workload, case, contender]);
            assert!(table.contains(contender), "{contender}:\n{table}");
            check(workload, row, &found);
        }
    }
    assert_eq!(found, expected());
    for when in ["disk_before", "disk_after"] {
        assert!(report[when]["sync"]["p50"].is_f64(), "{report}");
    }
    let left = std::fs::read_dir(dir.path()).expect("the directory");
    assert_eq!(left.count(), 0, "files were left behind");
}

/// Each row has a figure for each turn, and what its workload promises beside it.
fn check(workload: &str, row: &Value, place: &[[&str; 3]]) {
    let place = place.last();
    assert_eq!(list(row, "turns").len(), 2, "{place:?}");
    let is_limit = row["is_limit"] == Value::Bool(true);
    let limits = match workload {
        "append-durable" => 2,
        "open" => 0,
        _ => 1,
    };
    let ratios = list(row, "ratios");
    assert_eq!(ratios.len(), limits - usize::from(is_limit), "{place:?}");
    let has_latency = workload.ends_with("-durable");
    assert_eq!(row["latency"].is_object(), has_latency, "{place:?}");
    assert_eq!(
        row["syncs_per_second"].is_object(),
        has_latency,
        "{place:?}"
    );
    assert_eq!(row["note"].is_string(), workload == "open", "{place:?}");
    for ratio in ratios {
        assert_eq!(ratio["p50"].is_object(), has_latency, "{place:?}");
    }
}

#[test]
fn only_what_was_asked_for_is_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let more = [
        "--only",
        "replay",
        "--only",
        "batch-durable",
        "--turns",
        "1",
    ];
    let (table, report) = quick(dir.path(), &more);
    let workloads: Vec<_> = list(&report, "sections")
        .iter()
        .map(|section| text(section, "workload"))
        .collect();
    assert_eq!(workloads, ["batch-durable", "replay"]);
    assert!(!table.contains("append-durable"), "{table}");
    assert_eq!(report["turns"], 1);
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_wal-bench"))
        .args(["--quick", "--dir", "no/such/directory"])
        .output()
        .expect("the program starts");
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("no/such/directory"), "{errors}");
}
