//! The blocking face of the log, for threads: the same calls as the async [`Wal`](crate::Wal), without `async`.
//!
//! Needs no runtime and no feature. Calls from many threads share commits.

use std::path::Path;

use wal_format::{EncodedRecord, Lsn, Record, RecordRef, SegmentId, UnixMillis};

use crate::builder::Builder;
use crate::calls::{read_calls, write_calls};
use crate::control::{ControlChange, ControlState, Requested};
use crate::cursor::Cursor;
use crate::handle::Handle;
use crate::log::wait;
use crate::log::{Begun, Durability, Engine};
use crate::position::Start;
use crate::reader::{RawReader, Step};
use crate::recovery::RecoveryReport;
use crate::settings::Driver;
use crate::shell::Shell;
use crate::stats::Stats;
use crate::sync::Arc;
use crate::{Appended, Awaited, OnDamage, Position, Prepared, Result, Threads, WalConfig};

/// A write-ahead log. Clones are handles to the same log.
///
/// ```
/// use wal_core::{Record, WalConfig, blocking::Wal};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("log");
/// let wal = Wal::open(&dir, WalConfig::default())?;
/// let position = wal.append(&Record::put("key", "value"))?;
/// wal.sync()?;
///
/// let mut reader = wal.read_from(position)?;
/// while let Some((record, position)) = reader.next_record()? {
///     println!("{position}: {:?} = {:?}", record.key, record.value);
/// }
/// wal.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Wal {
    pub(crate) handle: Arc<Handle>,
}

const SHELL: Shell = Shell::Blocking;

write_calls!(Result<Position>);
read_calls!();

impl Wal {
    /// What the log's clock shows now, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`ReadOnly`](crate::Error::ReadOnly): a read-only handle has no clock.
    #[doc(hidden)]
    pub fn log_time(&self) -> Result<UnixMillis> {
        self.handle.engine().map(|engine| engine.time())
    }

    /// Runs the background steps that are due, where the builder said that the caller does; true if there were any.
    #[doc(hidden)]
    #[must_use]
    pub fn drive(&self) -> bool {
        self.handle
            .engine()
            .is_ok_and(|engine| engine.settings.driver == Driver::Caller && engine.drive())
    }
}

/// Appends a record; nothing is set up for waiting unless it has to.
// Compiled here, and not in each crate that appends: what it calls is here.
#[inline(never)]
fn append(handle: &Handle, record: RecordRef<'_>, durability: Durability) -> Result<Position> {
    let engine = handle.engine()?;
    let encoded = [engine.encode(record)?];
    match engine.begin(&encoded, durability)? {
        Begun::Done(first, _) => Ok(first),
        begun => finish(engine, begun, &encoded, durability),
    }
}

/// Apart, so that an append that need not wait has no room for a future on its stack.
#[cold]
#[inline(never)]
fn finish(
    engine: &Engine,
    begun: Begun,
    encoded: &[EncodedRecord<'_>],
    durability: Durability,
) -> Result<Position> {
    let rest = engine.finish(begun, encoded, durability, SHELL);
    wait(engine, rest).map(|(first, _)| first)
}

/// Runs what may take long: here, because the caller waits for it.
fn run_long<T>(_: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    work()
}

/// Not fused: after `None`, a later call returns what was appended since.
impl Iterator for Reader {
    type Item = Result<(Record, Position)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_record().transpose()
    }
}
