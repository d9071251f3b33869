//! SQLite with its write-ahead log: a transaction for each put, or for many. A connection for each thread that reads, and one
//! that writes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;

use bytes::Bytes;
use rusqlite::{params, Connection, OptionalExtension as _};
use wal_bench::peer::{PeerMap, PeerStore, Reached};

use super::common::{CACHE, PUTS};
use crate::lanes::Lanes;
use crate::lock::lock;

/// One table, whose rows are in the order of the keys.
pub(super) struct Sqlite;

struct Map {
    writer: Mutex<Writer>,
    readers: Lanes<Connection>,
    /// So that a get need not take the lock of the writer.
    open: AtomicBool,
    reached: Reached,
}

struct Writer {
    connection: Connection,
    /// Puts of the open transaction.
    puts: usize,
}

const FILE: &str = "kv.sqlite";
const READERS: usize = 8;
const PUT: &str = "INSERT OR REPLACE INTO kv (k, v) VALUES (?1, ?2)";

/// A commit of a buffered store does not sync; `sync` makes one that does.
fn connect(dir: &Path, reached: Reached) -> rusqlite::Result<Connection> {
    let connection = Connection::open(dir.join(FILE))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous(reached))?;
    // In KiB if it is below zero.
    connection.pragma_update(None, "cache_size", -(CACHE >> 10).cast_signed())?;
    connection.pragma_update(None, "mmap_size", CACHE.cast_signed())?;
    Ok(connection)
}

fn synchronous(reached: Reached) -> &'static str {
    match reached {
        Reached::Buffered => "NORMAL",
        Reached::Durable => "FULL",
    }
}

impl PeerStore for Sqlite {
    fn open(&self, dir: &Path, reached: Reached) -> anyhow::Result<Option<Box<dyn PeerMap>>> {
        let connection = connect(dir, reached)?;
        connection.execute(
            "CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID",
            (),
        )?;
        let readers: Vec<Connection> = (0..READERS)
            .map(|_| connect(dir, reached))
            .collect::<Result<_, _>>()?;
        Ok(Some(Box::new(Map {
            writer: Mutex::new(Writer {
                connection,
                puts: 0,
            }),
            readers: Lanes::new(readers),
            open: AtomicBool::new(false),
            reached,
        })))
    }
}

impl Map {
    fn commit(&self, writer: &mut Writer) -> anyhow::Result<()> {
        if writer.puts > 0 {
            writer.connection.prepare_cached("COMMIT")?.execute(())?;
            writer.puts = 0;
        }
        self.open.store(false, Ordering::Release);
        Ok(())
    }

    /// Makes a reader see every put.
    fn settle(&self) -> anyhow::Result<()> {
        if self.open.load(Ordering::Acquire) {
            self.commit(&mut lock(&self.writer))?;
        }
        Ok(())
    }
}

impl PeerMap for Map {
    fn put(&self, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
        let mut writer = lock(&self.writer);
        if self.reached == Reached::Buffered && writer.puts == 0 {
            writer
                .connection
                .prepare_cached("BEGIN IMMEDIATE")?
                .execute(())?;
            self.open.store(true, Ordering::Release);
        }
        writer
            .connection
            .prepare_cached(PUT)?
            .execute(params![key, value])?;
        if self.reached == Reached::Buffered {
            writer.puts += 1;
            if writer.puts == PUTS {
                self.commit(&mut writer)?;
            }
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> anyhow::Result<Option<Bytes>> {
        self.settle()?;
        let reader = self.readers.of_thread();
        let mut select = reader.prepare_cached("SELECT v FROM kv WHERE k = ?1")?;
        let found = select.query_row(params![key], |row| {
            Ok(Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?))
        });
        Ok(found.optional()?)
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8], &[u8])) -> anyhow::Result<()> {
        self.settle()?;
        let reader = self.readers.of_thread();
        let mut select = reader.prepare_cached("SELECT k, v FROM kv ORDER BY k")?;
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            each(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
        }
        Ok(())
    }

    fn sync(&self) -> anyhow::Result<()> {
        let mut writer = lock(&self.writer);
        self.commit(&mut writer)?;
        let connection = &writer.connection;
        connection.pragma_update(None, "synchronous", synchronous(Reached::Durable))?;
        // A commit must change something. It syncs the whole log, and so what was committed before.
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        connection.pragma_update(None, "user_version", version.wrapping_add(1))?;
        connection.pragma_update(None, "synchronous", synchronous(self.reached))?;
        Ok(())
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // There is nobody to tell: whoever wants to know has called `sync`.
        let _committed = self.settle();
    }
}
