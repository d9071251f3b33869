//! Snapshots beside writers, a close, and the end of it all.

use shuttle::thread::scope;
use wal_core::Error as LogError;
use wal_kv::blocking::KvStore;
use wal_kv::{Error, Lsn, Snapshots};

use super::explore::{below, explore, pick};
use super::machine::{ENDS, End, Machine, number};

const WRITES: u8 = 4;

/// What a writer was told of its key: each state, and the LSN that made it.
#[derive(Debug)]
struct Told {
    key: &'static str,
    states: Vec<(Lsn, Option<u8>)>,
}

impl Told {
    fn of(key: &'static str) -> Self {
        Self {
            key,
            states: vec![(Lsn::ZERO, None)],
        }
    }

    /// Puts and deletes until the store is closed.
    fn write(&mut self, store: &KvStore) {
        for n in 1..=WRITES {
            let value = (below(3) > 0).then_some(n);
            let written = match value {
                // So long that segments end.
                Some(n) => store.put(self.key, vec![n; 1000]),
                None => store.delete(self.key),
            };
            match written {
                Ok(position) => self.states.push((position.lsn, value)),
                Err(Error::Log(LogError::Closed)) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Nothing that was durable is lost, and nothing comes back.
    fn check(&self, store: &KvStore, durable: Lsn) {
        let sure = self.states.iter().rposition(|(lsn, _)| *lsn <= durable);
        let allowed = &self.states[sure.unwrap_or(0)..];
        let found = number(store, self.key);
        assert!(
            allowed.iter().any(|(_, state)| *state == found),
            "{} is {found:?}, durable to {durable:?}: {:?}",
            self.key,
            self.states
        );
    }
}

fn run(snapshots: Snapshots, closes: bool) {
    let mut machine = Machine::any();
    machine.config.snapshots = snapshots;
    let store = machine.open();
    let (mut one, mut other) = (Told::of("a"), Told::of("b"));
    let mut taken = Lsn::ZERO;
    scope(|scope| {
        scope.spawn(|| one.write(&store));
        scope.spawn(|| other.write(&store));
        if snapshots == Snapshots::OnCall {
            scope.spawn(|| {
                for _ in 0..2 {
                    match store.snapshot() {
                        Ok(report) => taken = report.lsn,
                        Err(Error::Log(LogError::Closed)) if closes => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        if closes {
            scope.spawn(|| store.close().expect("closed"));
        }
    });
    let end = pick(&ENDS);
    let durable = match end {
        End::Close | End::Drop => Lsn::new(u64::MAX),
        End::PowerLoss | End::RaggedPowerLoss => store.durable_lsn(),
    };
    for told in [&one, &other] {
        // A reader after the last write sees it.
        let last = told.states.last().map(|(_, state)| *state);
        assert_eq!(Some(number(&store, told.key)), last);
    }
    let store = machine.end(store, end);
    one.check(&store, durable);
    other.check(&store, durable);
    assert!(store.open_report().damaged.is_empty());
    let used = store.open_report().snapshot.unwrap_or(Lsn::ZERO);
    assert!(used >= taken, "{taken:?} was written, {used:?} is used");
}

#[test]
fn snapshots_beside_writers() {
    explore("snapshots_beside_writers", || run(Snapshots::OnCall, false));
}

#[test]
fn snapshots_beside_close() {
    explore("snapshots_beside_close", || run(Snapshots::OnCall, true));
}

#[test]
fn automatic_snapshots() {
    explore("automatic_snapshots", || {
        run(Snapshots::Automatic { percent: 10 }, below(2) == 0);
    });
}
