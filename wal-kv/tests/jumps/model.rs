//! What a store shows, by a model that knows how much time has really passed. It knows nothing of records or offsets on the disk:
//! a key that was written since the store was opened ends when its time is over by the clock that nobody sets, and one that was
//! there at open ends by the wall clock, as far as the store believes it.

use std::collections::BTreeMap;

use wal_core::clock::{Clock as _, ManualClock};

/// Microseconds.
pub(super) type Micros = i128;

/// A wall clock that is off by no more is right.
const TOLERANCE: Micros = 1_000_000;
/// One that is off for so long is believed.
const BELIEVED: Micros = 10_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Never,
    /// In milliseconds of the steady time: written since the store was opened.
    Steady(i128),
    /// In milliseconds of the wall clock: it was there.
    Wall(i128),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) lsn: u64,
    /// `None`: deleted, or gone for ever.
    pub(super) value: Option<u8>,
    pub(super) ends: Ends,
}

/// The time was set to the wall clock's.
#[derive(Clone, Copy, Debug)]
struct Correction {
    lsn: u64,
    steady: Micros,
    wall: Micros,
    /// In milliseconds, since then.
    offset: i128,
}

pub(super) type State = BTreeMap<u8, Version>;

#[derive(Clone, Debug)]
pub(super) struct Model {
    clock: ManualClock,
    anchor: Micros,
    opened: Micros,
    offset: i128,
    /// The latest time of which loaded keys know.
    latest: Micros,
    /// By how much the wall clock was ahead, and when, since the last correction.
    observed: Vec<(Micros, Micros)>,
    /// Versions of each key, in their order.
    versions: BTreeMap<u8, Vec<Version>>,
    corrections: Vec<Correction>,
}

impl Model {
    /// Of a store that is opened for the first time.
    pub(super) fn new(clock: &ManualClock) -> Self {
        let mut model = Self {
            clock: clock.clone(),
            anchor: 0,
            opened: 0,
            offset: 0,
            latest: 0,
            observed: Vec::new(),
            versions: BTreeMap::new(),
            corrections: Vec::new(),
        };
        model.begin(model.wall());
        model
    }

    fn wall(&self) -> Micros {
        self.clock.wall().as_micros().cast_signed()
    }

    fn boot(&self) -> Micros {
        self.clock.boot().as_micros().cast_signed()
    }

    fn steady(&self) -> Micros {
        self.anchor + self.boot() - self.opened
    }

    /// The time of the store by the wall clock.
    pub(super) fn time(&self) -> Micros {
        self.steady() + self.offset * 1000
    }

    fn begin(&mut self, time: Micros) {
        (self.anchor, self.opened) = (time, self.boot());
        (self.offset, self.latest) = (0, time);
        self.observed.clear();
        self.corrections.clear();
        self.observe(0);
    }

    /// The store has looked at the wall clock. A correction would have this LSN.
    pub(super) fn observe(&mut self, lsn: u64) -> bool {
        let ahead = self.wall() - self.time();
        self.observed.push((self.boot(), ahead));
        let is_off = |ahead: Micros| ahead.abs() > TOLERANCE;
        let mut since = None;
        let mut last = ahead;
        for (at, ahead) in self.observed.iter().rev() {
            if !is_off(*ahead) || (ahead - last).abs() > TOLERANCE {
                break;
            }
            (since, last) = (Some(*at), *ahead);
        }
        if since.is_none_or(|since| self.boot() - since < BELIEVED) {
            return false;
        }
        let (steady, wall) = (self.steady(), self.time());
        self.latest = self.latest.max(wall);
        // In whole milliseconds, and never before 1970.
        let offset = (self.wall() - steady).div_euclid(1000);
        self.offset = offset.max(-steady.div_euclid(1000));
        self.corrections.push(Correction {
            lsn,
            steady,
            wall,
            offset: self.offset,
        });
        self.observed.clear();
        true
    }

    pub(super) fn corrections(&self) -> usize {
        self.corrections.len()
    }

    /// The LSN of the last of the first `count` corrections.
    pub(super) fn last_of(&self, count: u64) -> u64 {
        let last = self.corrections[..count as usize].last();
        last.map_or(0, |correction| correction.lsn)
    }

    pub(super) fn put(&mut self, lsn: u64, key: u8, value: Option<u8>, ends: Ends) {
        let version = Version { lsn, value, ends };
        self.versions.entry(key).or_default().push(version);
    }

    /// When a key ends that lives for so long from now on.
    pub(super) fn after(&self, ttl: Micros) -> Ends {
        let ends = self.steady() + ttl;
        Ends::Steady(ends.div_euclid(1000) + i128::from(ends.rem_euclid(1000) > 0))
    }

    /// What a conditional put makes of a key's end.
    pub(super) fn kept(&self, key: u8) -> Ends {
        match self.live(key).map(|version| version.ends) {
            None => Ends::Never,
            Some(Ends::Wall(at)) => Ends::Steady(at - self.offset),
            Some(ends) => ends,
        }
    }

    /// The newest version of each key.
    pub(super) fn state(&self) -> State {
        let newest = self.versions.iter();
        newest
            .filter_map(|(key, versions)| Some((*key, *versions.last()?)))
            .collect()
    }

    pub(super) fn is_live(&self, version: &Version) -> bool {
        version.value.is_some()
            && match version.ends {
                Ends::Never => true,
                Ends::Steady(at) => at * 1000 > self.steady(),
                Ends::Wall(at) => at * 1000 > self.latest.max(self.time()),
            }
    }

    pub(super) fn live(&self, key: u8) -> Option<Version> {
        let newest = *self.versions.get(&key)?.last()?;
        self.is_live(&newest).then_some(newest)
    }

    /// When it ends by the wall clock, as far as can be told now.
    pub(super) fn wall_end(&self, version: &Version) -> Option<i128> {
        match version.ends {
            Ends::Never => None,
            Ends::Steady(at) => Some(at + self.offset),
            Ends::Wall(at) => Some(at),
        }
    }

    /// The store was opened again with all up to `lsn`, at this time. What it wrote is there now, and goes by the wall clock.
    pub(super) fn reopen(&mut self, lsn: u64, time: Micros) {
        let corrections: Vec<_> = self.corrections.drain(..).collect();
        let made: Vec<_> = corrections.iter().filter(|made| made.lsn <= lsn).collect();
        let offset = made.last().map_or(0, |made| made.offset);
        // No knowledge of a later time than the store had.
        let latest_known = (self.steady() + offset * 1000).max(self.wall());
        assert!(time <= latest_known, "{time} is later than {latest_known}");
        assert!(time >= self.wall(), "{time} is earlier than the wall clock");
        for versions in self.versions.values_mut() {
            versions.retain(|version| version.lsn <= lsn);
            for version in &mut *versions {
                let later = || made.iter().filter(|made| made.lsn > version.lsn);
                let was_over = match version.ends {
                    Ends::Never => false,
                    Ends::Steady(at) => later().any(|made| at * 1000 <= made.steady),
                    Ends::Wall(at) => later().any(|made| at * 1000 <= made.wall),
                };
                if was_over {
                    version.value = None;
                }
                if let Ends::Steady(at) = version.ends {
                    version.ends = Ends::Wall(at + offset);
                }
            }
        }
        self.begin(time);
    }
}
