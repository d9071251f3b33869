//! Open views, and the replaced versions that are kept for them.
//!
//! A version that was written at LSN `a` and replaced at LSN `b` is shown by the open views from `a` up to `b`, without `b`. It is
//! filed under the oldest and the newest of them. When a view closes, the versions filed under it alone are needed by nobody; all
//! other versions that it shows move, a pile at a time, to the view next to it. So closing a view costs what only it kept, and a
//! step for each other open view, however many versions those share.
//!
//! The store's own snapshot looks at a view too. What only it shows is kept, but is not held against anybody: a limit counts what
//! the views of users show. Deliberately absent: the versions themselves (`shard.rs`), and the limit (`store/limits.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::heap::allocated;
use super::pile::Pile;

/// Bytes of memory for the entry of a version that is kept: its share of a pile.
pub(super) const ENTRY: u64 = allocated(64 * size_of::<Replaced>()) / 64 + 3;

/// A version that a newer one has replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    /// Its LSN.
    pub(super) lsn: u64,
    /// The LSN of the version that replaced it.
    pub(super) by: u64,
    /// The hash of its key.
    pub(super) hash: u64,
    /// Bytes of memory that it takes, with this entry.
    pub(super) bytes: u64,
}

/// An open view: the LSN up to which it shows versions, and a number of its own. Their order is that in which they were opened.
pub(crate) type ViewId = (u64, u64);

/// Whose view it is, and since when it is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    /// By the monotonic clock.
    pub(crate) at: Duration,
    /// The store's own snapshot looks at it.
    pub(crate) own: bool,
}

/// Versions that the same views show.
#[derive(Debug, Default)]
struct Filed {
    versions: Pile<Replaced>,
    bytes: u64,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Views {
    open: BTreeMap<ViewId, Opened>,
    /// Views that were opened so far.
    opened: u64,
    /// The LSN of the snapshot's view.
    own: Option<u64>,
    /// Versions by the LSNs of the oldest and the newest view that shows them.
    kept: BTreeMap<(u64, u64), Filed>,
    /// How many versions `kept` holds, and their bytes.
    filed: usize,
    bytes: u64,
}

impl Views {
    pub(super) fn open(&mut self, lsn: u64, opened: Opened) -> ViewId {
        let id = (lsn, self.opened);
        self.opened += 1;
        if opened.own {
            self.own = Some(lsn);
        }
        self.open.insert(id, opened);
        id
    }

    /// How many views are open.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// How many replaced versions are kept for views.
    pub(super) fn filed(&self) -> usize {
        self.filed
    }

    /// Whether an open view shows a version that was written at `lsn` and is replaced by the next write.
    #[inline]
    pub(super) fn show(&self, lsn: u64) -> bool {
        let newest = self.open.last_key_value();
        newest.is_some_and(|((newest, _), _)| *newest >= lsn)
    }

    /// The LSN of the newest view of a user: it shows what was written up to there and is replaced by the next write.
    pub(super) fn newest_of_users(&self) -> Option<u64> {
        let mut newest_first = self.open.iter().rev();
        // One of them at most is not a user's.
        let newest = newest_first.find(|(_, opened)| !opened.own);
        newest.map(|((lsn, _), _)| *lsn)
    }

    /// When the oldest view of a user was opened.
    pub(super) fn oldest_of_users(&self) -> Option<Duration> {
        let mut oldest_first = self.open.values();
        oldest_first
            .find(|opened| !opened.own)
            .map(|opened| opened.at)
    }

    /// Bytes of the versions that are kept for views of users.
    pub(super) fn bytes_of_users(&self) -> u64 {
        let only_own = self.own.filter(|own| {
            let mut there = self.open.range((*own, 0)..=(*own, u64::MAX));
            there.all(|(_, opened)| opened.own)
        });
        let filed = only_own.and_then(|own| self.kept.get(&(own, own)));
        self.bytes - filed.map_or(0, |filed| filed.bytes)
    }

    /// Files a version if an open view shows it; false if none does.
    pub(super) fn keep(&mut self, version: Replaced) -> bool {
        let mut showing = self.open.range((version.lsn, 0)..(version.by, 0));
        let Some((&(oldest, _), _)) = showing.next() else {
            return false;
        };
        let newest = showing
            .next_back()
            .map_or(oldest, |((newest, _), _)| *newest);
        let filed = self.kept.entry((oldest, newest)).or_default();
        filed.versions.push(version);
        filed.bytes += version.bytes;
        self.filed += 1;
        self.bytes += version.bytes;
        true
    }

