//! `cargo xtask shuttle`: the threads of the log and of the store under a model checker. The scenarios are tests of wal-core and
//! wal-kv.
//!
//! They are built with `--cfg wal_shuttle` in a target folder of their own, so that no other build is disturbed.

use crate::cargo::Cargo;

/// Schedules of each scenario in `cargo xtask ci`.
const IN_CI: u64 = 400;

/// How many schedules, and of what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many schedules of each scenario.
    #[arg(long, default_value_t = IN_CI)]
    schedules: u64,
    /// Where the schedules start: the same seed and number give the same schedules.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this scenario.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Run the one schedule that a failure printed.
    #[arg(long, requires = "scenario", value_name = "SCHEDULE")]
    replay: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let mut total = 0;
    let mut passed = true;
    for cargo in scenarios(args) {
        passed &= cargo.passes_printing(|line| total += schedules(line).unwrap_or(0))?;
    }
    println!("shuttle: {total} schedules without a failure");
    Ok(passed)
}

/// What the step of `cargo xtask ci` runs.
pub(crate) fn round() -> Vec<Cargo> {
    scenarios(&Args {
        schedules: IN_CI,
        seed: 1,
        scenario: None,
        replay: None,
    })
}

/// The crates with scenarios, and the features that these need.
const CRATES: [&str; 2] = [
    "wal-core --no-default-features --features tokio",
    "wal-kv --no-default-features",
];

fn scenarios(args: &Args) -> Vec<Cargo> {
    let of = |krate| scenarios_of(krate, args);
    CRATES.into_iter().map(of).collect()
}

fn scenarios_of(krate: &str, args: &Args) -> Cargo {
    let mut cargo = Cargo::new(&format!(
        "test --quiet --release --package {krate} --test shuttle --target-dir target/shuttle \
         --config profile.release.debug-assertions=true -- --nocapture"
    ))
    .with_variable("RUSTFLAGS", "--cfg wal_shuttle")
    .with_variable("WAL_SHUTTLE_SCHEDULES", args.schedules.to_string())
    .with_variable("WAL_TEST_SEED", args.seed.to_string());
    if let Some(schedule) = &args.replay {
        cargo = cargo.with_variable("WAL_SHUTTLE_REPLAY", schedule.clone());
    }
    match &args.scenario {
        Some(name) => cargo.with_args(&[format!("::{name}")]),
        None => cargo,
    }
}

/// The count in a line such as `shuttle: rotation: 400 schedules in 0.4 s`.
fn schedules(line: &str) -> Option<u64> {
    let (_, report) = line.split_once("shuttle: ")?;
    let (before, _) = report.split_once(" schedules in ")?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_run_is_passed_on() {
        let args = Args {
            schedules: 7,
            seed: 3,
            scenario: Some("rotation".into()),
            replay: Some("91ab".into()),
        };
        let lines: Vec<_> = scenarios(&args).iter().map(ToString::to_string).collect();
        for (line, krate) in lines.iter().zip(["wal-core", "wal-kv"]) {
            let package = format!("--package {krate} ");
            for part in [
                "RUSTFLAGS='--cfg wal_shuttle' ",
                "WAL_SHUTTLE_SCHEDULES='7' ",
                "WAL_TEST_SEED='3' ",
                "WAL_SHUTTLE_REPLAY='91ab' ",
                "--target-dir target/shuttle",
                &package,
            ] {
                assert!(line.contains(part), "{line}");
            }
            assert!(line.ends_with("-- --nocapture ::rotation"), "{line}");
        }
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn the_counts_are_added_up() {
        assert_eq!(
            schedules("shuttle: rotation: 400 schedules in 0.4 s"),
            Some(400)
        );
        let same_line =
            "test shuttle::commit::group_commit ... shuttle: group_commit: 7 schedules in 0.0 s";
        assert_eq!(schedules(same_line), Some(7));
        assert_eq!(
            schedules("shuttle: rotation: failed with WAL_TEST_SEED=1"),
            None
        );
        assert_eq!(schedules("test result: ok. 15 passed"), None);
    }
}
