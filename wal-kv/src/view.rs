//! Reading a point in time: [`View`], and the pairs of a [`Scan`] over it.
//!
//! Deliberately absent: locks that outlive a call. A view is an LSN that the index knows of; a scan takes its pairs in short
//! stretches, each of which finds its place anew.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Bound, RangeBounds};

use bytes::Bytes;
use wal_core::{Lsn, UnixMillis};

use crate::history::shifted;
use crate::index::{Hold, Index, Version};
use crate::sync::Arc;

/// The store as it was at one moment. Writers do not wait for it.
///
/// What it shows stays in memory until it and its scans are dropped, also if it has been replaced or deleted since. A key that
/// expires meanwhile is gone for a view too.
#[derive(Clone)]
pub struct View {
    hold: Arc<Hold>,
}

impl View {
    pub(crate) fn new(hold: Hold) -> Self {
        Self {
            hold: Arc::new(hold),
        }
    }

    /// The LSN of the last write that it shows.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        Lsn::new(self.hold.lsn())
    }

    /// The value of `key` at that moment.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        let index = self.hold.index();
        let version = index.version_at(key, self.hold.lsn())?;
        index.is_live(&version).then(|| version.value_bytes())
    }

    /// The pairs whose keys lie in `range`, in the order of the keys; [`rev`](Iterator::rev) turns it round. An empty or inverted
    /// range has none.
    pub fn scan<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Scan {
        let owned = |bound: Bound<&K>| bound.map(|key| key.as_ref().to_vec());
        let (low, high) = (owned(range.start_bound()), owned(range.end_bound()));
        Scan::new(Arc::clone(&self.hold), low, high)
    }

    /// All pairs, in the order of the keys.
    #[must_use]
    pub fn iter(&self) -> Scan {
        Scan::new(Arc::clone(&self.hold), Bound::Unbounded, Bound::Unbounded)
    }

    /// The pairs whose keys begin with `prefix`, in the order of the keys.
    #[must_use]
    pub fn scan_prefix(&self, prefix: &[u8]) -> Scan {
        let high = behind(prefix).map_or(Bound::Unbounded, Bound::Excluded);
        let low = Bound::Included(prefix.to_vec());
        Scan::new(Arc::clone(&self.hold), low, high)
    }
}

impl IntoIterator for &View {
    type Item = Pair;
    type IntoIter = Scan;

    fn into_iter(self) -> Scan {
        self.iter()
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("lsn", &self.lsn())
            .finish_non_exhaustive()
    }
}

/// The first key behind all that begin with `prefix`; `None` if there is none.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut key = prefix[..=last].to_vec();
    key[last] += 1;
    Some(key)
}

/// A key and its value.
#[derive(Clone)]
pub struct Pair {
    version: Version,
    /// Milliseconds by which its expiry is later than the version says.
    later: i64,
}

impl Pair {
    pub(crate) fn new(version: Version, index: &Index) -> Self {
        let time = index.time();
        let moves = version.expires() && version.lsn() >= time.first();
        let later = if moves { time.offset() } else { 0 };
        Self { version, later }
    }

    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    /// The key.
    #[must_use]
    #[inline]
    pub fn key(&self) -> &[u8] {
        self.version.key()
    }

    /// The value.
    #[must_use]
    #[inline]
    pub fn value(&self) -> &[u8] {
        self.version.value()
    }

    /// The value, to be kept without the key.
    #[must_use]
    pub fn to_value(&self) -> Bytes {
        self.version.value_bytes()
    }

    /// The LSN of the write that made it: the version for [`Condition::LsnIs`](crate::Condition::LsnIs). At or below
    /// `durable_lsn()` it is on stable storage.
    #[must_use]
    #[inline]
    pub fn lsn(&self) -> Lsn {
        Lsn::new(self.version.lsn())
    }

    /// When it expires, if it does, by the wall clock. A key that was written since the store was opened expires when its time
    /// is over by the boot-time clock; this is when that will be if the wall clock is not set meanwhile.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixMillis> {
        let at = self.version.expires_at()?;
        Some(shifted(at, self.later))
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Key and value are the user's own.
        f.debug_struct("Pair")
            .field("lsn", &self.lsn())
            .finish_non_exhaustive()
    }
}

