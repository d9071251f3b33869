//! The eras of a log: each truncation of its newest records begins one, in which their LSNs are given again.
//!
//! A caller that holds an LSN also remembers the era in which it was given, or the segment of the record. Each era begins with
//! a new segment, and segment ids only grow. Truncation of the oldest records begins no era: their LSNs are never given again.

use wal_format::{Lsn, SegmentId};

/// A number that grows with each truncation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Era(pub(crate) u64);

/// What each era kept of the one before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Eras {
    now: Era,
    /// All values ascend: a truncation replaces the earlier ones that kept as much or more.
    cuts: Vec<Cut>,
}

/// How an era began.
#[derive(Clone, Copy, Debug)]
struct Cut {
    era: Era,
    /// The last LSN that was kept.
    kept: Lsn,
    /// The era's first segment; [`SegmentId::NONE`] if unknown.
    segment: SegmentId,
}

impl Eras {
    pub(crate) fn now(&self) -> Era {
        self.now
    }

    /// The log was truncated after `kept`, and continues in `segment`.
    pub(crate) fn begin(&mut self, kept: Lsn, segment: SegmentId) {
        self.now.0 += 1;
        while self.cuts.last().is_some_and(|cut| cut.kept >= kept) {
            self.cuts.pop();
        }
        self.cuts.push(Cut {
            era: self.now,
            kept,
            segment,
        });
    }

    /// The highest LSN of era `since` that is still in the log, if there was a truncation.
    pub(crate) fn kept_since(&self, since: Era) -> Option<Lsn> {
        let at = self.cuts.partition_point(|cut| cut.era <= since);
        self.cuts.get(at).map(|cut| cut.kept)
    }

    /// Whether that LSN is a guess, because it is unknown what was kept since `since`. The era has no first segment then.
    pub(crate) fn is_guess(&self, since: Era) -> bool {
        let at = self.cuts.partition_point(|cut| cut.era <= since);
        self.cuts
            .get(at)
            .is_some_and(|cut| cut.segment == SegmentId::NONE)
    }

    /// The last era of the segment with this id, if known. All eras that began since are later.
    pub(crate) fn of(&self, segment: SegmentId) -> Era {
        let at = self.cuts.partition_point(|cut| cut.segment <= segment);
        self.cuts.get(at).map_or(self.now, |cut| Era(cut.era.0 - 1))
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
        eras.begin(Lsn::new(10), SegmentId::new(4));
        let second = eras.now();
        eras.begin(Lsn::new(20), SegmentId::new(7));
        let third = eras.now();
        assert_eq!(eras.kept_since(first), Some(Lsn::new(10)));
        assert_eq!(eras.kept_since(second), Some(Lsn::new(20)));
        assert_eq!(eras.kept_since(third), None);
        let of = |segment| eras.kept_since(eras.of(SegmentId::new(segment)));
        for segment in 1..=9 {
            let kept = [(4, 10), (7, 20)];
            let kept = kept.iter().find(|(begun, _)| segment < *begun);
            assert_eq!(of(segment), kept.map(|(_, kept)| Lsn::new(*kept)));
        }
        eras.begin(Lsn::new(5), SegmentId::new(9));
        for era in [first, second, third] {
            assert_eq!(eras.kept_since(era), Some(Lsn::new(5)));
        }
        assert_eq!(eras.kept_since(eras.now()), None);
        assert_eq!(eras.cuts.len(), 1);
    }
}
