//! A quick run has the rows that a longer one has. No figure is looked at: they mean nothing here.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// Runs the program in `dir`, of which `only` one workload if it is named.
fn quick(dir: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wal-bench"))
        .args(["--quick", "--dir"])
        .arg(dir)
        .arg("--json")
        .arg(dir.join("report.json"))
        .args(more)
        .output()
        .expect("the program starts")
}

/// Its table and its report.
fn report(dir: &Path, more: &[&str]) -> (String, Value) {
    let output = quick(dir, more);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors, "", "progress is for terminals");
    let json = dir.join("report.json");
    let report = std::fs::read(&json).expect("the report");
    let report = serde_json::from_slice(&report).expect("valid JSON");
    std::fs::remove_file(json).expect("removed");
    let left = std::fs::read_dir(dir).expect("the directory");
    assert_eq!(left.count(), 0, "files were left behind");
    (String::from_utf8(output.stdout).expect("text"), report)
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Runs one workload; the rows, each as "case: contender" with what it is divided by.
fn rows(workload: &str) -> Vec<(String, Vec<String>)> {
    let dir = tempfile::tempdir().expect("a directory");
    let (table, report) = report(dir.path(), &["--only", workload]);
    let [section] = list(&report, "sections") else {
        panic!("{report}");
    };
    assert_eq!(text(section, "workload"), workload);
    assert!(table.contains(&format!("\n{workload}: ")), "{table}");
    assert!(section["disk"]["sync"]["p50"].is_f64(), "{section}");
    let mut rows = Vec::new();
    for row in list(section, "rows") {
        let (case, contender) = (text(row, "case"), text(row, "contender"));
        assert!(
            table.contains(case) && table.contains(contender),
            "{case}: {contender}:\n{table}"
        );
        assert_eq!(list(row, "turns").len(), 2, "{case}: {contender}");
        let ratios = list(row, "ratios")
            .iter()
            .map(|ratio| text(ratio, "to").to_owned());
        rows.push((format!("{case}: {contender}"), ratios.collect()));
    }
    rows
}

