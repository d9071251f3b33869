//! What the store must hold: the state that the life before has found and kept, and the writes since, by the journals.
//!
//! Opening gives the state at some LSN: that is the end of the log. Of each item the last write up to there must be found, or one
//! that was under way and may have entered the log later. Everything known to be durable must lie below that end.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::journal::{Does, Entry, Step, read, remove_all};
use super::keys::{Item, Items, Kind, WriteId, written_by};

/// The last write of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) present: bool,
    pub(crate) id: WriteId,
    /// Of its first record; of an item that was never there the LSN up to which that is known.
    pub(crate) lsn: u64,
    pub(crate) expires: (u64, u64),
}

/// Acknowledged writes that the end of the log has taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) writes: u64,
    /// Of their values, so fewer than in the log.
    pub(crate) bytes: u64,
    /// Milliseconds from the oldest one's return to the last thing that is known of that life.
    pub(crate) age: u64,
}

/// A pair as a scan gives it.
#[derive(Clone, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) lsn: u64,
    pub(crate) expires_at: Option<u64>,
}

/// What was found of an item.
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: WriteId,
    lsn: u64,
    keys: u32,
    expires_at: Option<u64>,
}

/// The store's clock may differ from the wall clock by this many milliseconds.
pub(crate) const CLOCK_MARGIN: u64 = 2_500;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Model {
    known: Vec<Known>,
    /// Writes that may or may not have entered the log.
    maybe: HashMap<Item, Vec<Entry>>,
    /// The life that the journals belong to.
    life: Option<u64>,
    durable: u64,
}

const BASE: &str = "base";

impl Model {
    /// Nothing was written yet, or what [`keep`](Self::keep) has kept.
    pub(crate) fn load(state: &Path, items: &Items) -> io::Result<Self> {
        let (life, durable, known) = match fs::read(state.join(BASE)) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (None, 0, vec![Known::default(); items.count() as usize])
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            known,
            maybe: HashMap::new(),
            life,
            durable,
        })
    }

    /// Keeps it, as what life `life` begins with.
    pub(crate) fn keep(&self, state: &Path, life: u64) -> io::Result<()> {
        let bytes = serde_json::to_vec(&(Some(life), self.durable, &self.known))?;
        // A kill leaves the one before, with its journals.
        let temporary = state.join("base.tmp");
        fs::write(&temporary, bytes)?;
        fs::rename(temporary, state.join(BASE))?;
        remove_all(state)
    }

    /// The life whose writes come since; none if nothing was kept yet.
    pub(crate) fn life(&self) -> Option<u64> {
        self.life
    }

    /// Adds the writes since, up to the end of the log. Processes that were killed before they had checked anything may have put
    /// `marks` marks of their own behind what a kill had left: of a write up there nobody knows.
    pub(crate) fn add_journals(
        &mut self,
        state: &Path,
        (end, marks): (u64, u64),
        items: &Items,
    ) -> Result<Lost, String> {
        let Some(life) = self.life else {
            return Ok(Lost::default());
        };
        let mut open: HashMap<u64, Entry> = HashMap::new();
        let mut sum = Sum {
            end,
            known_to: end.saturating_sub(marks),
            ..Sum::default()
        };
        let mut taken = Ok(());
        let read = read(state, life, |thread, entry| {
            if taken.is_err() {
                return;
            }
            match entry.step {
                Step::Begun => {
                    if let Some(before) = open.insert(thread, entry) {
                        self.maybe.entry(before.item).or_default().push(before);
                    }
                }
                Step::Refused => drop(open.remove(&thread)),
                Step::Durable => self.durable = self.durable.max(entry.lsn),
                Step::Done | Step::DoneDurable => {
                    open.remove(&thread);
                    taken = self.done(&entry, items, &mut sum);
                }
            }
            sum.last_at = sum.last_at.max(entry.at);
        });
        read.map_err(|error| format!("the journals cannot be read: {error}"))?;
        taken?;
        for entry in open.into_values() {
            self.maybe.entry(entry.item).or_default().push(entry);
        }
        if self.durable > end {
            let durable = self.durable;
            return Err(format!(
                "the log ends at LSN {end}, and LSN {durable} was durable"
            ));
        }
        let mut lost = sum.lost;
        lost.age = sum
            .oldest_lost
            .map_or(0, |oldest| sum.last_at.saturating_sub(oldest));
        Ok(lost)
    }

    fn done(&mut self, entry: &Entry, items: &Items, sum: &mut Sum) -> Result<(), String> {
        let last = entry.lsn + u64::from(entry.records.max(1)) - 1;
        if entry.step == Step::DoneDurable {
            self.durable = self.durable.max(last);
        }
        if last > sum.end {
            if entry.lsn <= sum.end {
                let (first, end) = (entry.lsn, sum.end);
                return Err(format!(
                    "a batch from LSN {first} to {last} is cut: the log ends at {end}"
                ));
            }
            sum.lost.writes += 1;
            let key = items.key(entry.item, 0);
            sum.lost.bytes += super::keys::value(&key, entry.id).len() as u64;
            sum.oldest_lost = Some(sum.oldest_lost.map_or(entry.at, |at| at.min(entry.at)));
            return Ok(());
        }
        if entry.step == Step::Done && last > sum.known_to {
            self.maybe.entry(entry.item).or_default().push(*entry);
            return Ok(());
        }
        let known = self.known.get_mut(entry.item as usize);
        let known = known.ok_or("an entry of the journal names no item")?;
        if entry.lsn > known.lsn {
            *known = Known {
                present: entry.does == Does::Put,
                id: entry.id,
                lsn: entry.lsn,
                expires: entry.expires,
            };
        }
        Ok(())
    }

    /// Compares it with all pairs of the store, in the order in which a scan gives them; afterwards it is what was found. `end` is the
    /// end of the log, `now` the time after the scan. Returns how many keys there are.
    pub(crate) fn check<'a>(
        &mut self,
        items: &Items,
        pairs: impl Iterator<Item = Found<'a>>,
        end: u64,
        now: impl FnOnce() -> u64,
    ) -> Result<u64, String> {
        let mut seen: Vec<Option<Seen>> = vec![None; self.known.len()];
        let mut before: Option<Vec<u8>> = None;
        let mut keys = 0;
        for pair in pairs {
            if before.as_deref().is_some_and(|before| before >= pair.key) {
                return Err(format!("a scan gives {:?} after {before:?}", pair.key));
            }
            before = Some(pair.key.to_vec());
            see(items, &mut seen, &pair)?;
            keys += 1;
        }
        let now = now();
        for (item, seen) in seen.iter().enumerate() {
            let item = item as Item;
            self.known[item as usize] = self
                .judge(items, item, seen.as_ref(), end, now)
                .map_err(|what| {
                    let known = &self.known[item as usize];
                    let kind = items.kind(item);
                    let maybe = self.maybe.get(&item);
                    format!(
                        "{what}: item {item} ({kind:?}), the log's end is {end}, known {known:?}, found {seen:?}, under way {maybe:?}"
                    )
                })?;
        }
        self.maybe.clear();
        self.durable = end;
        Ok(keys)
    }

    fn judge(
        &self,
        items: &Items,
        item: Item,
        seen: Option<&Seen>,
        end: u64,
        now: u64,
    ) -> Result<Known, String> {
        let known = self.known[item as usize];
        let none = Vec::new();
        let maybe = self.maybe.get(&item).unwrap_or(&none);
        let may_be_over = |expires: (u64, u64)| expires.0 > 0 && expires.0 <= now + CLOCK_MARGIN;
        let Some(seen) = seen else {
            let explained = !known.present
                || may_be_over(known.expires)
                || maybe
                    .iter()
                    .any(|entry| entry.does == Does::Delete || may_be_over(entry.expires));
            if !explained {
                return Err("an acknowledged write is lost".into());
            }
            return Ok(Known {
                lsn: end,
                ..Known::default()
            });
        };
        if let Some(Kind::Set(keys)) = items.kind(item)
            && seen.keys != keys
        {
            return Err(format!(
                "{} of the {keys} keys of a batch are there",
                seen.keys
            ));
        }
        if seen.lsn > end {
            return Err("a write from after the end of the log".into());
        }
        let expires = if known.present && seen.id == known.id {
            if seen.lsn != known.lsn {
                return Err("a write has another LSN than it was given".into());
            }
            known.expires
        } else {
            let entry = maybe
                .iter()
                .find(|entry| entry.id == seen.id && entry.does == Does::Put);
            let entry = entry.filter(|_| seen.lsn > known.lsn);
            entry.ok_or("an older write has come back")?.expires
        };
        check_expiry(seen.expires_at, expires, now)?;
        let at = seen.expires_at.unwrap_or(0);
        Ok(Known {
            present: true,
            id: seen.id,
            lsn: seen.lsn,
            expires: (at, at),
        })
    }

    /// The write that each single item shows, if it does not expire.
    pub(crate) fn lasting(&self, item: Item) -> Option<(bool, WriteId)> {
        let known = &self.known[item as usize];
        (known.expires.0 == 0).then_some((known.present, known.id))
    }
}

