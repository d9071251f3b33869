//! The async face of the log: the same engine, behind futures.
//!
//! A commit once begun has no await. A leader blocks its own worker thread where the runtime can move the other tasks
//! elsewhere. Where it cannot (a current-thread runtime), the log's own thread leads.

use std::future::Future;
use std::path::Path;

use wal_format::{EncodedRecord, Lsn, Record, RecordRef, SegmentId, UnixMillis};

use crate::appending::Append;
use crate::builder::Builder;
use crate::calls::{read_calls, write_calls};
use crate::control::{ControlChange, ControlState, Requested};
use crate::cursor::Cursor;
use crate::handle::Handle;
use crate::log::{Begun, Durability, Engine};
use crate::position::Start;
use crate::reader::{RawReader, Step};
use crate::recovery::RecoveryReport;
use crate::shell::Shell;
use crate::stats::Stats;
use crate::sync::Arc;
use crate::{
    Appended, Awaited, Error, OnDamage, Position, Prepared, Result, Threads, WalConfig, blocking,
};

/// A write-ahead log. Clones are handles to the same log.
///
/// Works on both flavours of the tokio runtime, in a `LocalSet`, and on other executors.
///
/// ```
/// use wal_core::{Record, Wal, WalConfig};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("log");
/// let wal = Wal::open(&dir, WalConfig::default()).await?;
/// let position = wal.append(&Record::put("key", "value")).await?;
/// wal.sync().await?;
///
/// let mut reader = wal.read_from(position).await?;
/// while let Some((record, position)) = reader.next_record().await? {
///     println!("{position}: {:?} = {:?}", record.key, record.value);
/// }
/// wal.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Wal {
    handle: Arc<Handle>,
}

const SHELL: Shell = Shell::Async;

write_calls!(Append<'a>, async await "\n # Cancel safety");
read_calls!(async await "\n # Cancel safety" 'static);

/// Another handle to the same log.
impl From<blocking::Wal> for Wal {
    fn from(wal: blocking::Wal) -> Self {
        Self { handle: wal.handle }
    }
}

/// Another handle to the same log.
impl From<Wal> for blocking::Wal {
    fn from(wal: Wal) -> Self {
        Self { handle: wal.handle }
    }
}

fn append<'a>(handle: &'a Handle, record: RecordRef<'a>, durability: Durability) -> Append<'a> {
    Append::new(handle, record, durability)
}

async fn wait<T>(_: &Engine, future: impl Future<Output = Result<T>>) -> Result<T> {
    future.await
}

/// Runs what may block for long where no task waits for it: on a runtime, on a thread for blocking work.
async fn run_long<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return work();
    };
    match runtime.spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::io("", what, std::io::Error::other(error))),
        },
    }
}