/// Compares rows with lines of the form "case: contender", or "case: contender / ratio / ratio".
fn assert_rows(workload: &str, expected: &[&str]) {
    let found: Vec<String> = rows(workload)
        .into_iter()
        .map(|(row, ratios)| [vec![row], ratios].concat().join(" / "))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn append_buffered() {
    let rows = rows("append-buffered");
    let find = |row: &str| {
        let found = rows.iter().find(|(name, _)| name == row);
        &found
            .unwrap_or_else(|| panic!("{row} is not in {rows:?}"))
            .1
    };
    for record in ["100 B", "1 KiB", "10 KiB"] {
        assert!(find(&format!("{record}, 1 writer: raw-chunk")).is_empty());
        for way in ["blocking", "async"] {
            assert_eq!(
                *find(&format!("{record}, 1 writer: {way}, Os")),
                ["raw-chunk"]
            );
            assert_eq!(
                *find(&format!("{record}, 1 writer: {way}, Batch(5ms)")),
                ["raw-chunk", "Os"]
            );
            assert_eq!(
                *find(&format!("{record}, 8 writers: {way}, Os")),
                ["raw-chunk", "1 writer"]
            );
        }
        find(&format!("{record}, 2 writers: blocking, Os"));
    }
    assert_eq!(rows.len(), 3 * 8);
}

#[test]
fn append_durable() {
    let rows = rows("append-durable");
    let mut expected = Vec::new();
    for record in ["1 KiB", "100 B"] {
        for (writers, contenders) in [
            (
                "1 writer",
                "raw-direct|raw-group|blocking, threads|async, multi-thread|async, current-thread",
            ),
            ("2 writers", "raw-lock|raw-group|blocking, threads"),
            (
                "8 writers",
                "raw-lock|raw-group|blocking, threads|async, multi-thread|async, current-thread",
            ),
            ("32 writers", "raw-lock|raw-group|blocking, threads"),
            (
                "64 writers",
                "raw-lock|raw-group|async, multi-thread|async, current-thread",
            ),
            (
                "1000 writers",
                "raw-batch|async, multi-thread|async, current-thread",
            ),
        ] {
            let contenders = contenders.split('|');
            expected.extend(contenders.map(|name| format!("{record}, {writers}: {name}")));
        }
    }
    let found: Vec<&String> = rows.iter().map(|(row, _)| row).collect();
    assert_eq!(found, expected.iter().collect::<Vec<_>>());
}

#[test]
fn batch_durable() {
    let rows = rows("batch-durable");
    let found: Vec<&String> = rows.iter().map(|(row, _)| row).collect();
    let expected = ["10", "100", "1000"].into_iter().flat_map(|batch| {
        let contenders = ["raw-direct", "append each, sync", "append_batch"];
        contenders.map(|contender| format!("{batch} records: {contender}"))
    });
    assert_eq!(
        found,
        expected.collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
}

#[test]
fn replay() {
    assert_rows(
        "replay",
        &[
            "256 KiB of 1 KiB: raw-chunk",
            "256 KiB of 1 KiB: blocking / raw-chunk",
            "256 KiB of 1 KiB: async / raw-chunk",
            "256 KiB of 1 KiB, opened: raw-chunk",
            "256 KiB of 1 KiB, opened: blocking / raw-chunk",
        ],
    );
}

#[test]
fn parallel() {
    let rows = rows("parallel");
    let replays = rows.iter().filter(|(row, _)| row.starts_with("replay: "));
    assert_eq!(replays.count(), 2, "{rows:?}");
    assert!(
        rows.iter().any(|(row, _)| row.starts_with("verify: ")),
        "{rows:?}"
    );
    assert_eq!(rows[1].1, ["1 thread"]);
}

#[test]
fn point_read() {
    assert_rows(
        "point-read",
        &[
            "1 KiB, groups of 1 MiB, sealed, 1 thread: raw-point",
            "1 KiB, groups of 1 MiB, sealed, 1 thread: by LSN / raw-point / by position",
            "1 KiB, groups of 1 MiB, sealed, 1 thread: by position / raw-point",
            "1 KiB, groups of 1 MiB, active, 1 thread: raw-point",
            "1 KiB, groups of 1 MiB, active, 1 thread: by LSN / raw-point / by position",
            "1 KiB, groups of 1 MiB, active, 1 thread: by position / raw-point",
            "1 KiB, one a group, sealed, 1 thread: raw-point",
            "1 KiB, one a group, sealed, 1 thread: by LSN / raw-point / by position",
            "1 KiB, one a group, sealed, 1 thread: by position / raw-point",
            "1 KiB, one a group, active, 1 thread: raw-point",
            "1 KiB, one a group, active, 1 thread: by LSN / raw-point / by position",
            "1 KiB, one a group, active, 1 thread: by position / raw-point",
        ],
    );
}

#[test]
fn lag() {
    assert_rows(
        "lag",
        &[
            "Os, 10000 records/s: reader of the writer",
            "Os, 10000 records/s: read-only beside it",
            "Always, 1000 records/s: reader of the writer",
            "Always, 1000 records/s: read-only beside it",
        ],
    );
}

#[test]
fn open() {
    assert_rows(
        "open",
        &[
            "closed, 256 KiB in segments of 128 MiB: blocking",
            "closed, 2 MiB in segments of 1 MiB: blocking",
            "killed under Os, 64 KiB in segments of 128 MiB: blocking",
            "killed under Batch(5ms), 64 KiB in segments of 128 MiB: blocking",
        ],
    );
}

#[test]
fn rotation() {
    assert_rows(
        "rotation",
        &[
            "Os: no rotation",
            "Os: segments of 1 MiB / no rotation",
            "Batch(5ms): no rotation",
            "Batch(5ms): segments of 1 MiB / no rotation",
        ],
    );
}

#[test]
fn compression() {
    assert_rows(
        "compression",
        &[
            "text, 1 KiB: none",
            "text, 1 KiB: lz4 / none",
            "text, 1 KiB: zstd / none",
            "random, 1 KiB: none",
            "random, 1 KiB: lz4 / none",
            "random, 1 KiB: zstd / none",
        ],
    );
}

#[test]
fn preallocate() {
    assert_rows(
        "preallocate",
        &["Os: on", "Os: off / on", "Always: on", "Always: off / on"],
    );
}

#[test]
fn footprint() {
    let rows = rows("footprint");
    for expected in [
        "written, 100 B: Os",
        "written, 1 KiB: Always",
        "memory, Os: 1 MiB of 1 KiB",
        "system calls, 8 writers: blocking, Always",
    ] {
        assert!(
            rows.iter().any(|(row, _)| row == expected),
            "{expected} is not in {rows:?}"
        );
    }
    assert_eq!(rows.len(), 6 + 4 + 2);
}

#[test]
fn kv_put() {
    let case = "buffered, 500 keys";
    assert_rows(
        "kv-put",
        &[
            &format!("{case}: raw-map"),
            &format!("{case}: raw-shards"),
            &format!("{case}: Os / raw-map / raw-shards"),
            &format!("{case}: Batch(5ms) / raw-map / raw-shards"),
            &format!("{case}: default settings / raw-map / raw-shards"),
            &format!("{case}, known: raw-map"),
            &format!("{case}, known: raw-shards"),
            &format!("{case}, known: Os / raw-map / raw-shards"),
        ],
    );
}

#[test]
fn kv_put_durable() {
    assert_rows(
        "kv-put-durable",
        &[
            "durable, 1 writer: bare log",
            "durable, 1 writer: raw-map",
            "durable, 1 writer: raw-shards",
            "durable, 1 writer: Always / bare log / raw-map / raw-shards",
            "durable, 2 writers: bare log",
            "durable, 2 writers: raw-map",
            "durable, 2 writers: raw-shards",
            "durable, 2 writers: Always / bare log / raw-map / raw-shards",
        ],
    );
}

#[test]
fn kv_get() {
    assert_rows(
        "kv-get",
        &[
            "500 keys, 1 thread: HashMap",
            "500 keys, 1 thread: raw-shards",
            "500 keys, 1 thread: store / HashMap / raw-shards",
            "500 keys, 2 threads: HashMap / 1 thread",
            "500 keys, 2 threads: raw-shards / 1 thread",
            "500 keys, 2 threads: store / HashMap / raw-shards / 1 thread",
        ],
    );
}

#[test]
fn kv_scan() {
    assert_rows(
        "kv-scan",
        &[
            "500 keys: BTreeMap",
            "500 keys: raw-tree",
            "500 keys: HashMap",
            "500 keys: forward / BTreeMap / raw-tree / HashMap",
            "500 keys: reverse / BTreeMap / raw-tree / HashMap",
        ],
    );
}

#[test]
fn kv_open() {
    assert_rows(
        "kv-open",
        &[
            "500 keys: raw-map",
            "500 keys: raw-shards",
            "500 keys: raw-maps",
            "500 keys: log only / raw-map / raw-shards / raw-maps",
            "500 keys: snapshot / raw-map / raw-shards / raw-maps",
        ],
    );
}

#[test]
fn kv_pause() {
    assert_rows(
        "kv-pause",
        &[
            "500 keys, 50,000 puts/s: no snapshot",
            "500 keys, 50,000 puts/s: snapshot / no snapshot",
            "500 keys, unlimited: no snapshot",
            "500 keys, unlimited: snapshot / no snapshot",
            "500 keys, puts to all: no snapshot",
            "500 keys, puts to all: snapshot / no snapshot",
            "500 keys, puts to a hot key: no snapshot",
            "500 keys, puts to a hot key: snapshot / no snapshot",
        ],
    );
}

#[test]
fn the_name_of_a_group_means_all_of_it_with_an_option_and_without() {
    let dir = tempfile::tempdir().expect("a directory");
    let [plain, option] = [
        &["kv", "--turns", "1"][..],
        &["--only", "kv", "--turns", "1"],
    ]
    .map(|more| {
        let (_, report) = report(dir.path(), more);
        let sections = list(&report, "sections").iter();
        let names = sections.map(|section| text(section, "workload").to_owned());
        names.collect::<Vec<_>>()
    });
    assert_eq!(plain, option);
    assert_eq!(plain.len(), 6);
    assert!(
        plain.iter().all(|name| name.starts_with("kv-")),
        "{plain:?}"
    );
}

#[test]
fn only_what_was_asked_for_is_run_in_the_order_of_all() {
    let dir = tempfile::tempdir().expect("a directory");
    let more = [
        "--only",
        "replay",
        "--only",
        "batch-durable",
        "--turns",
        "1",
    ];
    let (table, report) = report(dir.path(), &more);
    let sections = list(&report, "sections").iter();
    let workloads: Vec<_> = sections.map(|section| text(section, "workload")).collect();
    assert_eq!(workloads, ["batch-durable", "replay"]);
    assert!(!table.contains("append-durable"), "{table}");
    assert_eq!(
        (&report["turns"], &report["schema"]),
        (&json!(1), &json!(1))
    );
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

/// Every main figure of the log as it was in an earlier report.
fn with_figures(report: &Value, figure: f64) -> String {
    let mut report = report.clone();
    for section in report["sections"].as_array_mut().expect("sections") {
        for row in section["rows"].as_array_mut().expect("rows") {
            row["summary"] = json!({
                "low": figure, "lower": figure, "median": figure, "upper": figure, "high": figure
            });
        }
    }
    report.to_string()
}

#[test]
fn a_report_that_is_worse_than_the_old_one_ends_with_failure() {
    let dir = tempfile::tempdir().expect("a directory");
    let only = ["--only", "footprint"];
    let (_, report) = report(dir.path(), &only);
    let old = dir.path().join("old.json");
    let beside = |text: String| {
        std::fs::write(&old, text).expect("written");
        let output = quick(
            dir.path(),
            &[
                "--only",
                "footprint",
                "--compare",
                old.to_str().expect("a path"),
            ],
        );
        let texts =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text"));
        (output.status.success(), texts.concat())
    };
    // Less is better in each of its rows.
    let (passed, table) = beside(with_figures(&report, 1e9));
    assert!(passed && table.contains(" 0 worse, 12 better"), "{table}");
    let (passed, table) = beside(with_figures(&report, 1e-9));
    assert!(!passed && table.contains(" 12 worse, 0 better"), "{table}");
    assert!(
        table.contains("WORSE   footprint, written, 100 B, Os"),
        "{table}"
    );
    let mut other = report.clone();
    other["schema"] = json!(77);
    let (passed, table) = beside(other.to_string());
    assert!(!passed && table.contains("schema is 77"), "{table}");
}