/// Versions of the first stretch, and of the longest one. They double, so that a short scan takes little.
const FIRST: usize = 16;
const LONGEST: usize = 256;

/// The pairs of a range, from both ends.
pub struct Scan {
    hold: Arc<Hold>,
    /// What lies between is not fetched yet.
    low: Bound<Vec<u8>>,
    high: Bound<Vec<u8>>,
    front: VecDeque<Version>,
    back: VecDeque<Version>,
    stretch: usize,
    fetched: bool,
    buffer: Vec<Version>,
}

impl Scan {
    fn new(hold: Arc<Hold>, low: Bound<Vec<u8>>, high: Bound<Vec<u8>>) -> Self {
        Self {
            fetched: is_empty(&low, &high),
            hold,
            low,
            high,
            front: VecDeque::new(),
            back: VecDeque::new(),
            stretch: FIRST,
            buffer: Vec::new(),
        }
    }

    /// Fetches the next stretch from the front.
    fn fetch_front(&mut self) {
        let (index, lsn) = (self.hold.index(), self.hold.lsn());
        let next = index.forward(&self.low, lsn, self.stretch, &mut self.buffer);
        let within = self
            .buffer
            .partition_point(|version| is_below(version.key(), &self.high));
        self.fetched = within < self.buffer.len();
        match next {
            Some(next) => self.low = next,
            None => self.fetched = true,
        }
        self.fetched |= is_empty(&self.low, &self.high);
        self.front.extend(self.buffer.drain(..).take(within));
        self.stretch = (self.stretch * 2).min(LONGEST);
    }

    /// Fetches the next stretch from the back.
    fn fetch_back(&mut self) {
        let (index, lsn) = (self.hold.index(), self.hold.lsn());
        let next = index.backward(&self.high, lsn, self.stretch, &mut self.buffer);
        let below = self
            .buffer
            .partition_point(|version| !is_above(version.key(), &self.low));
        self.fetched = below > 0;
        match next {
            Some(next) => self.high = next,
            None => self.fetched = true,
        }
        self.fetched |= is_empty(&self.low, &self.high);
        for version in self.buffer.drain(..).skip(below).rev() {
            self.back.push_front(version);
        }
        self.stretch = (self.stretch * 2).min(LONGEST);
    }

    fn shown(&self, version: Version) -> Option<Pair> {
        let index = self.hold.index();
        index.is_live(&version).then(|| Pair::new(version, index))
    }
}

impl Iterator for Scan {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        loop {
            if let Some(version) = self.front.pop_front() {
                if let Some(pair) = self.shown(version) {
                    return Some(pair);
                }
            } else if !self.fetched {
                self.fetch_front();
            } else {
                let version = self.back.pop_front()?;
                if let Some(pair) = self.shown(version) {
                    return Some(pair);
                }
            }
        }
    }
}

impl DoubleEndedIterator for Scan {
    fn next_back(&mut self) -> Option<Pair> {
        loop {
            if let Some(version) = self.back.pop_back() {
                if let Some(pair) = self.shown(version) {
                    return Some(pair);
                }
            } else if !self.fetched {
                self.fetch_back();
            } else {
                let version = self.front.pop_back()?;
                if let Some(pair) = self.shown(version) {
                    return Some(pair);
                }
            }
        }
    }
}

impl std::iter::FusedIterator for Scan {}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("lsn", &self.hold.lsn())
            .finish_non_exhaustive()
    }
}

fn is_below(key: &[u8], high: &Bound<Vec<u8>>) -> bool {
    match high {
        Bound::Included(high) => key <= high.as_slice(),
        Bound::Excluded(high) => key < high.as_slice(),
        Bound::Unbounded => true,
    }
}

fn is_above(key: &[u8], low: &Bound<Vec<u8>>) -> bool {
    match low {
        Bound::Included(low) => key >= low.as_slice(),
        Bound::Excluded(low) => key > low.as_slice(),
        Bound::Unbounded => true,
    }
}

/// Whether no key can lie between the bounds.
fn is_empty(low: &Bound<Vec<u8>>, high: &Bound<Vec<u8>>) -> bool {
    match (low, high) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high))
        | (Bound::Excluded(low), Bound::Included(high)) => low >= high,
    }
}
