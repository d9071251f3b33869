//! The rule by which a report is worse than an earlier one.

#![forbid(unsafe_code)]

use wal_bench::compare::Verdict::{self, Better, Same, Worse};
use wal_bench::compare::{compare, judge, parse};
use wal_bench::{
    Host, Latency, Measure, Probe, Ratio, Report, Role, Row, SCHEMA, Section, Size, Summary,
};

/// The quartiles and the median; the ends lie outside.
fn summary([lower, median, upper]: [f64; 3]) -> Summary {
    Summary {
        low: lower - 1.0,
        lower,
        median,
        upper,
        high: upper + 1.0,
    }
}

#[test]
fn figures_differ_by_more_than_their_spread_and_the_margin() {
    #[rustfmt::skip]
    let cases: [([f64; 3], [f64; 3], Verdict, &str); 10] = [
        ([0.99, 1.00, 1.01], [0.99, 1.00, 1.01], Same,   "nothing has changed"),
        ([0.99, 1.00, 1.01], [0.89, 0.90, 0.91], Worse,  "beyond the spread and the margin"),
        ([0.99, 1.00, 1.01], [1.09, 1.10, 1.11], Better, "the same upwards"),
        ([0.99, 1.00, 1.01], [0.95, 0.96, 0.97], Same,   "within the margin of 5 %"),
        ([1.00, 1.00, 1.00], [0.95, 0.95, 0.95], Worse,  "at the margin"),
        ([0.90, 1.00, 1.01], [0.89, 0.90, 0.91], Same,   "the old run is noisy"),
        ([0.99, 1.00, 1.01], [0.85, 0.90, 0.94], Same,   "the new run is noisy"),
        ([0.90, 1.00, 1.10], [0.40, 0.50, 0.60], Worse,  "noisy, but far"),
        ([0.00, 0.00, 0.00], [0.10, 0.10, 0.10], Better, "from nothing"),
        ([0.00, 0.00, 0.00], [0.00, 0.00, 0.00], Same,   "nothing"),
    ];
    for (old, new, expected, why) in cases {
        let (old, new) = (summary(old), summary(new));
        assert_eq!(judge(&old, &new, true, 0.05), expected, "{why}");
        let mirrored = match expected {
            Better => Worse,
            Worse => Better,
            Same => Same,
        };
        assert_eq!(
            judge(&old, &new, false, 0.05),
            mirrored,
            "{why}: less is better"
        );
    }
}

fn ratio(to: &str, role: Role, median: f64) -> Ratio {
    Ratio {
        to: to.to_owned(),
        role,
        main: summary([median; 3]),
        p50: None,
    }
}

fn row(measure: Measure, median: f64, ratios: Vec<Ratio>) -> Row {
    Row {
        case: "case".to_owned(),
        contender: "log".to_owned(),
        version: None,
        role: Role::Log,
        measure,
        turns: vec![median],
        summary: summary([median; 3]),
        mib_per_second: None,
        latency: None,
        cpu_micros: None,
        syncs_per_second: None,
        bytes_per_byte: None,
        peak_mib: None,
        ratios,
        note: None,
    }
}

fn report(row: Row) -> Report {
    let none = Latency {
        p50: 0.0,
        p99: 0.0,
        p999: 0.0,
        max: 0.0,
    };
    Report {
        schema: SCHEMA,
        version: "0.0.0".to_owned(),
        begun: 0,
        seconds: 0.0,
        host: Host {
            system: "system".to_owned(),
            kernel: None,
            cpu: None,
            cores: 2,
            file_system: None,
        },
        turns: 5,
        size: Size::Short,
        sections: vec![Section {
            workload: "workload".to_owned(),
            about: String::new(),
            disk: Probe {
                sync: none,
                sequential_mib_per_second: 0.0,
            },
            rows: vec![row],
            left_out: Vec::new(),
        }],
    }
}

/// How many rows were compared, and how the row is.
fn verdict(old: &Report, new: &Report) -> (usize, Verdict) {
    let found = compare(old, new).expect("of one size");
    let verdict = found.changes.first().map_or(Same, |change| change.verdict);
    assert_eq!(found.has_regressed(), verdict == Worse);
    (found.rows, verdict)
}

#[test]
fn a_row_is_judged_by_all_its_limits() {
    let with = |direct, group, own| {
        let ratios = vec![
            ratio("direct", Role::Limit, direct),
            ratio("group", Role::Limit, group),
        ];
        report(row(Measure::RecordsPerSecond, own, ratios))
    };
    let old = with(1.0, 1.0, 100.0);
    assert_eq!(verdict(&old, &with(0.5, 0.5, 100.0)), (1, Worse));
    assert_eq!(
        verdict(&old, &with(0.5, 1.0, 100.0)),
        (1, Same),
        "one limit had a good day"
    );
    assert_eq!(
        verdict(&old, &with(1.0, 1.0, 1.0)),
        (1, Same),
        "the machine had a bad day"
    );
    assert_eq!(verdict(&old, &with(1.5, 1.5, 100.0)), (1, Better));
}

