//! A call that may wait, for both faces: for room, for a snapshot, and for the disk.
//!
//! A write enters the log and the index in one step, without an await between them: a dropped future leaves it in both
//! or in neither. A blocking call waits on its own thread, inside the future, which is therefore ready when it is first
//! polled.

// Without the async face, nothing here awaits.
#![cfg_attr(not(feature = "tokio"), allow(clippy::unused_async))]

use std::time::Duration;

use bytes::Bytes;
use wal_core::{Lsn, Position, Prepared};

use super::{Attempt, Core, Guard, Ready};
use crate::config::{Condition, Conditional};
use crate::index::Change;
use crate::report::SnapshotReport;
use crate::sync::Arc;
use crate::{Batch, Result};

/// A call of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) core: &'a Arc<Core>,
    /// The same log, with calls that can be awaited. `None`: the call waits on the thread of the caller.
    #[cfg(feature = "tokio")]
    pub(crate) in_task: Option<&'a wal_core::Wal>,
    /// Return only when the write is on stable storage, whatever the policy.
    pub(crate) durable: bool,
}

impl Call<'_> {
    /// Without a time to live, the value does not expire.
    pub(crate) async fn put(
        self,
        key: &[u8],
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<Position> {
        let expires_at = ttl.map(|ttl| self.core.after(ttl));
        let change = Change::Put {
            key,
            value,
            expires_at,
        };
        self.write_always(change).await
    }

    pub(crate) async fn delete(self, key: &[u8]) -> Result<Position> {
        self.write_always(Change::Delete { key }).await
    }

    /// Without a time to live, the value keeps the expiry of the one that it replaces.
    pub(crate) async fn put_if(
        self,
        key: &[u8],
        value: &[u8],
        ttl: Option<Duration>,
        condition: &Condition,
    ) -> Result<Conditional> {
        let given = ttl.map(|ttl| self.core.after(ttl));
        let guard = Guard {
            condition,
            keeps_expiry: ttl.is_none(),
        };
        let change = || Change::Put {
            key,
            value,
            expires_at: given.or_else(|| self.core.expiry(key)),
        };
        self.write(change, Some(guard)).await
    }

    pub(crate) async fn delete_if(self, key: &[u8], condition: &Condition) -> Result<Conditional> {
        let guard = Guard {
            condition,
            keeps_expiry: false,
        };
        self.write(|| Change::Delete { key }, Some(guard)).await
    }

    pub(crate) async fn compare_and_swap(
        self,
        key: &[u8],
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<Conditional> {
        let condition = expected.map_or(Condition::Absent, |value| {
            Condition::ValueIs(Bytes::copy_from_slice(value))
        });
        match new {
            Some(value) => self.put_if(key, value, None, &condition).await,
            None => self.delete_if(key, &condition).await,
        }
    }

    pub(crate) async fn batch(self, batch: Batch) -> Result<Position> {
        let mut records = self.core.records(batch);
        loop {
            let ready = self.core.prepare_batch(&records)?;
            let changes = records.changes();
            match self.enter(&ready, &changes, None).await? {
                Some(written) => return Ok(position(&written)),
                None => self.core.correct(&mut records),
            }
        }
    }

    pub(crate) async fn snapshot(self) -> Result<SnapshotReport> {
        let core = Arc::clone(self.core);
        self.run(move || core.snapshot()).await
    }

    /// Ends the work of the store's thread. What is left is to close the log.
    pub(crate) async fn stop(self) -> Result<()> {
        self.core.check_process()?;
        let core = Arc::clone(self.core);
        // What has expired is marked, so that it stays so.
        self.run(move || {
            core.sweep();
            Ok(())
        })
        .await?;
        self.core.stop();
        Ok(())
    }

    async fn write_always(self, change: Change<'_>) -> Result<Position> {
        Ok(position(&self.write(|| change, None).await?))
    }

    /// Makes one change. `change` is called again if the value is to have another expiry by the time it enters.
    async fn write<'c>(
        self,
        change: impl Fn() -> Change<'c>,
        guard: Option<Guard<'_>>,
    ) -> Result<Conditional> {
        loop {
            let change = change();
            let ready = self.core.prepare(&change)?;
            if let Some(written) = self.enter(&ready, &[change], guard).await? {
                return Ok(written);
            }
        }
    }

    /// Enters the log and the index in one step, then waits for the disk if it has to. `None`: a value is to have
    /// another expiry by now.
    async fn enter(
        self,
        ready: &Ready<'_>,
        changes: &[Change<'_>],
        guard: Option<Guard<'_>>,
    ) -> Result<Option<Conditional>> {
        let core = self.core;
        let durable = self.durable || core.waits();
        let mut retry = core.retry();
        loop {
            match core.attempt(ready, changes, guard)? {
                Attempt::NoRoom => {
                    if let Err(error) = self.wait_for_room(&ready.prepared).await {
                        let core = Arc::clone(core);
                        retry = self.run(move || core.make_room(retry, error)).await?;
                    }
                }
                Attempt::NoRoomForMark(error) => {
                    let core = Arc::clone(core);
                    let waited = self.run(move || Ok(core.wait_for_room_of_a_mark()));
                    if !waited.await? {
                        return Err(error);
                    }
                }
                Attempt::AtBound => {
                    let core = Arc::clone(core);
                    retry = self.run(move || core.wait_below_bound(retry)).await?;
                }
                Attempt::ExpiryChanged => return Ok(None),
                Attempt::Refused { found, seen } => {
                    if let Some(seen) = seen.filter(|_| durable) {
                        self.wait_durable(seen).await?;
                    }
                    return Ok(Some(Conditional::Refused { found }));
                }
                Attempt::Entered(written) => {
                    // An empty batch has nothing to wait for.
                    if durable && !changes.is_empty() {
                        self.wait_durable(written.last).await?;
                    }
                    core.drive();
                    let slowed = core.slowed(ready.prepared.encoded_len());
                    if !slowed.is_zero() {
                        let sleep = core.sleeper(slowed);
                        core.has_slept(self.run(move || Ok(sleep())).await?);
                    }
                    return Ok(Some(Conditional::Applied(written.first)));
                }
            }
        }
    }

    async fn wait_for_room(self, prepared: &Prepared<'_>) -> wal_core::Result<()> {
        #[cfg(feature = "tokio")]
        if let Some(wal) = self.in_task {
            return wal.wait_for_room(prepared).await;
        }
        self.core.wal.wait_for_room(prepared)
    }

    async fn wait_durable(self, lsn: u64) -> wal_core::Result<()> {
        #[cfg(feature = "tokio")]
        if let Some(wal) = self.in_task {
            return wal.wait_durable(Lsn::new(lsn)).await;
        }
        self.core.wal.wait_durable(Lsn::new(lsn))
    }

    /// Runs what blocks.
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        #[cfg(feature = "tokio")]
        if self.in_task.is_some() {
            return in_background(work).await;
        }
        work()
    }
}

/// Where a write without a condition is.
fn position(written: &Conditional) -> Position {
    match written {
        Conditional::Applied(first) => *first,
        Conditional::Refused { .. } => unreachable!("there was no condition"),
    }
}

/// Runs what blocks where no task waits for it.
#[cfg(feature = "tokio")]
pub(crate) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => match runtime.spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => Err(crate::Error::Io {
                location: String::new(),
                what: "running in the background",
                source: Arc::new(std::io::Error::other(error)),
            }),
        },
        // Another executor: here is as good as anywhere.
        Err(_) => work(),
    }
}
