//! What was appended, what callers were told, and what must be found afterwards.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wal_core::{Error, Result};

/// What became of an append, as its caller knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was given this LSN.
    Acknowledged(u64),
    /// It was refused: it is not in the log.
    Refused,
    /// Nobody can say: its future was dropped, or the log failed meanwhile.
    Unknown,
}

#[derive(Debug)]
struct Tried {
    writer: u64,
    fate: Fate,
}

#[derive(Debug, Default)]
struct Told {
    /// By payload; no two are alike.
    tried: BTreeMap<Vec<u8>, Tried>,
    /// The order of each writer's payloads.
    orders: BTreeMap<u64, Vec<Vec<u8>>>,
    batches: Vec<Vec<Vec<u8>>>,
    /// Highest LSN that a caller was told to be durable.
    durable: u64,
    /// Highest LSN that a caller was told to be with the operating system.
    flushed: u64,
    /// The log begins here or later: a truncation was acknowledged.
    first: u64,
}

/// What all callers of one log know together. Not a part of the model: taking it lets nobody else run.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Told>);

impl Ledger {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next payload of `writer`, of at least `len` bytes.
    pub(super) fn next(&self, writer: u64, len: usize) -> Vec<u8> {
        let mut told = self.told();
        let order = told.orders.entry(writer).or_default();
        let mut payload = format!("writer {writer}, record {}. ", order.len()).into_bytes();
        payload.resize(len.max(payload.len()), b'x');
        order.push(payload.clone());
        let fate = Fate::Unknown;
        told.tried.insert(payload.clone(), Tried { writer, fate });
        payload
    }

    /// The next payloads of `writer`, for one batch.
    pub(super) fn batch(&self, writer: u64, count: u64, len: usize) -> Vec<Vec<u8>> {
        let batch: Vec<_> = (0..count).map(|_| self.next(writer, len)).collect();
        self.told().batches.push(batch.clone());
        batch
    }

    fn settle(&self, payload: &[u8], fate: Fate) {
        let mut told = self.told();
        let tried = told.tried.get_mut(payload).expect("it was drawn here");
        tried.fate = fate;
    }

    /// Notes the outcome of an append of these payloads, which have the LSNs from the outcome's on.
    pub(super) fn note(&self, payloads: &[Vec<u8>], outcome: &Result<u64>) {
        for (at, payload) in (0..).zip(payloads) {
            self.settle(
                payload,
                match outcome {
                    Ok(first) => Fate::Acknowledged(first + at),
                    Err(Error::Poisoned(_)) => Fate::Unknown,
                    Err(_) => Fate::Refused,
                },
            );
        }
    }

    pub(super) fn durable(&self, lsn: u64) {
        let mut told = self.told();
        told.durable = told.durable.max(lsn);
    }

    pub(super) fn flushed(&self, lsn: u64) {
        let mut told = self.told();
        told.flushed = told.flushed.max(lsn);
    }

    pub(super) fn truncated(&self, first: u64) {
        let mut told = self.told();
        told.first = told.first.max(first);
    }

    pub(super) fn known_durable(&self) -> u64 {
        self.told().durable
    }

    pub(super) fn known_flushed(&self) -> u64 {
        self.told().flushed
    }

    /// The highest LSN that a caller was told.
    pub(super) fn highest(&self) -> u64 {
        let told = self.told();
        let lsns = told.tried.values().map(|tried| match tried.fate {
            Fate::Acknowledged(lsn) => lsn,
            Fate::Refused | Fate::Unknown => 0,
        });
        lsns.max().unwrap_or(0)
    }

    /// Compares with what an open found: `found` by LSN, and where the log begins.
    pub(super) fn check(&self, found: &[(u64, Vec<u8>)], first: u64, at_least: u64) {
        let told = self.told();
        assert!(
            first >= told.first,
            "{} was truncated, the log begins at {first}",
            told.first
        );
        let last = found.last().map_or(first - 1, |(lsn, _)| *lsn);
        assert!(
            last >= at_least,
            "{at_least} was promised, the log ends at {last}"
        );
        let mut places = BTreeMap::new();
        for ((lsn, payload), expected) in found.iter().zip(first..) {
            assert_eq!(*lsn, expected, "LSNs are dense");
            let text = String::from_utf8_lossy(&payload[..payload.len().min(24)]);
            let tried = told.tried.get(payload).expect("somebody appended it");
            match tried.fate {
                Fate::Acknowledged(told) => assert_eq!(told, *lsn, "{text}"),
                Fate::Refused => panic!("{text} was refused, and is in the log at {lsn}"),
                Fate::Unknown => {}
            }
            assert_eq!(
                places.insert(payload, *lsn),
                None,
                "{text} is in the log twice"
            );
        }
        for (payload, tried) in &told.tried {
            if let Fate::Acknowledged(lsn) = tried.fate {
                let here = (first..=last).contains(&lsn);
                assert_eq!(
                    here,
                    places.contains_key(payload),
                    "LSN {lsn} of writer {}",
                    tried.writer
                );
            }
        }
        for batch in &told.batches {
            let lsns: Vec<u64> = batch
                .iter()
                .filter_map(|payload| places.get(payload).copied())
                .collect();
            let whole = lsns.len() == batch.len();
            assert!(
                whole || lsns.first().is_none_or(|lsn| *lsn == first),
                "half a batch"
            );
        }
        for order in told.orders.values() {
            let lsns = order.iter().filter_map(|payload| places.get(payload));
            assert!(lsns.is_sorted(), "a writer's records are out of order");
        }
    }
}