#[test]
fn without_limits_another_way_of_the_log_is_what_counts_and_peers_never_do() {
    let with = |rotation, peer| {
        let ratios = vec![
            ratio("no rotation", Role::Log, rotation),
            ratio("peer", Role::Peer, peer),
        ];
        report(row(Measure::TailMicros, 1.0, ratios))
    };
    let old = with(1.0, 1.0);
    assert_eq!(verdict(&old, &with(2.0, 1.0)), (1, Worse), "less is better");
    assert_eq!(verdict(&old, &with(1.0, 2.0)), (1, Same));
}

#[test]
fn without_any_ratio_the_figure_counts_on_the_same_machine() {
    let with = |measure, figure| report(row(measure, figure, Vec::new()));
    let ms = |figure| with(Measure::Milliseconds, figure);
    assert_eq!(verdict(&ms(1.0), &ms(1.9)), (1, Same), "the machine's mood");
    assert_eq!(verdict(&ms(1.0), &ms(2.1)), (1, Worse), "twice as long");
    assert_eq!(verdict(&ms(2.1), &ms(1.0)), (1, Better));
    let rate = |figure| with(Measure::RecordsPerSecond, figure);
    assert_eq!(verdict(&rate(1.9), &rate(1.0)), (1, Same));
    assert_eq!(verdict(&rate(2.1), &rate(1.0)), (1, Worse), "half as many");
    let bytes = |figure| with(Measure::BytesPerByte, figure);
    assert_eq!(
        verdict(&bytes(1.0), &bytes(1.06)),
        (1, Worse),
        "bytes have one of 5 %"
    );
    let mut elsewhere = ms(9.0);
    elsewhere.host.cores = 64;
    assert_eq!(verdict(&ms(1.0), &elsewhere), (0, Same));
}

#[test]
fn what_only_one_report_has_is_not_judged() {
    let mut new = report(row(Measure::Milliseconds, 9.0, Vec::new()));
    new.sections[0].rows[0].case = "another".to_owned();
    let old = report(row(Measure::Milliseconds, 1.0, Vec::new()));
    assert_eq!(verdict(&old, &new), (0, Same));
    new.sections.clear();
    assert_eq!(verdict(&old, &new), (0, Same));
    let mut limit = report(row(Measure::Milliseconds, 9.0, Vec::new()));
    limit.sections[0].rows[0].role = Role::Limit;
    assert_eq!(verdict(&old, &limit), (0, Same));
}

#[test]
fn what_is_not_worse_again_was_noise() {
    let with = |figure| report(row(Measure::Milliseconds, figure, Vec::new()));
    let beside = |figure| compare(&with(1.0), &with(figure)).expect("of one size");
    let worse = beside(2.0);
    assert_eq!(worse.worse_workloads(), ["workload"]);
    assert!(worse.clone().confirmed_by(&beside(3.0)).has_regressed());
    assert!(!worse.clone().confirmed_by(&beside(1.0)).has_regressed());
    assert!(!worse.confirmed_by(&beside(0.1)).has_regressed());
    let better = beside(0.1);
    assert_eq!(better.worse_workloads(), [""; 0]);
    assert_eq!(better.clone().confirmed_by(&beside(1.0)), better);
}

#[test]
fn reports_of_two_sizes_are_not_compared() {
    let (mut old, new) = (
        report(row(Measure::Milliseconds, 1.0, Vec::new())),
        report(row(Measure::Milliseconds, 1.0, Vec::new())),
    );
    old.size = Size::Full;
    let error = compare(&old, &new).expect_err("two sizes").to_string();
    assert!(error.contains("Full") && error.contains("Short"), "{error}");
}

#[test]
fn another_schema_is_refused_by_its_number() {
    let report = report(row(Measure::Milliseconds, 1.0, Vec::new()));
    let text = serde_json::to_string(&report).expect("JSON");
    assert_eq!(parse(&text).expect("its own").sections.len(), 1);
    let other = text.replacen("\"schema\":1", "\"schema\":77", 1);
    let error = parse(&other).expect_err("another schema").to_string();
    assert!(error.contains("schema is 77"), "{error}");
    let error = parse("{}").expect_err("no schema").to_string();
    assert!(error.contains("schema is null"), "{error}");
}
