//! Open views, and the replaced versions that are kept for them.
//!
//! A version that was written at LSN `a` and replaced at LSN `b` is shown by the open views from `a` up to `b`, without `b`. It is
//! filed under the oldest and the newest of them. When a view closes, the versions filed under it alone are needed by nobody; all
//! other versions that it shows move, a pile at a time, to the view next to it. So closing a view costs what only it kept, and a
//! step for each other open view, however many versions those share. Deliberately absent: the versions themselves (`shard.rs`).

use std::collections::BTreeMap;

use super::pile::Pile;
use crate::sabotage;

/// A version that a newer one has replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    /// Its LSN.
    pub(super) lsn: u64,
    /// The LSN of the version that replaced it.
    pub(super) by: u64,
    /// The hash of its key.
    pub(super) hash: u64,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Views {
    /// How many views are open at each LSN.
    open: BTreeMap<u64, usize>,
    /// Versions by the LSNs of the oldest and the newest view that shows them.
    kept: BTreeMap<(u64, u64), Pile<Replaced>>,
    /// How many versions `kept` holds.
    filed: usize,
}

impl Views {
    pub(super) fn open(&mut self, lsn: u64) {
        *self.open.entry(lsn).or_default() += 1;
    }

    /// How many views are open.
    pub(super) fn count(&self) -> usize {
        self.open.values().sum()
    }

    /// How many replaced versions are kept for views.
    pub(super) fn filed(&self) -> usize {
        self.filed
    }

    /// Whether an open view shows a version that was written at `lsn` and is replaced by the next write.
    #[inline]
    pub(super) fn show(&self, lsn: u64) -> bool {
        let newest = self.open.last_key_value();
        if sabotage::is("kv-kept-though-no-view-shows-it") {
            return newest.is_some();
        }
        newest.is_some_and(|(newest, _)| *newest >= lsn) && !sabotage::is("kv-view-not-kept")
    }

    /// Files a version if an open view shows it; false if none does.
    pub(super) fn keep(&mut self, version: Replaced) -> bool {
        let mut showing = if sabotage::is("kv-kept-though-no-view-shows-it") {
            self.open.range(..version.by)
        } else {
            self.open.range(version.lsn..version.by)
        };
        let Some((&oldest, _)) = showing.next() else {
            return false;
        };
        if sabotage::is("kv-view-not-kept") {
            return false;
        }
        let newest = showing.next_back().map_or(oldest, |(newest, _)| *newest);
        self.kept.entry((oldest, newest)).or_default().push(version);
        self.filed += 1;
        true
    }

    /// Closes a view; returns the versions that nobody needs any more.
    pub(super) fn close(&mut self, lsn: u64) -> Pile<Replaced> {
        let Some(count) = self.open.get_mut(&lsn) else {
            return Pile::default();
        };
        *count -= 1;
        if *count > 0 {
            return Pile::default();
        }
        self.open.remove(&lsn);
        if self.kept.is_empty() {
            return Pile::default();
        }
        let older: Vec<u64> = self.open.range(..lsn).map(|(lsn, _)| *lsn).collect();
        let newer: Vec<u64> = self.open.range(lsn..).map(|(lsn, _)| *lsn).collect();
        if let Some(before) = older.last() {
            for oldest in &older {
                self.rename((*oldest, lsn), (*oldest, *before));
            }
        }
        if let Some(after) = newer.first() {
            for newest in &newer {
                self.rename((lsn, *newest), (*after, *newest));
            }
        }
        let mut unneeded = self.kept.remove(&(lsn, lsn)).unwrap_or_default();
        if sabotage::is("kv-view-closes-its-neighbours")
            && let Some(after) = newer.first()
        {
            unneeded.append(self.kept.remove(&(*after, *after)).unwrap_or_default());
        }
        self.filed -= unneeded.len();
        unneeded
    }

    fn rename(&mut self, from: (u64, u64), to: (u64, u64)) {
        if let Some(pile) = self.kept.remove(&from) {
            self.kept.entry(to).or_default().append(pile);
        }
    }
}

#[cfg(all(test, not(wal_shuttle)))]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Open,
        /// Closes one of the open views.
        Close(usize),
        /// Replaces the version of a key.
        Put(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => Just(Step::Open),
            2 => any::<usize>().prop_map(Step::Close),
            6 => (0..6_u64).prop_map(Step::Put),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_version_is_let_go_when_the_last_view_that_shows_it_closes(
            steps in proptest::collection::vec(step(), 1..300),
        ) {
            let mut views = Views::default();
            let (mut open, mut newest) = (Vec::<u64>::new(), [0; 6]);
            let mut kept = BTreeSet::new();
            let mut last = 0;
            for step in steps {
                match step {
                    Step::Open => {
                        views.open(last);
                        open.push(last);
                    }
                    Step::Put(key) => {
                        last += 1;
                        let lsn = std::mem::replace(&mut newest[key as usize], last);
                        let shown = open.iter().any(|view| *view >= lsn);
                        prop_assert_eq!(views.show(lsn), shown);
                        prop_assert_eq!(views.keep(Replaced { lsn, by: last, hash: key }), shown);
                        if shown {
                            kept.insert((lsn, last));
                        }
                    }
                    Step::Close(at) if !open.is_empty() => {
                        let at = at % open.len();
                        let mut gone = BTreeSet::new();
                        let mut unneeded = views.close(open.swap_remove(at));
                        while let Some(version) = unneeded.pop() {
                            prop_assert!(gone.insert((version.lsn, version.by)));
                        }
                        let needed = |version: &(u64, u64)| open.iter().any(|view| version.0 <= *view && *view < version.1);
                        let expected: BTreeSet<_> = kept.iter().filter(|version| !needed(version)).copied().collect();
                        prop_assert_eq!(&gone, &expected);
                        kept.retain(needed);
                    }
                    Step::Close(_) => {}
                }
                prop_assert_eq!((views.count(), views.filed()), (open.len(), kept.len()));
            }
        }
    }
}
