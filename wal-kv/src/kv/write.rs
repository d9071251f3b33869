//! The writes of the async store: entering log and index, waiting for room, for a snapshot, and for the disk.

use bytes::Bytes;
use wal_core::{Lsn, Position};

use super::{KvStore, in_background};
use crate::config::{Condition, Conditional};
use crate::index::Change;
use crate::store::{Attempt, Guard, Ready, Written, applied};
use crate::sync::Arc;
use crate::{Batch, Result};

impl KvStore {
    pub(super) async fn write_one(
        &self,
        change: Change<'_>,
        durability: Durability,
    ) -> Result<Position> {
        loop {
            let ready = self.core().prepare(&change)?;
            match self.enter(&ready, &[change], None, durability).await? {
                Outcome::Written(written) => return Ok(written.first),
                Outcome::ExpiryChanged => {}
                Outcome::Refused(_) => unreachable!("there was no condition"),
            }
        }
    }

    pub(super) async fn write_batch(
        &self,
        batch: Batch,
        durability: Durability,
    ) -> Result<Position> {
        let core = self.core();
        let mut records = core.records(batch);
        loop {
            let ready = core.prepare_batch(&records)?;
            let changes = records.changes();
            match self.enter(&ready, &changes, None, durability).await? {
                Outcome::Written(written) => return Ok(written.first),
                Outcome::ExpiryChanged => core.correct(&mut records),
                Outcome::Refused(_) => unreachable!("there was no condition"),
            }
        }
    }

    /// Puts `value` with the expiry of the value that it replaces.
    pub(super) async fn put_keeping_expiry(
        &self,
        key: &[u8],
        value: &[u8],
        condition: &Condition,
    ) -> Result<Conditional> {
        let guard = Guard {
            condition,
            keeps_expiry: true,
        };
        loop {
            let change = Change::Put {
                key,
                value,
                expires_at: self.core().expiry(key),
            };
            if let Some(decided) = self.write_if(change, guard).await? {
                return Ok(decided);
            }
        }
    }

    /// Writes as the change says.
    pub(super) async fn write_as_given(
        &self,
        change: Change<'_>,
        condition: &Condition,
    ) -> Result<Conditional> {
        let guard = Guard {
            condition,
            keeps_expiry: false,
        };
        loop {
            if let Some(decided) = self.write_if(change, guard).await? {
                return Ok(decided);
            }
        }
    }

    /// `None`: the value is to have another expiry by now.
    async fn write_if(&self, change: Change<'_>, guard: Guard<'_>) -> Result<Option<Conditional>> {
        let ready = self.core().prepare(&change)?;
        let entered = self
            .enter(&ready, &[change], Some(guard), Durability::Policy)
            .await?;
        Ok(match entered {
            Outcome::Written(written) => Some(applied(written)),
            Outcome::Refused(found) => Some(Conditional::Refused { found }),
            Outcome::ExpiryChanged => None,
        })
    }

    /// Enters the log and the index in one step, then waits for the disk if it has to.
    async fn enter(
        &self,
        ready: &Ready<'_>,
        changes: &[Change<'_>],
        guard: Option<Guard<'_>>,
        durability: Durability,
    ) -> Result<Outcome> {
        let core = self.core();
        let mut retry = core.retry();
        loop {
            match core.attempt(ready, changes, guard)? {
                Attempt::NoRoom => {
                    if let Err(error) = self.wal.wait_for_room(&ready.prepared).await {
                        let core = Arc::clone(&self.shared.core);
                        retry = in_background(move || core.make_room(retry, error)).await?;
                    }
                }
                Attempt::NoRoomForMark(error) => {
                    let core = Arc::clone(&self.shared.core);
                    let waited = in_background(move || Ok(core.wait_for_room_of_a_mark()));
                    if !waited.await? {
                        return Err(error);
                    }
                }
                Attempt::AtBound => {
                    let core = Arc::clone(&self.shared.core);
                    retry = in_background(move || core.wait_below_bound(retry)).await?;
                }
                Attempt::ExpiryChanged => return Ok(Outcome::ExpiryChanged),
                Attempt::Refused { found, seen } => {
                    if let Some(seen) = seen {
                        self.wal.wait_durable(Lsn::new(seen)).await?;
                    }
                    return Ok(Outcome::Refused(found));
                }
                Attempt::Entered(written) => {
                    let durable = durability == Durability::Durable || core.waits();
                    // An empty batch has nothing to wait for.
                    if durable && !changes.is_empty() {
                        self.wal.wait_durable(Lsn::new(written.last)).await?;
                    }
                    core.drive();
                    let slowed = core.slowed(ready.prepared.encoded_len());
                    if !slowed.is_zero() {
                        let sleep = core.sleeper(slowed);
                        core.has_slept(in_background(move || Ok(sleep())).await?);
                    }
                    return Ok(Outcome::Written(written));
                }
            }
        }
    }
}

/// How long a write waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    Policy,
    Durable,
}

#[derive(Debug)]
enum Outcome {
    Written(Written),
    Refused(Option<Bytes>),
    ExpiryChanged,
}

pub(super) fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Change<'a> {
    Change::Put {
        key,
        value,
        expires_at: None,
    }
}
