//! Medians, spreads and ratios, and the order of the turns.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use wal_bench::peer::Field;
use wal_bench::{Contest, Elapsed, Ground, Host, Measure, Outcome, Size, Summary, Turn};

fn summary(values: &[f64]) -> Option<[f64; 5]> {
    let Summary {
        low,
        lower,
        median,
        upper,
        high,
    } = Summary::of(values.iter().copied())?;
    Some([low, lower, median, upper, high])
}

#[test]
fn a_summary_is_the_middle_the_quartiles_and_the_ends() {
    assert_eq!(summary(&[]), None);
    assert_eq!(summary(&[3.0]), Some([3.0; 5]));
    assert_eq!(summary(&[3.0, 1.0]), Some([1.0, 1.5, 2.0, 2.5, 3.0]));
    assert_eq!(
        summary(&[9.0, 3.0, 1.0, 4.0, 5.0]),
        Some([1.0, 3.0, 4.0, 5.0, 9.0])
    );
    assert_eq!(
        summary(&[4.0, 1.0, 2.0, 9.0]),
        Some([1.0, 1.75, 3.0, 5.25, 9.0])
    );
}

fn turn(records: u64) -> Turn {
    let elapsed = Elapsed {
        time: Duration::from_secs(1),
        cpu: None,
    };
    Turn::new(records, records * 1024, elapsed)
}

/// Runs three turns in `dir`.
fn run(contest: Contest<'_>, dir: &Path) -> anyhow::Result<Outcome> {
    let (field, host) = (Field::default(), Host::of(dir)?);
    contest.run(&Ground {
        dir,
        turns: 3,
        size: Size::Quick,
        field: &field,
        host: &host,
        progress: &|_| {},
    })
}

/// The number of records in a turn.
fn turns(records: [u64; 3]) -> impl FnMut(&Path) -> anyhow::Result<Turn> {
    let mut records = records.into_iter();
    move |_| Ok(turn(records.next().expect("three turns")))
}

#[test]
fn a_ratio_is_taken_turn_by_turn_and_nobody_is_always_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let order = RefCell::new(String::new());
    let (mut limit, mut log) = (turns([100, 10, 50]), turns([50, 20, 100]));
    let mut contest = Contest::new(Measure::RecordsPerSecond);
    contest.limit("case", "limit", |own| {
        assert_eq!(own.read_dir()?.count(), 0, "an empty directory");
        order.borrow_mut().push('a');
        limit(own)
    });
    contest.log("case", "log", |own| {
        order.borrow_mut().push('b');
        log(own)
    });
    let rows = run(contest, dir.path()).expect("three turns").rows;
    assert_eq!(*order.borrow(), "abbaab");
    assert_eq!(rows[0].turns, [100.0, 10.0, 50.0]);
    assert!(rows[0].ratios.is_empty());
    let ratio = &rows[1].ratios[0];
    assert_eq!(
        (ratio.main.low, ratio.main.median, ratio.main.high),
        (0.5, 2.0, 2.0)
    );
    assert_eq!(Some(rows[1].summary), Summary::of([50.0, 20.0, 100.0]));
    assert_eq!(dir.path().read_dir().expect("a directory").count(), 0);
}

#[test]
fn ratios_are_to_limits_and_peers_of_the_case_and_to_whom_else_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut contest = Contest::new(Measure::RecordsPerSecond);
    let limit = contest.limit("one", "limit", turns([100; 3]));
    let one = contest.log("one", "log", turns([50; 3]));
    contest.limit("two", "other limit", turns([7; 3]));
    let two = contest.log("two", "log", turns([25; 3]));
    contest.against(two, one, "one writer");
    contest.against(two, limit, "limit");
    let mut peer = turns([10; 3]);
    contest.peer("one", "peer", "1.2.3", move |own| peer(own).map(Some));
    let rows = run(contest, dir.path()).expect("three turns").rows;
    let ratios = |at: usize| -> Vec<_> {
        let ratios = rows[at].ratios.iter();
        ratios
            .map(|ratio| (ratio.to.as_str(), ratio.main.median))
            .collect()
    };
    assert_eq!(ratios(0), []);
    assert_eq!(ratios(1), [("limit", 0.5), ("peer", 5.0)]);
    assert_eq!(
        ratios(3),
        [
            ("other limit", 25.0 / 7.0),
            ("one writer", 0.5),
            ("limit", 0.25)
        ]
    );
    assert_eq!(ratios(4), [("limit", 0.1)]);
    assert_eq!(rows[4].version.as_deref(), Some("1.2.3"));
}

#[test]
fn an_error_of_a_contender_names_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut contest = Contest::new(Measure::RecordsPerSecond);
    contest.log("1 KiB", "log", |_| anyhow::bail!("no luck"));
    let error = run(contest, dir.path()).expect_err("an error");
    assert_eq!(format!("{error:#}"), "1 KiB: log: no luck");
}

#[test]
fn a_peer_that_fails_is_left_out_and_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut contest = Contest::new(Measure::RecordsPerSecond);
    contest.log("case", "log", turns([1; 3]));
    let mut luck = turns([1; 3]);
    let mut n = 0;
    contest.peer("case", "failing", "1", move |own| {
        n += 1;
        anyhow::ensure!(n < 2, "no luck");
        luck(own).map(Some)
    });
    contest.peer("case", "unable", "1", |_| Ok(None));
    let outcome = run(contest, dir.path()).expect("the log has its turns");
    assert_eq!(outcome.left_out, ["case: failing: no luck"]);
    assert_eq!(outcome.rows.len(), 1, "{:?}", outcome.rows);
    assert!(outcome.rows[0].ratios.is_empty());
}
