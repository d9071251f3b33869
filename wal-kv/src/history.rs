//! What the log says of time: records without a key, and what they mean for the keys around them.
//!
//! A *time mark* says how late it was. A *correction* says that the store's time was set to the wall clock's: what had expired by
//! the time before stays so, and the expiry of every key that was written since the store was opened moves with the time. The
//! records are read by many threads in any order; what each key's expiry is now is decided when all of them are known.
//! Deliberately absent: when they are written (`store/maintain.rs`, `store/clock.rs`).

use wal_core::UnixMillis;

const TIME: u8 = 1;
const TIME_LEN: usize = 9;
const CORRECTION: u8 = 2;
const CORRECTION_LEN: usize = 25;

/// A time that is kept in milliseconds, `by` milliseconds later or earlier. The last one that can be shown is "never", and stays.
pub(crate) fn shifted(at: UnixMillis, by: i64) -> UnixMillis {
    match at.get() {
        u64::MAX => at,
        at => UnixMillis::new(at.saturating_add_signed(by)),
    }
}

/// The store's time was set to the wall clock's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Correction {
    /// The first LSN since the store was opened: what was written from there on moves with the time.
    pub(crate) first: u64,
    pub(crate) before: UnixMillis,
    pub(crate) after: UnixMillis,
}

impl Correction {
    /// Milliseconds by which the time moves.
    fn by(&self) -> i64 {
        let by = i128::from(self.after.get()) - i128::from(self.before.get());
        i64::try_from(by).unwrap_or(if by < 0 { -i64::MAX } else { i64::MAX })
    }
}

/// A record without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is this late.
    Time(UnixMillis),
    Correction(Correction),
}

impl Mark {
    /// One that takes as many bytes as any.
    pub(crate) const LONGEST: Self = Self::Correction(Correction {
        first: 0,
        before: UnixMillis::new(0),
        after: UnixMillis::new(0),
    });

    /// The payload of its record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CORRECTION_LEN);
        match self {
            Self::Time(at) => {
                bytes.push(TIME);
                bytes.extend_from_slice(&at.get().to_le_bytes());
            }
            Self::Correction(correction) => {
                bytes.push(CORRECTION);
                for number in [
                    correction.first,
                    correction.before.get(),
                    correction.after.get(),
                ] {
                    bytes.extend_from_slice(&number.to_le_bytes());
                }
            }
        }
        bytes
    }

    /// `None` if the payload is of a kind that is not known.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let (tag, body) = payload.split_first()?;
        let (numbers, rest) = body.as_chunks::<8>();
        if !rest.is_empty() {
            return None;
        }
        let number = |at: usize| u64::from_le_bytes(numbers[at]);
        let time = |at| UnixMillis::new(number(at));
        match (*tag, payload.len()) {
            (TIME, TIME_LEN) => Some(Self::Time(time(0))),
            (CORRECTION, CORRECTION_LEN) => Some(Self::Correction(Correction {
                first: number(0),
                before: time(1),
                after: time(2),
            })),
            _ => None,
        }
    }
}

/// Marks of a stretch of the log, as they are found in it. Of several times one after the other the latest is kept.
#[derive(Debug, Default)]
pub(crate) struct Marks(Vec<(u64, Mark)>);

impl Marks {
    /// Notes a mark with its LSN, which is higher than those before.
    pub(crate) fn note(&mut self, lsn: u64, mark: Mark) {
        match (self.0.last_mut(), mark) {
            (Some((at, Mark::Time(known))), Mark::Time(time)) => {
                (*at, *known) = (lsn, time.max(*known));
            }
            _ => self.0.push((lsn, mark)),
        }
    }

    /// Adds the marks of another stretch.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// All stretches are there; it was as late as `known` before the first of them.
    pub(crate) fn into_history(mut self, mut known: UnixMillis) -> History {
        self.0.sort_unstable_by_key(|(lsn, _)| *lsn);
        let mut corrections = Vec::new();
        for (lsn, mark) in self.0 {
            match mark {
                Mark::Time(time) => known = known.max(time),
                Mark::Correction(correction) => {
                    // A snapshot that was being written meanwhile may know of a later time than the correction.
                    known = known.max(correction.before);
                    known = shifted(known, correction.by());
                    corrections.push((lsn, correction));
                }
            }
        }
        History { known, corrections }
    }
}

/// What a log says of time as a whole.
#[derive(Debug, Default)]
pub(crate) struct History {
    known: UnixMillis,
    /// In the order of their LSNs.
    corrections: Vec<(u64, Correction)>,
}

