//! The eras of a log: each truncation of its newest records begins one, in which their LSNs are given again.
//!
//! Who holds an LSN remembers the era in which it was given. Deliberately absent: truncation of the oldest records, whose LSNs are
//! never given again.

use wal_format::Lsn;

/// A number that grows with each truncation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Era(pub(crate) u64);

/// What each era kept of the one before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Eras {
    now: Era,
    /// The last LSN that stayed, by era. Both ascend: a truncation covers the earlier ones that kept as much or more.
    kept: Vec<(Era, Lsn)>,
}

impl Eras {
    pub(crate) fn now(&self) -> Era {
        self.now
    }

    /// The log was truncated after `kept`.
    pub(crate) fn begin(&mut self, kept: Lsn) {
        self.now.0 += 1;
        while self
            .kept
            .last()
            .is_some_and(|(_, earlier)| *earlier >= kept)
        {
            self.kept.pop();
        }
        self.kept.push((self.now, kept));
    }

    /// The highest LSN of era `since` that is still in the log, if there was a truncation.
    pub(crate) fn kept_since(&self, since: Era) -> Option<Lsn> {
        let at = self.kept.partition_point(|(era, _)| *era <= since);
        self.kept.get(at).map(|(_, kept)| *kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_truncation_since_counts() {
        let mut eras = Eras::default();
        assert_eq!(eras.kept_since(eras.now()), None);
        let first = eras.now();
        eras.begin(Lsn::new(10));
        let second = eras.now();
        eras.begin(Lsn::new(20));
        let third = eras.now();
        assert_eq!(eras.kept_since(first), Some(Lsn::new(10)));
        assert_eq!(eras.kept_since(second), Some(Lsn::new(20)));
        assert_eq!(eras.kept_since(third), None);
        eras.begin(Lsn::new(5));
        for era in [first, second, third] {
            assert_eq!(eras.kept_since(era), Some(Lsn::new(5)));
        }
        assert_eq!(eras.kept_since(eras.now()), None);
        assert_eq!(eras.kept.len(), 1);
    }
}
