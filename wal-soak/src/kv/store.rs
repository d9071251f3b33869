//! The store with either face, so that one load drives both.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use wal_kv::{
    Batch, Condition, Conditional, KvStore, OpenReport, Pair, Position, Result, SnapshotReport,
    Stats, View, blocking,
};

use super::plan::{Face, KvLife, Plan};

/// A store, and the runtime of an async one.
#[derive(Debug)]
pub(crate) enum Store {
    Blocking(blocking::KvStore),
    Async(KvStore, Runtime),
}

/// The same call on either.
macro_rules! waits {
    ($store:expr, $($method:ident($($arg:expr),*)).+) => {
        match $store {
            Store::Blocking(store) => store.$($method($($arg),*)).+,
            Store::Async(store, runtime) => runtime.block_on(store.$($method($($arg),*)).+),
        }
    };
}

macro_rules! reads {
    ($store:expr, $method:ident($($arg:expr),*)) => {
        match $store {
            Store::Blocking(store) => store.$method($($arg),*),
            Store::Async(store, _) => store.$method($($arg),*),
        }
    };
}

/// The runtime that a face needs.
pub(crate) fn runtime(face: Face) -> std::io::Result<Option<Runtime>> {
    match face {
        Face::Blocking => Ok(None),
        Face::Async => Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .map(Some),
        Face::AsyncOneThread => Builder::new_current_thread().build().map(Some),
    }
}

/// A handle's builder.
trait Handle: Sized {
    fn builder(directory: &Path) -> wal_kv::Builder<Self>;
}

impl Handle for KvStore {
    fn builder(directory: &Path) -> wal_kv::Builder<Self> {
        Self::builder(directory)
    }
}

impl Handle for blocking::KvStore {
    fn builder(directory: &Path) -> wal_kv::Builder<Self> {
        Self::builder(directory)
    }
}

fn builder<S: Handle>(plan: &Plan, life: &KvLife, directory: &Path) -> wal_kv::Builder<S> {
    let builder = S::builder(directory).config(plan.config(life));
    let builder = builder.snapshot_after(plan.snapshot_after);
    match plan.view_memory_limit {
        Some(limit) => builder.view_memory_limit(limit),
        None => builder,
    }
}

impl Store {
    pub(crate) fn open(
        directory: &Path,
        plan: &Plan,
        life: &KvLife,
        runtime: Option<Runtime>,
    ) -> Result<Self> {
        Ok(match runtime {
            None => Self::Blocking(builder::<blocking::KvStore>(plan, life, directory).open()?),
            Some(runtime) => {
                let open = builder::<KvStore>(plan, life, directory).open();
                let store = runtime.block_on(open)?;
                Self::Async(store, runtime)
            }
        })
    }

    pub(crate) fn put(&self, key: &[u8], value: &[u8]) -> Result<Position> {
        waits!(self, put(key, value))
    }

    pub(crate) fn put_durable(&self, key: &[u8], value: &[u8]) -> Result<Position> {
        waits!(self, durable().put(key, value))
    }

    pub(crate) fn put_with_ttl(&self, key: &[u8], value: &[u8], ttl: Duration) -> Result<Position> {
        waits!(self, put_with_ttl(key, value, ttl))
    }

    pub(crate) fn delete(&self, key: &[u8]) -> Result<Position> {
        waits!(self, delete(key))
    }

    pub(crate) fn delete_durable(&self, key: &[u8]) -> Result<Position> {
        waits!(self, durable().delete(key))
    }

    pub(crate) fn write(&self, batch: Batch) -> Result<Position> {
        waits!(self, write(batch))
    }

    pub(crate) fn put_if(
        &self,
        key: &[u8],
        value: &[u8],
        condition: &Condition,
    ) -> Result<Conditional> {
        waits!(self, put_if(key, value, condition))
    }

    pub(crate) fn delete_if(&self, key: &[u8], condition: &Condition) -> Result<Conditional> {
        waits!(self, delete_if(key, condition))
    }

    /// Begins a put and drops its future: `None` if it has not ended by then. The blocking face has no such thing, and puts.
    pub(crate) fn abandon_put(&self, key: &[u8], value: &[u8]) -> Option<Result<Position>> {
        let Self::Async(store, runtime) = self else {
            return Some(self.put(key, value));
        };
        let _inside = runtime.enter();
        let mut put = pin!(store.put(key, value));
        match put.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(put) => Some(put),
            Poll::Pending => None,
        }
    }

    pub(crate) fn sync(&self) -> Result<()> {
        waits!(self, sync())
    }

    pub(crate) fn snapshot(&self) -> Result<SnapshotReport> {
        waits!(self, snapshot())
    }

    pub(crate) fn close(&self) -> Result<()> {
        waits!(self, close())
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<bytes::Bytes> {
        reads!(self, get(key))
    }

    pub(crate) fn get_pair(&self, key: &[u8]) -> Option<Pair> {
        reads!(self, get_pair(key))
    }

    pub(crate) fn multi_get(&self, keys: &[Vec<u8>]) -> Vec<Option<bytes::Bytes>> {
        reads!(self, multi_get(keys))
    }

    pub(crate) fn view(&self) -> View {
        reads!(self, view())
    }

    pub(crate) fn len(&self) -> usize {
        reads!(self, len())
    }

    pub(crate) fn stats(&self) -> Stats {
        reads!(self, stats())
    }

    pub(crate) fn durable_lsn(&self) -> u64 {
        reads!(self, durable_lsn()).get()
    }

    pub(crate) fn open_report(&self) -> &OpenReport {
        reads!(self, open_report())
    }

    /// Whether dropping the last handle returns when all writes are on stable storage.
    pub(crate) fn drop_waits(&self) -> bool {
        matches!(self, Self::Blocking(_))
    }
}
