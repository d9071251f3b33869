//! The power fails at every change around corrections. What is left is a prefix of the log, and every key ends when it should by the
//! corrections that are in it; one that was counted is.

use wal_io::fault::{Fault, Moment, Seeded};
use wal_kv::FsyncPolicy;

use super::machine::{Machine, POLICIES};
use super::programs::{Life, Step};

/// Two corrections in one session and one in the next, with snapshots between them.
fn program(by: i64) -> Vec<Step> {
    let seconds = |n: u64| n * 1_000_000;
    vec![
        Step::PutFor(0, seconds(8)),
        Step::PutFor(1, seconds(60)),
        Step::PutFor(2, seconds(20)),
        Step::Reopen,
        Step::PutFor(3, seconds(15)),
        Step::PutFor(4, seconds(60)),
        Step::Jump(by),
        Step::Run(11),
        Step::PutFor(5, seconds(30)),
        Step::Batch(0, 2, seconds(40)),
        Step::Snapshot,
        Step::Replace(1),
        Step::Jump(-by / 2),
        Step::Run(11),
        Step::PutFor(3, seconds(9)),
        Step::Reopen,
        Step::Snapshot,
        Step::Jump(by),
        Step::Run(11),
        Step::Run(1),
        Step::Reopen,
    ]
}

fn crash_everywhere(policy: FsyncPolicy, by: i64) {
    let steps = program(by);
    let mut crashes = 0;
    for moment in [Moment::Before, Moment::During, Moment::After] {
        for at in 0.. {
            let machine = Machine::new(policy);
            machine.disk.set_chooser(Seeded::new(at));
            machine.disk.inject(Fault::power_cut(moment).after(at));
            let place = format!("{by} ms, {moment:?} change {at}");
            let mut life = Life::new(machine);
            let whole = life.run_all(&steps, &place);
            if whole {
                assert_eq!(life.all_corrections, 3, "{place}");
                break;
            }
            assert!(life.machine.disk.has_lost_power(), "{place}");
            life.open_after_a_crash(at, &place);
            // It goes on from there.
            assert!(life.run_all(&[Step::Run(12), Step::Reopen], &place));
            life.run_to_the_end(&place);
            crashes += 1;
        }
    }
    assert!(crashes > 100, "only {crashes}");
}

#[test]
fn a_crash_at_any_place_around_a_jump_ahead_leaves_every_key_its_time() {
    for policy in POLICIES {
        crash_everywhere(policy, 20_000);
    }
}

#[test]
fn a_crash_at_any_place_around_a_step_back_revives_nothing_and_leaves_every_key_its_time() {
    for policy in POLICIES {
        crash_everywhere(policy, -20_000);
    }
}
