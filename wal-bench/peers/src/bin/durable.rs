//! `durable log|store NAME COUNT DIR`: COUNT durable appends to a log, or puts to a store, by one writer. To be looked at with
//! strace: what durable means, the calls say.

#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{bail, Context as _};
use wal_bench::peer::Reached;
use wal_bench_peers::{logs, stores};

const BYTES: [u8; 100] = [b'x'; 100];

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kind, name, count, dir] = &args[..] else {
        bail!("durable log|store NAME COUNT DIR");
    };
    let (count, dir) = (count.parse()?, Path::new(dir));
    match kind.as_str() {
        "log" => appends(name, count, dir),
        "store" => puts(name, count, dir),
        _ => bail!("{kind} is neither log nor store"),
    }
}

fn appends(name: &str, count: u32, dir: &Path) -> anyhow::Result<()> {
    let logs = logs();
    let peer = logs.iter().find(|peer| peer.name == name);
    let log = peer
        .context("there is no such log")?
        .create(dir, Reached::Durable)?
        .context("it has no durable appends")?;
    for _ in 0..count {
        log.append(&BYTES)?;
    }
    Ok(())
}

fn puts(name: &str, count: u32, dir: &Path) -> anyhow::Result<()> {
    let stores = stores();
    let store = stores.iter().find(|store| store.name == name);
    let map = store
        .context("there is no such store")?
        .open(dir, Reached::Durable)?
        .context("it has no durable puts")?;
    for n in 0..count {
        map.put(&n.to_be_bytes(), &BYTES)?;
    }
    Ok(())
}
