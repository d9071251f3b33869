//! A session cache: keys that expire, refreshed on use, counted, listed and ended, and still there after a restart.
//!
//! `cargo run -p wal-kv --example session_cache -- [DIRECTORY]`; without a directory it uses a temporary one.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use wal_kv::{Batch, Condition, Conditional, FsyncPolicy, KvConfig, KvStore};

/// How long a session lives without being used.
const IDLE: Duration = Duration::from_millis(400);

/// Sessions by user: the key is `session:USER:ID`, so that those of a user lie side by side.
struct Sessions {
    store: KvStore,
}

impl Sessions {
    async fn open(dir: &Path) -> anyhow::Result<Self> {
        let config = KvConfig {
            // A session that a crash takes back is a login more.
            fsync_policy: FsyncPolicy::Batch(Duration::from_millis(5)),
            memory_limit: Some(256 << 20),
            ..KvConfig::default()
        };
        let store = KvStore::open(dir, config).await?;
        Ok(Self { store })
    }

    fn key(user: &str, id: u32) -> String {
        format!("session:{user}:{id:08}")
    }

    async fn login(&self, user: &str, id: u32) -> anyhow::Result<()> {
        let key = Self::key(user, id);
        self.store.put_with_ttl(key, "logged in", IDLE).await?;
        Ok(())
    }

    /// Whether the session lives; if it does, its time begins anew.
    async fn touch(&self, user: &str, id: u32) -> anyhow::Result<bool> {
        let key = Self::key(user, id);
        let Some(session) = self.store.get(key.as_bytes()) else {
            return Ok(false);
        };
        self.store.put_with_ttl(key, session, IDLE).await?;
        Ok(true)
    }

    fn of(&self, user: &str) -> usize {
        self.store
            .scan_prefix(format!("session:{user}:").as_bytes())
            .count()
    }

    /// Ends all sessions of a user at once.
    async fn logout_everywhere(&self, user: &str) -> anyhow::Result<()> {
        let sessions = self
            .store
            .scan_prefix(format!("session:{user}:").as_bytes());
        let batch = sessions.fold(Batch::new(), |batch, session| batch.delete(session.key()));
        // Nobody who was logged out is logged in again by a crash.
        self.store.durable().write(batch).await?;
        Ok(())
    }

    /// Takes a name if nobody has it.
    async fn take_name(&self, name: &str, user: &str) -> anyhow::Result<bool> {
        let key = format!("name:{name}");
        let taken = self.store.put_if(key, user, &Condition::Absent).await?;
        Ok(matches!(taken, Conditional::Applied(_)))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let dir = std::env::args_os()
        .nth(1)
        .map_or_else(|| temporary.path().join("sessions"), PathBuf::from);
    let sessions = Sessions::open(&dir).await?;
    for id in 0..3 {
        sessions.login("ada", id).await?;
        sessions.login("grace", id).await?;
    }
    let (first, second) = (
        sessions.take_name("countess", "ada").await?,
        sessions.take_name("countess", "grace").await?,
    );
    println!("the name is free for the first: {first}, for the second: {second}");
    println!(
        "ada has {} sessions, grace {}",
        sessions.of("ada"),
        sessions.of("grace")
    );
    sessions.logout_everywhere("grace").await?;
    println!(
        "grace has logged out everywhere: {} sessions",
        sessions.of("grace")
    );
    ensure!(sessions.of("grace") == 0, "a batch ends them all");

    // Two thirds of the time, twice: a session that is used lives on, the others do not.
    for _ in 0..2 {
        tokio::task::spawn_blocking(|| std::thread::sleep(IDLE * 2 / 3)).await?;
        let lives = sessions.touch("ada", 0).await?;
        println!("ada's first session lives: {lives}");
    }
    println!("ada has {} sessions", sessions.of("ada"));
    sessions.store.close().await?;
    drop(sessions);

    let sessions = Sessions::open(&dir).await?;
    println!("after a restart ada has {} sessions", sessions.of("ada"));
    let name = sessions
        .store
        .get(b"name:countess")
        .context("a name never expires")?;
    ensure!(&name[..] == b"ada", "the first who asked has it");
    println!("{:?}", sessions.store.open_report());
    sessions.store.close().await?;
    Ok(())
}