#[derive(Debug, Default)]
struct Sum {
    end: u64,
    known_to: u64,
    lost: Lost,
    oldest_lost: Option<u64>,
    last_at: u64,
}

fn see(items: &Items, seen: &mut [Option<Seen>], pair: &Found<'_>) -> Result<(), String> {
    let Some((item, member)) = items.parse(pair.key) else {
        return Err(format!("a key that nobody wrote: {:?}", pair.key));
    };
    let Some(id) = written_by(pair.key, pair.value) else {
        return Err(format!(
            "a value that nobody wrote: item {item}, key {member} of it"
        ));
    };
    let lsn = pair.lsn.wrapping_sub(u64::from(member));
    match &mut seen[item as usize] {
        Some(first) if first.id != id || first.lsn != lsn => {
            return Err(format!(
                "a batch is not whole: item {item}, {first:?}, key {member} is of {id:?} at {lsn}"
            ));
        }
        Some(first) => first.keys += 1,
        none => {
            let expires_at = pair.expires_at;
            *none = Some(Seen {
                id,
                lsn,
                keys: 1,
                expires_at,
            });
        }
    }
    Ok(())
}

fn check_expiry(found: Option<u64>, expires: (u64, u64), now: u64) -> Result<(), String> {
    match (found, expires) {
        (None, (0, _)) => Ok(()),
        (Some(at), (low, high)) if low > 0 => {
            if at + CLOCK_MARGIN < low || at > high.saturating_add(CLOCK_MARGIN) {
                return Err(format!("it expires at {at}, and not from {low} to {high}"));
            }
            if at + CLOCK_MARGIN < now {
                return Err(format!("it has expired at {at}, and it is {now} now"));
            }
            Ok(())
        }
        (found, expires) => Err(format!("it expires at {found:?}, and not at {expires:?}")),
    }
}

#[cfg(test)]
mod tests;
