//! The readers: gets, scans and views that are checked while writers go on.

use std::time::{Duration, Instant};

use wal_kv::{Pair, View};

use super::keys::{Items, Kind, written_by};
use super::shared::Shared;
use crate::harness::{Numbers, mix};

/// Most pairs of one scan.
const SCANNED: usize = 3_000;

/// Reads until the life is over.
pub(crate) fn read(shared: &Shared<'_>, mut numbers: Numbers) -> Result<(), String> {
    while !shared.is_over() {
        for _ in 0..200 {
            get(shared, &mut numbers)?;
        }
        match numbers.below(4) {
            0 => several(shared, &mut numbers)?,
            1 => set(shared, &mut numbers)?,
            2 => scan(shared, &mut numbers)?,
            _ => {
                let begun = Instant::now();
                let _ = shared.store.len();
                shared.read_took(begun.elapsed());
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn key(shared: &Shared<'_>, numbers: &mut Numbers) -> Vec<u8> {
    let n = numbers.any();
    let items = &shared.items;
    let item = match numbers.below(4) {
        0 => items.hot(n),
        1 => items.expiring(n),
        _ => items.plain(n),
    };
    items.key(item, 0)
}

fn get(shared: &Shared<'_>, numbers: &mut Numbers) -> Result<(), String> {
    let key = key(shared, numbers);
    let begun = Instant::now();
    let value = shared.store.get(&key);
    shared.read_took(begun.elapsed());
    known(&key, value.as_deref())
}

fn known(key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
    match value {
        Some(value) if written_by(key, value).is_none() => {
            Err(format!("a value that nobody wrote, of {key:?}"))
        }
        _ => Ok(()),
    }
}

fn several(shared: &Shared<'_>, numbers: &mut Numbers) -> Result<(), String> {
    let keys: Vec<_> = (0..20).map(|_| key(shared, numbers)).collect();
    let begun = Instant::now();
    let values = shared.store.multi_get(&keys);
    shared.read_took(begun.elapsed());
    let mut pairs = keys.iter().zip(values);
    pairs.try_for_each(|(key, value)| known(key, value.as_deref()))
}

/// A batch is shown as a whole, in either direction.
fn set(shared: &Shared<'_>, numbers: &mut Numbers) -> Result<(), String> {
    let item = shared.items.set(numbers.any());
    let Some(Kind::Set(keys)) = shared.items.kind(item) else {
        return Ok(());
    };
    let begun = Instant::now();
    let view = shared.store.view();
    shared.read_took(begun.elapsed());
    let scan = view.scan_prefix(&Items::prefix(item));
    let forward = numbers.chance(50);
    let pairs: Vec<Pair> = if forward {
        scan.collect()
    } else {
        scan.rev().collect()
    };
    let write_of = |pair: &Pair| written_by(pair.key(), pair.value());
    let first = pairs.first().and_then(write_of);
    let whole = pairs.is_empty()
        || pairs.len() == keys as usize
            && first.is_some()
            && pairs.iter().all(|pair| write_of(pair) == first);
    if !whole {
        let count = pairs.len();
        return Err(format!(
            "{count} of the {keys} keys of a batch are shown, or of two batches: item {item}"
        ));
    }
    Ok(())
}

/// A scan is in order, and shows what a get at its moment shows.
fn scan(shared: &Shared<'_>, numbers: &mut Numbers) -> Result<(), String> {
    let view = shared.store.view();
    let from = key(shared, numbers);
    let forward = numbers.chance(50);
    let scan = view.scan(from.as_slice()..);
    let pairs: Vec<Pair> = if forward {
        scan.take(SCANNED).collect()
    } else {
        scan.rev().take(SCANNED).collect()
    };
    for two in pairs.windows(2) {
        if (two[0].key() < two[1].key()) != forward || two[0].key() == two[1].key() {
            return Err(format!(
                "a scan gives {:?} and then {:?}",
                two[0].key(),
                two[1].key()
            ));
        }
    }
    for pair in &pairs {
        if !shared.items.is_known(pair.key(), pair.value()) {
            return Err(format!(
                "a scan gives a pair that nobody wrote, of {:?}",
                pair.key()
            ));
        }
    }
    for _ in 0..pairs.len().min(50) {
        let pair = &pairs[numbers.below(pairs.len() as u64) as usize];
        let got = view.get(pair.key());
        let expires = pair.expires_at().is_some();
        if got.as_deref() != Some(pair.value()) && !(expires && got.is_none()) {
            return Err(format!(
                "a scan and a get of one view differ at {:?}",
                pair.key()
            ));
        }
    }
    Ok(())
}

/// Holds views, and looks whether they still show what they showed.
pub(crate) fn hold_views(shared: &Shared<'_>, mut numbers: Numbers) -> Result<(), String> {
    struct Held {
        view: View,
        from: Vec<u8>,
        digest: u64,
        until: Instant,
    }
    let mut held: Vec<Held> = Vec::new();
    let longest = if shared.plan.views > 2 {
        shared.life.time
    } else {
        Duration::from_secs(2)
    };
    loop {
        let over = shared.is_over();
        let now = Instant::now();
        let mut at = 0;
        while at < held.len() {
            if held[at].until > now && !over {
                at += 1;
                continue;
            }
            let Held {
                view, from, digest, ..
            } = held.swap_remove(at);
            if digest_of(&view, &from) != digest {
                return Err(format!(
                    "a view at LSN {} shows something else than before",
                    view.lsn()
                ));
            }
            let kept = shared.store.stats().kept_versions;
            let begun = Instant::now();
            drop(view);
            shared.view_closed(begun.elapsed(), kept);
        }
        if over {
            return Ok(());
        }
        if (held.len() as u64) < shared.plan.views {
            let begun = Instant::now();
            let view = shared.store.view();
            shared.read_took(begun.elapsed());
            let from = key(shared, &mut numbers);
            let digest = digest_of(&view, &from);
            let time = longest * numbers.between(1, 100) as u32 / 100;
            let until = Instant::now() + time;
            held.push(Held {
                view,
                from,
                digest,
                until,
            });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Of some pairs, without those that may expire meanwhile.
fn digest_of(view: &View, from: &[u8]) -> u64 {
    let pairs = view.scan(from..).filter(|pair| pair.expires_at().is_none());
    pairs.take(SCANNED).fold(0, |digest, pair| {
        let word = pair
            .value()
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        mix(digest ^ word ^ pair.lsn().get())
    })
}
