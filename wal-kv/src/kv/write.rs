//! The writes of the async store: entering log and index, waiting for room, for a snapshot, and for the disk.

use bytes::Bytes;
use wal_core::{Lsn, Position, Prepared};

use super::{KvStore, in_background};
use crate::batch::changes;
use crate::config::{Condition, Conditional};
use crate::index::Change;
use crate::store::{Attempt, Guard, Written, applied};
use crate::sync::Arc;
use crate::{Batch, Result};

impl KvStore {
    pub(super) async fn write_one(
        &self,
        change: Change<'_>,
        durability: Durability,
    ) -> Result<Position> {
        let prepared = self.core().prepare(&change)?;
        match self.enter(&prepared, &[change], None, durability).await? {
            Outcome::Written(written) => Ok(written.first),
            Outcome::Refused(_) | Outcome::ExpiryChanged => {
                unreachable!("there was no condition")
            }
        }
    }

    pub(super) async fn write_batch(
        &self,
        batch: Batch,
        durability: Durability,
    ) -> Result<Position> {
        let core = self.core();
        let records = batch.into_records(|| core.now());
        let prepared = core.prepare_batch(&records)?;
        match self
            .enter(&prepared, &changes(&records), None, durability)
            .await?
        {
            Outcome::Written(written) => Ok(written.first),
            Outcome::Refused(_) | Outcome::ExpiryChanged => {
                unreachable!("there was no condition")
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

    /// `None`: the key has another expiry by now.
    async fn write_if(&self, change: Change<'_>, guard: Guard<'_>) -> Result<Option<Conditional>> {
        let prepared = self.core().prepare(&change)?;
        let entered = self
            .enter(&prepared, &[change], Some(guard), Durability::Policy)
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
        prepared: &Prepared<'_>,
        changes: &[Change<'_>],
        guard: Option<Guard<'_>>,
        durability: Durability,
    ) -> Result<Outcome> {
        let core = self.core();
        let mut retry = core.retry();
        loop {
            match core.attempt(prepared, changes, guard)? {
                Attempt::NoRoom => {
                    if let Err(error) = self.wal.wait_for_room(prepared).await {
                        let core = Arc::clone(&self.shared.core);
                        retry = in_background(move || core.make_room(retry, error)).await?;
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
                    let slowed = core.slowed(prepared.encoded_len());
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
