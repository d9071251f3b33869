//! Medians, spreads and ratios, and the order of the turns.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::time::Duration;

use wal_bench::{Contender, Contest, Elapsed, Ground, Measure, Summary, Turn};

fn summary(values: &[f64]) -> Option<(f64, f64, f64)> {
    let summary = Summary::of(values.iter().copied())?;
    Some((summary.median, summary.low, summary.high))
}

#[test]
fn a_summary_is_the_middle_and_the_ends() {
    assert_eq!(summary(&[]), None);
    assert_eq!(summary(&[3.0]), Some((3.0, 3.0, 3.0)));
    assert_eq!(summary(&[3.0, 1.0, 9.0]), Some((3.0, 1.0, 9.0)));
    assert_eq!(summary(&[4.0, 1.0, 2.0, 9.0]), Some((3.0, 1.0, 9.0)));
}

fn turn(records: u64) -> Turn {
    let elapsed = Elapsed {
        time: Duration::from_secs(1),
        cpu: None,
    };
    Turn::new(records, records * 1024, elapsed)
}

#[test]
fn a_ratio_is_taken_turn_by_turn_and_nobody_is_always_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let order = RefCell::new(String::new());
    let (mut limit, mut log) = ([100, 10, 50].into_iter(), [50, 20, 100].into_iter());
    let contest = Contest {
        case: "case".into(),
        measure: Measure::RecordsPerSecond,
        contenders: vec![
            Contender::limit("limit", |own| {
                assert_eq!(own.read_dir()?.count(), 0, "an empty directory");
                order.borrow_mut().push('a');
                Ok(turn(limit.next().expect("three turns")))
            }),
            Contender::measured("log", |_| {
                order.borrow_mut().push('b');
                Ok(turn(log.next().expect("three turns")))
            }),
        ],
    };
    let ground = Ground {
        dir: dir.path().to_owned(),
        turns: 3,
        progress: &|_| {},
    };
    let rows = contest.run(&ground).expect("three turns");
    assert_eq!(*order.borrow(), "abbaab");
    assert_eq!(rows[0].turns, [100.0, 10.0, 50.0]);
    assert!(rows[0].is_limit && rows[0].ratios.is_empty());
    let ratio = &rows[1].ratios[0];
    assert_eq!(
        (ratio.main.low, ratio.main.median, ratio.main.high),
        (0.5, 2.0, 2.0)
    );
    assert_eq!(Some(rows[1].summary), Summary::of([50.0, 20.0, 100.0]));
    assert_eq!(dir.path().read_dir().expect("a directory").count(), 0);
}

#[test]
fn an_error_of_a_contender_names_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let contest = Contest {
        case: "1 KiB".into(),
        measure: Measure::RecordsPerSecond,
        contenders: vec![Contender::measured("log", |_| anyhow::bail!("no luck"))],
    };
    let ground = Ground {
        dir: dir.path().to_owned(),
        turns: 1,
        progress: &|_| {},
    };
    let error = contest.run(&ground).expect_err("an error");
    assert_eq!(format!("{error:#}"), "1 KiB: log: no luck");
}