    /// Closes a view; returns the versions that nobody needs any more.
    pub(super) fn close(&mut self, view: ViewId) -> Pile<Replaced> {
        let (lsn, _) = view;
        let Some(opened) = self.open.remove(&view) else {
            return Pile::default();
        };
        if opened.own {
            self.own = None;
        }
        let mut there = self.open.range((lsn, 0)..=(lsn, u64::MAX));
        if there.next().is_some() || self.kept.is_empty() {
            return Pile::default();
        }
        let older = lsns(self.open.range(..view));
        let newer = lsns(self.open.range(view..));
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
        let unneeded = self.kept.remove(&(lsn, lsn)).unwrap_or_default();
        self.filed -= unneeded.versions.len();
        self.bytes -= unneeded.bytes;
        unneeded.versions
    }

    fn rename(&mut self, from: (u64, u64), to: (u64, u64)) {
        if let Some(filed) = self.kept.remove(&from) {
            self.kept.entry(to).or_default().append(filed);
        }
    }

    /// Bytes of the versions that views of users show, counted anew.
    #[cfg(all(test, not(wal_shuttle)))]
    pub(super) fn recount_of_users(&self) -> u64 {
        let filed = self.kept.values();
        let versions = filed.flat_map(|filed| filed.versions.iter());
        let shown = versions.filter(|version| {
            let mut showing = self.open.range((version.lsn, 0)..(version.by, 0));
            showing.any(|(_, opened)| !opened.own)
        });
        shown.map(|version| version.bytes).sum()
    }
}

impl Filed {
    fn append(&mut self, more: Self) {
        self.versions.append(more.versions);
        self.bytes += more.bytes;
    }
}

/// The LSNs of these views, each once.
fn lsns<'a>(views: impl Iterator<Item = (&'a ViewId, &'a Opened)>) -> Vec<u64> {
    let mut lsns: Vec<u64> = views.map(|((lsn, _), _)| *lsn).collect();
    lsns.dedup();
    lsns
}

#[cfg(all(test, not(wal_shuttle)))]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Open,
        /// The snapshot's, or one of a user if that is open.
        OpenOwn,
        /// Closes one of the open views.
        Close(usize),
        /// Replaces the version of a key.
        Put(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => Just(Step::Open),
            1 => Just(Step::OpenOwn),
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
            let (mut open, mut newest) = (Vec::<(ViewId, bool)>::new(), [0; 6]);
            let mut kept = BTreeSet::new();
            let mut last = 0;
            for step in steps {
                match step {
                    Step::Open | Step::OpenOwn => {
                        let own = matches!(step, Step::OpenOwn) && !open.iter().any(|(_, own)| *own);
                        let at = Duration::from_secs(views.opened);
                        open.push((views.open(last, Opened { at, own }), own));
                    }
                    Step::Put(key) => {
                        last += 1;
                        let lsn = std::mem::replace(&mut newest[key as usize], last);
                        let shown = open.iter().any(|((view, _), _)| *view >= lsn);
                        prop_assert_eq!(views.show(lsn), shown);
                        prop_assert_eq!(views.keep(Replaced { lsn, by: last, hash: key, bytes: last + 1 }), shown);
                        if shown {
                            kept.insert((lsn, last));
                        }
                    }
                    Step::Close(at) if !open.is_empty() => {
                        let at = at % open.len();
                        let mut gone = BTreeSet::new();
                        let mut unneeded = views.close(open.swap_remove(at).0);
                        while let Some(version) = unneeded.pop() {
                            prop_assert!(gone.insert((version.lsn, version.by)));
                        }
                        let needed = |version: &(u64, u64)| open.iter().any(|((view, _), _)| version.0 <= *view && *view < version.1);
                        let expected: BTreeSet<_> = kept.iter().filter(|version| !needed(version)).copied().collect();
                        prop_assert_eq!(&gone, &expected);
                        kept.retain(needed);
                    }
                    Step::Close(_) => {}
                }
                prop_assert_eq!((views.count(), views.filed()), (open.len(), kept.len()));
                let users: Vec<ViewId> = open.iter().filter(|(_, own)| !own).map(|(view, _)| *view).collect();
                prop_assert_eq!(views.newest_of_users(), users.iter().max().map(|(lsn, _)| *lsn));
                let oldest = users.iter().min().map(|(_, number)| Duration::from_secs(*number));
                prop_assert_eq!(views.oldest_of_users(), oldest);
                let shown = kept.iter().filter(|(lsn, by)| users.iter().any(|(view, _)| lsn <= view && view < by));
                let bytes: u64 = shown.map(|(_, by)| by + 1).sum();
                prop_assert_eq!((views.bytes_of_users(), views.recount_of_users()), (bytes, bytes));
            }
        }
    }
}
