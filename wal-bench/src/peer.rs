//! What a log or a store from elsewhere must offer to take part. The implementations live in `wal-bench/peers`, a package of
//! its own: what they depend on is in no other build.

use std::fmt;
use std::ops::Deref;
use std::path::Path;

use bytes::Bytes;

/// Who takes part beside the log and the limits; by default nobody.
#[derive(Debug, Default)]
pub struct Field {
    /// Logs.
    pub logs: Vec<Entrant<dyn Peer>>,
    /// Key-value stores.
    pub stores: Vec<Entrant<dyn PeerStore>>,
}

/// One way of using a log or a store from elsewhere.
pub struct Entrant<P: ?Sized> {
    /// As the rows name it.
    pub name: &'static str,
    /// Of the crate that was built in.
    pub version: &'static str,
    /// The log or the store.
    pub peer: Box<P>,
}

impl<P: ?Sized> Deref for Entrant<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.peer
    }
}

impl<P: ?Sized> fmt::Debug for Entrant<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// What an append, or a put, has reached when it returns. Peers are compared at equal durability only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Its place in the log: the bytes may still be in a buffer of the process.
    Buffered,
    /// Stable storage, by a sync that ended after the call began.
    Durable,
}

/// A log from elsewhere.
pub trait Peer: Sync {
    /// Opens a new log in the empty directory `dir`; `None` if it does not offer this durability.
    ///
    /// # Errors
    /// What it gave.
    fn create(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerLog>>>;

    /// Opens the log in `dir` and calls `each` with every payload, oldest first; `None` if it cannot be read from its start.
    ///
    /// # Errors
    /// What it gave.
    fn replay(&self, dir: &Path, each: &mut dyn FnMut(&[u8])) -> anyhow::Result<Option<()>>;
}

/// An open log from elsewhere. Dropping closes it.
pub trait PeerLog: Send + Sync {
    /// Appends one record; returns when it has reached what the log was created for.
    ///
    /// # Errors
    /// What it gave.
    fn append(&self, payload: &[u8]) -> anyhow::Result<()> {
        self.append_batch(&[payload])
    }

    /// Appends records that are durable together on return, in the cheapest way that the peer has.
    ///
    /// # Errors
    /// What it gave.
    fn append_batch(&self, payloads: &[&[u8]]) -> anyhow::Result<()>;

    /// Hands over to the operating system whatever is still in a buffer of the process. By default, there is no such buffer.
    ///
    /// # Errors
    /// What it gave.
    fn flush(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// A key-value store from elsewhere.
pub trait PeerStore: Sync {
    /// Opens the store in `dir`, and creates it if there is none; `None` if it does not offer this durability.
    ///
    /// # Errors
    /// What it gave.
    fn open(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerMap>>>;
}

/// An open key-value store from elsewhere. Dropping closes it.
pub trait PeerMap: Send + Sync {
    /// Sets one pair; returns when it has reached what the store was opened for.
    ///
    /// # Errors
    /// What it gave.
    fn put(&self, key: &[u8], value: &[u8]) -> anyhow::Result<()>;

    /// The value of `key`.
    ///
    /// # Errors
    /// What it gave.
    fn get(&self, key: &[u8]) -> anyhow::Result<Option<Bytes>>;

    /// Calls `each` with every pair, in the order of the keys.
    ///
    /// # Errors
    /// What it gave.
    fn scan(&self, each: &mut dyn FnMut(&[u8], &[u8])) -> anyhow::Result<()>;

    /// Makes all that was put durable.
    ///
    /// # Errors
    /// What it gave.
    fn sync(&self) -> anyhow::Result<()>;
}