impl History {
    /// The highest time that is known, by the clock of the last correction.
    pub(crate) fn known(&self) -> UnixMillis {
        self.known
    }

    /// Whether an expiry may be another than its record or snapshot says.
    pub(crate) fn moves_any(&self) -> bool {
        !self.corrections.is_empty()
    }

    /// When a version expires that was written at `lsn`, and of which its record, or a snapshot of before the first correction, says
    /// `at`. `None` if it had expired.
    pub(crate) fn expiry(&self, lsn: u64, mut at: UnixMillis) -> Option<UnixMillis> {
        let begin = self.corrections.partition_point(|(mark, _)| *mark <= lsn);
        for (_, correction) in &self.corrections[begin..] {
            if at <= correction.before {
                return None;
            }
            if lsn >= correction.first {
                at = shifted(at, correction.by());
            }
        }
        Some(at)
    }
}

#[cfg(all(test, not(wal_shuttle)))]
mod tests {
    use super::*;

    fn at(millis: u64) -> UnixMillis {
        UnixMillis::new(millis)
    }

    fn correction(first: u64, before: u64, after: u64) -> Mark {
        Mark::Correction(Correction {
            first,
            before: at(before),
            after: at(after),
        })
    }

    #[test]
    fn marks_are_read_as_they_were_written() {
        for mark in [Mark::Time(at(7)), correction(1, u64::MAX, 3)] {
            let bytes = mark.encode();
            assert_eq!(Mark::decode(&bytes), Some(mark));
            for len in 0..bytes.len() {
                assert_eq!(Mark::decode(&bytes[..len]), None);
            }
            assert_eq!(Mark::decode(&[&bytes[..], &[0; 8]].concat()), None);
        }
        // As every version has written it.
        assert_eq!(Mark::Time(at(258)).encode(), [1, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Mark::decode(&[3; 9]), None);
    }

    #[test]
    fn a_version_moves_with_the_corrections_after_it_and_of_its_session() {
        let mut marks = Marks::default();
        // Two sessions: LSNs 11 to 30, and 31 on.
        marks.note(20, correction(11, 1000, 5000));
        marks.note(25, correction(11, 6000, 2000));
        marks.note(40, correction(31, 3000, 3500));
        let history = marks.into_history(at(0));
        let of = |lsn, millis| history.expiry(lsn, at(millis)).map(UnixMillis::get);
        assert_eq!(of(10, 7000), Some(7000), "of an earlier session");
        assert_eq!(
            of(10, 6000),
            None,
            "it had expired before the time went back"
        );
        assert_eq!(of(11, 1000), None);
        assert_eq!(of(11, 2000), None, "at 6000 after the first");
        assert_eq!(of(11, 2001), None, "at 2001 after the second");
        assert_eq!(of(11, 3001), Some(3001));
        assert_eq!(of(22, 7000), None);
        assert_eq!(of(22, 7001), Some(3001));
        assert_eq!(of(26, 3001), Some(3001), "another session's correction");
        assert_eq!(of(26, 3000), None);
        assert_eq!(of(31, 4000), Some(4500));
        assert_eq!(of(41, 4000), Some(4000));
        assert_eq!(of(11, u64::MAX), Some(u64::MAX));
        assert!(history.moves_any());
    }

    #[test]
    fn the_highest_time_is_that_of_the_last_correction_and_of_what_came_after_it() {
        let stretches = [
            vec![(1, Mark::Time(at(900)))],
            vec![
                (2, correction(1, 1000, 500)),
                (3, Mark::Time(at(600))),
                (4, Mark::Time(at(550))),
            ],
            vec![(5, correction(1, 700, 9000))],
            vec![(6, Mark::Time(at(9100)))],
        ];
        let known = |count: usize, backwards: bool, snapshot| {
            let mut all = Marks::default();
            let mut stretches = stretches[..count].to_vec();
            if backwards {
                stretches.reverse();
            }
            for stretch in stretches {
                let mut marks = Marks::default();
                for (lsn, mark) in stretch {
                    marks.note(lsn, mark);
                }
                all.append(marks);
            }
            all.into_history(at(snapshot)).known().get()
        };
        for backwards in [false, true] {
            let expected = [10, 900, 600, 9000, 9100];
            for (count, expected) in expected.into_iter().enumerate() {
                assert_eq!(known(count, backwards, 10), expected);
            }
            // A snapshot ended after the correction, and goes by the time before it.
            assert_eq!(known(2, backwards, 1200), 700);
        }
    }
}
