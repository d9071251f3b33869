//! The writers: each call is noted before it begins and after it has returned.

use std::io;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use wal_kv::{Batch, Condition, Conditional, Error, ErrorKind, Pair, Position, Result, UnixMillis};

use super::journal::{Does, Entry, Journal, Step, wall};
use super::keys::{Item, Items, Kind, WriteId, value, written_by};
use super::plan::Op;
use super::shared::Shared;
use crate::harness::Numbers;

/// One thread of the load.
pub(crate) struct Writer<'a> {
    shared: &'a Shared<'a>,
    numbers: Numbers,
    journal: Journal,
    thread: u64,
    count: u64,
}

/// What a call says of its write.
enum Said {
    Written(Position),
    /// It took no place: a condition did not hold.
    Nothing,
    /// Nobody knows.
    Unknown,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(shared: &'a Shared<'a>, numbers: Numbers, thread: u64) -> io::Result<Self> {
        let journal = Journal::create(&shared.args.state, shared.number, thread)?;
        Ok(Self {
            shared,
            numbers,
            journal,
            thread,
            count: 0,
        })
    }

    /// Writes until the life is over.
    pub(crate) fn run(&mut self) {
        let pace = self.shared.life.pace;
        while !self.shared.is_over() {
            for _ in 0..pace.unwrap_or(64) {
                if self.shared.is_over() {
                    break;
                }
                if let Err(what) = self.step() {
                    self.shared.broken(what);
                    return;
                }
            }
            if pace.is_some() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn step(&mut self) -> Result<(), String> {
        let n = self.numbers.any();
        let items = &self.shared.items;
        match Op::value_variants()[self.numbers.weighed(&self.shared.plan.mix)] {
            Op::Put => self.put(items.plain(n)),
            Op::PutHot => self.put(items.hot(n)),
            Op::Delete => self.delete(items.plain(n)),
            Op::DeleteMany => self.delete_many(n),
            Op::Swap => self.swap(items.plain(n)),
            Op::PutFor => {
                let ttl = self.numbers.between(20, 1_500);
                self.put_for(items.expiring(n), Duration::from_millis(ttl))
            }
            Op::PutForLong => {
                let ttl = self.numbers.between(3, 60);
                self.put_for(items.expiring(n), Duration::from_secs(ttl))
            }
            Op::SwapExpiring => self.swap(items.expiring(n)),
            Op::Batch => self.batch(items.set(n)),
            Op::BigBatch => self.batch(items.set(0)),
            Op::Durable => self.durable(items.plain(n)),
            Op::Sync => self.sync(),
            Op::Abandon => self.abandon(items.plain(n)),
        }
    }

    fn id(&mut self) -> WriteId {
        self.id_of_size(3)
    }

    /// One whose values are of this size class at most.
    fn id_of_size(&mut self, most: u64) -> WriteId {
        self.count += 1;
        let class = self.numbers.weighed(&self.shared.plan.sizes) as u64;
        let class = class.min(most);
        WriteId::new(self.shared.number, self.thread, class, self.count)
    }

    fn put(&mut self, item: Item) -> Result<(), String> {
        let (id, key) = (self.id(), self.shared.items.key(item, 0));
        let value = value(&key, id);
        let store = self.shared.store;
        let put = self.write(Does::Put, item, id, (0, 0), 1, || {
            store.put(&key, &value).map(Said::Written)
        })?;
        // A read that begins after the return shows it, or a later one.
        let found = store.get_pair(&key).map(|pair| pair.lsn().get());
        match (put, found) {
            (Some(put), Some(found)) if found < put => Err(format!(
                "a put of item {item} at LSN {put} has returned, and a read shows LSN {found}"
            )),
            _ => Ok(()),
        }
    }

    fn delete(&mut self, item: Item) -> Result<(), String> {
        let (id, key) = (self.id(), self.shared.items.key(item, 0));
        let store = self.shared.store;
        self.write(Does::Delete, item, id, (0, 0), 1, || {
            store.delete(&key).map(Said::Written)
        })
        .map(drop)
    }

    /// Deletes a good part of the keys, if most of them are there.
    fn delete_many(&mut self, from: u64) -> Result<(), String> {
        let plain = u64::from(self.shared.plan.plain);
        if (self.shared.store.len() as u64) < plain * 6 / 10 {
            return Ok(());
        }
        let count = self.numbers.between(plain / 10, plain);
        for n in from..from.saturating_add(count) {
            if self.shared.is_over() {
                break;
            }
            self.delete(self.shared.items.plain(n))?;
        }
        Ok(())
    }

    fn durable(&mut self, item: Item) -> Result<(), String> {
        let (id, key) = (self.id(), self.shared.items.key(item, 0));
        let store = self.shared.store;
        let does = if id.0.is_multiple_of(4) {
            Does::Delete
        } else {
            Does::Put
        };
        let value = value(&key, id);
        let mut last = 0;
        self.write(does, item, id, (0, 0), 1, || {
            let position = match does {
                Does::Put => store.put_durable(&key, &value)?,
                Does::Delete => store.delete_durable(&key)?,
            };
            last = position.lsn.get();
            Ok(Said::Written(position))
        })?;
        self.journal.note_durable(last)
    }

    fn put_for(&mut self, item: Item, ttl: Duration) -> Result<(), String> {
        let (id, key) = (self.id(), self.shared.items.key(item, 0));
        let value = value(&key, id);
        let store = self.shared.store;
        let from = wall() + ttl.as_millis() as u64;
        self.write(Does::Put, item, id, (from, u64::MAX), 1, || {
            store.put_with_ttl(&key, &value, ttl).map(Said::Written)
        })
        .map(drop)
    }

    /// Replaces or deletes what is there, if it is still there by then. The new value keeps the expiry.
    fn swap(&mut self, item: Item) -> Result<(), String> {
        let (id, key) = (self.id(), self.shared.items.key(item, 0));
        let store = self.shared.store;
        let found = store.get_pair(&key);
        let value = value(&key, id);
        let condition = found.as_ref().map_or(Condition::Absent, |pair| {
            if id.0.is_multiple_of(2) {
                Condition::LsnIs(pair.lsn())
            } else {
                Condition::ValueIs(pair.to_value())
            }
        });
        // Where nothing was, nothing is kept.
        let expires = found.as_ref().and_then(Pair::expires_at);
        let expires = expires.map_or(0, UnixMillis::get);
        let does = if found.is_some() && id.0.is_multiple_of(5) {
            Does::Delete
        } else {
            Does::Put
        };
        let expires = if does == Does::Put {
            (expires, expires)
        } else {
            (0, 0)
        };
        self.write(does, item, id, expires, 1, || {
            let done = match does {
                Does::Put => store.put_if(&key, &value, &condition)?,
                Does::Delete => store.delete_if(&key, &condition)?,
            };
            Ok(match done {
                Conditional::Applied(position) => Said::Written(position),
                Conditional::Refused { .. } => Said::Nothing,
            })
        })
        .map(drop)
    }

    fn batch(&mut self, item: Item) -> Result<(), String> {
        let Some(Kind::Set(keys)) = self.shared.items.kind(item) else {
            return Err(format!("item {item} is no set"));
        };
        // A batch has to fit in a segment.
        let id = self.id_of_size(if keys > 20 { 0 } else { 2 });
        let does = if id.0.is_multiple_of(4) {
            Does::Delete
        } else {
            Does::Put
        };
        let mut batch = Batch::new();
        for member in 0..keys {
            let key = self.shared.items.key(item, member);
            batch = match does {
                Does::Put => {
                    let value = value(&key, id);
                    batch.put(key, value)
                }
                Does::Delete => batch.delete(key),
            };
        }
        let store = self.shared.store;
        self.write(does, item, id, (0, 0), keys, move || {
            store.write(batch).map(Said::Written)
        })
        .map(drop)
    }

    fn abandon(&mut self, item: Item) -> Result<(), String> {
        let (id, key) = (self.id(), self.shared.items.key(item, 0));
        let value = value(&key, id);
        let store = self.shared.store;
        self.write(Does::Put, item, id, (0, 0), 1, || {
            let put = store.abandon_put(&key, &value);
            put.map_or(Ok(Said::Unknown), |put| put.map(Said::Written))
        })
        .map(drop)
    }

    fn sync(&mut self) -> Result<(), String> {
        let store = self.shared.store;
        let before = store.stats().visible_lsn.get();
        match store.sync() {
            Ok(()) => self.journal.note_durable(before),
            Err(error) => self.shared.failed(&error),
        }
    }

    /// One write: noted, done, noted again. Its LSN, if it has one.
    fn write(
        &mut self,
        does: Does,
        item: Item,
        id: WriteId,
        expires: (u64, u64),
        records: u32,
        call: impl FnOnce() -> Result<Said>,
    ) -> Result<Option<u64>, String> {
        let mut entry = Entry {
            step: Step::Begun,
            does,
            item,
            id,
            lsn: 0,
            records,
            expires,
            at: wall(),
        };
        self.journal.note(&entry)?;
        let begun = Instant::now();
        let done = call();
        self.shared.wrote(begun.elapsed(), records);
        entry.at = wall();
        entry.step = match done {
            Ok(Said::Written(position)) => {
                entry.lsn = position.lsn.get();
                if expires.1 == u64::MAX {
                    entry.expires.1 = expires.0 + begun.elapsed().as_millis() as u64 + 1;
                }
                if self.shared.is_always() {
                    Step::DoneDurable
                } else {
                    Step::Done
                }
            }
            Ok(Said::Nothing) => Step::Refused,
            Ok(Said::Unknown) => return Ok(None),
            Err(error) => {
                self.shared.failed(&error)?;
                if !says_nothing_was_written(&error) {
                    return Ok(None);
                }
                Step::Refused
            }
        };
        self.journal.note(&entry)?;
        Ok((entry.lsn > 0).then_some(entry.lsn))
    }
}

fn says_nothing_was_written(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::OverMemoryLimit
            | ErrorKind::OverViewMemoryLimit
            | ErrorKind::SnapshotOverdue
            | ErrorKind::NoSpace
    )
}

impl Items {
    /// What a pair must be: a key of an item, and a value of a write to it.
    pub(crate) fn is_known(&self, key: &[u8], value: &[u8]) -> bool {
        self.parse(key).is_some() && written_by(key, value).is_some()
    }
}
