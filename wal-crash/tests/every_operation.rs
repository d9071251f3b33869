//! A crash at every change that a short program makes to the storage: before it, in the middle of it, after it.

use std::time::Duration;

use wal_core::{FsyncPolicy, WalConfig};
use wal_crash::{Call, Choices, End, Life, Outcome, Program, Setup, run};
use wal_io::fault::{FaultConfig, Moment};

/// Crash states tried for each moment.
const STATES: u64 = 12;

fn setup(policy: FsyncPolicy, preallocate: bool) -> Setup {
    Setup {
        machine: FaultConfig::default(),
        config: WalConfig {
            max_segment_size: 8 << 10,
            fsync_policy: policy,
            preallocate,
            node_id: 0,
        },
        buffer: 4 << 10,
        padding: None,
        format: wal_crash::Format::One,
    }
}

/// Opens, fills one segment and a part of the next, syncs, truncates, goes on.
fn calls() -> Vec<Call> {
    let mut calls = vec![
        Call::Append(20),
        Call::Batch(3, 30),
        Call::Sync,
        Call::Append(900),
    ];
    calls.extend([
        Call::Batch(2, 800),
        Call::Flush,
        Call::Append(700),
        Call::AppendDurable(10),
    ]);
    calls.extend([
        Call::Pass(Duration::from_secs(2)),
        Call::TruncateBefore(2),
        Call::Append(50),
    ]);
    calls.push(Call::Pass(Duration::from_millis(6)));
    calls
}

fn life(calls: Vec<Call>, end: End, crash_seed: u64) -> Life {
    Life::new(calls, end, Choices::Seed(crash_seed))
}

/// Changes that a whole run makes, and more.
const MOST_CHANGES: u64 = 160;

fn crash_everywhere(setup: &Setup, before: &[Life], calls: &[Call]) -> Outcome {
    let mut total = Outcome::default();
    for at in 0..MOST_CHANGES {
        for moment in [Moment::Before, Moment::During, Moment::After] {
            for state in 0..STATES {
                let mut lives = before.to_vec();
                lives.push(life(
                    calls.to_vec(),
                    End::Crash(at, moment),
                    at * 1000 + state,
                ));
                let program = Program {
                    seed: state,
                    setup: setup.clone(),
                    lives,
                };
                match run(&program) {
                    Ok(outcome) => total.add(&outcome),
                    Err(violation) => {
                        panic!("{violation}\ncargo xtask crash --replay '{program}'")
                    }
                }
            }
        }
    }
    total
}

#[test]
fn a_crash_at_every_change_of_a_new_log() {
    for policy in [
        FsyncPolicy::Always,
        FsyncPolicy::Batch(Duration::from_millis(5)),
        FsyncPolicy::Os,
    ] {
        for preallocate in [true, false] {
            let total = crash_everywhere(&setup(policy, preallocate), &[], &calls());
            assert!(total.power_losses > 1000, "{total:?}");
        }
    }
}

#[test]
fn a_crash_at_every_change_of_a_recovery() {
    for policy in [
        FsyncPolicy::Always,
        FsyncPolicy::Batch(Duration::from_millis(5)),
        FsyncPolicy::Os,
    ] {
        // Killed with records handed over and not synced: recovery has a tail to copy.
        let handed_over = vec![
            Call::Append(20),
            Call::Sync,
            Call::Append(30),
            Call::Batch(4, 40),
            Call::Flush,
        ];
        let before = [life(handed_over, End::Kill, 0)];
        let total = crash_everywhere(
            &setup(policy, true),
            &before,
            &[Call::Append(5), Call::Sync],
        );
        assert!(total.nested[0] > 50, "{total:?}");
        assert!(
            total.unproven > 0 || policy == FsyncPolicy::Always,
            "{total:?}"
        );
    }
}

#[test]
fn a_crash_at_every_change_of_a_recovery_that_was_cut_short_before() {
    let policy = FsyncPolicy::Os;
    let handed_over = vec![
        Call::Append(20),
        Call::Sync,
        Call::Append(1500),
        Call::Append(1500),
        Call::Flush,
    ];
    for first_cut in 0..10 {
        let cut = life(Vec::new(), End::Crash(first_cut, Moment::After), first_cut);
        let before = [life(handed_over.clone(), End::Kill, 0), cut];
        let total = crash_everywhere(&setup(policy, true), &before, &[Call::Append(5)]);
        assert!(total.power_losses > 1000, "{total:?}");
    }
}
