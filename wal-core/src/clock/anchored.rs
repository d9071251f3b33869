//! Wall-clock time that follows the boot-time clock.
//!
//! A wall clock is set: by a person, by NTP, by a hypervisor, sometimes to nonsense for a second. What has to last for an hour must
//! not end because of that. So the time is the wall clock's at one moment, the *anchor*, and from there on the boot-time clock's,
//! which nobody sets. If the wall clock has been elsewhere for long enough it is right, and the time is corrected.
//!
//! Pure: it is told what the clocks show, and asks nobody.

use std::time::Duration;

/// A wall clock that is no further away than this is followed by nobody: clocks differ a little.
const TOLERANCE: i128 = 1_000_000_000;
/// For so long it has to be further away before it is believed.
const BELIEVED_AFTER: Duration = Duration::from_secs(10);
const NANOS_PER_MILLI: i128 = 1_000_000;

/// A time that follows the boot-time clock, is anchored to the wall clock, and is corrected when that was set.
///
/// [`steady`](Self::steady) is the anchor plus what the boot-time clock has counted since, and nothing changes it. [`time`](Self::time) is
/// that plus an [`offset`](Self::offset), which is 0 until a correction. Both go on at the rate of the boot-time clock.
///
/// [`observe`](Self::observe) compares with the wall clock. Only when that has differed by more than a second for ten seconds,
/// and by the same amount (a second more or less), does it propose another offset. The difference must have been observed at
/// both ends of the ten seconds, and at each observation between them.
///
/// ```
/// use std::time::Duration;
/// use wal_core::clock::AnchoredClock;
///
/// let seconds = Duration::from_secs;
/// // It is 1,000,000 by the wall clock, and the machine runs for 5 s.
/// let mut clock = AnchoredClock::new(seconds(1_000_000), seconds(5), Duration::ZERO);
/// // A minute later the wall clock is an hour ahead.
/// assert_eq!(clock.observe(seconds(1_003_660), seconds(65)), None);
/// assert_eq!(clock.time(seconds(65)), seconds(1_000_060));
/// // It still is after ten seconds.
/// let offset = clock.observe(seconds(1_003_670), seconds(75));
/// assert_eq!(offset, Some(3_600_000));
/// clock.correct(3_600_000);
/// assert_eq!(clock.time(seconds(75)), seconds(1_003_670));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnchoredClock {
    anchor: Duration,
    anchored_at: Duration,
    offset: i64,
    episode: Option<Episode>,
    jumps: u64,
}

/// The wall clock differs, by about the same amount since some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Episode {
    /// By the boot-time clock.
    since: Duration,
    /// In nanoseconds, as last observed.
    difference: i128,
}

fn nanos(time: Duration) -> i128 {
    // Below 2^94.
    time.as_nanos().cast_signed()
}

impl AnchoredClock {
    /// A clock that begins at the later of `wall`, which the wall clock shows, and `known`, which it had shown before.
    #[must_use]
    pub fn new(wall: Duration, boot: Duration, known: Duration) -> Self {
        Self {
            anchor: wall.max(known),
            anchored_at: boot,
            offset: 0,
            episode: None,
            jumps: 0,
        }
    }

    /// The time without any correction when the boot-time clock shows `boot`.
    #[must_use]
    #[inline]
    pub fn steady(&self, boot: Duration) -> Duration {
        self.anchor
            .saturating_add(boot.saturating_sub(self.anchored_at))
    }

    /// The time when the boot-time clock shows `boot`.
    #[must_use]
    pub fn time(&self, boot: Duration) -> Duration {
        let steady = self.steady(boot);
        let offset = Duration::from_millis(self.offset.unsigned_abs());
        if self.offset < 0 {
            steady.saturating_sub(offset)
        } else {
            steady.saturating_add(offset)
        }
    }

    /// Milliseconds by which [`time`](Self::time) is ahead of [`steady`](Self::steady).
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Milliseconds by which the wall clock is ahead of [`time`](Self::time), rounded down.
    #[must_use]
    pub fn difference(&self, wall: Duration, boot: Duration) -> i64 {
        to_millis(nanos(wall) - nanos(self.time(boot)))
    }

    /// How often the wall clock was seen to jump: away from the time by more than a second, or from there by as much again.
    #[must_use]
    pub fn jumps(&self) -> u64 {
        self.jumps
    }

    /// Takes note of what the clocks show. Returns the offset that agrees with the wall clock, if the time is to be corrected.
    ///
    /// The offset stays until [`correct`](Self::correct) is called. The next observation proposes it again.
    pub fn observe(&mut self, wall: Duration, boot: Duration) -> Option<i64> {
        let difference = nanos(wall) - nanos(self.time(boot));
        if difference.abs() <= TOLERANCE {
            self.episode = None;
            return None;
        }
        let known = self.episode.filter(|episode| {
            let moved = difference - episode.difference;
            moved.abs() <= TOLERANCE && episode.since <= boot
        });
        self.jumps += u64::from(known.is_none());
        let since = known.map_or(boot, |episode| episode.since);
        self.episode = Some(Episode { since, difference });
        let steady = nanos(self.steady(boot));
        // Rounded up if it would be 1969 otherwise: no time is before 0.
        let offset = to_millis(nanos(wall) - steady).max(-to_millis(steady));
        let is_believed = boot.saturating_sub(since) >= BELIEVED_AFTER;
        is_believed.then_some(offset)
    }

    /// Corrects the time by another offset.
    pub fn correct(&mut self, offset: i64) {
        self.offset = offset;
        self.episode = None;
    }
}

/// Whole milliseconds, rounded down, so that what is kept in milliseconds moves with the time exactly.
fn to_millis(nanos: i128) -> i64 {
    let millis = nanos.div_euclid(NANOS_PER_MILLI);
    let bound = i128::from(i64::MAX);
    i64::try_from(millis.clamp(-bound, bound)).unwrap_or_default()
}

#[cfg(all(test, not(wal_shuttle)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const DAY: u64 = 86_400;
    const START: u64 = 20_000 * DAY;

    /// A machine with a wall clock that somebody sets.
    #[derive(Clone, Copy)]
    struct Machine {
        boot: Duration,
        wall: i128,
        clock: AnchoredClock,
    }

    impl Machine {
        fn new() -> Self {
            let wall = Duration::from_secs(START);
            Self {
                boot: SECOND,
                wall: nanos(wall),
                clock: AnchoredClock::new(wall, SECOND, Duration::ZERO),
            }
        }

        fn pass(&mut self, time: Duration) {
            self.boot += time;
            self.wall += nanos(time);
        }

        fn wall(&self) -> Duration {
            Duration::from_micros(u64::try_from(self.wall / 1000).unwrap_or_default())
        }

        fn observe(&mut self) -> Option<i64> {
            self.clock.observe(self.wall(), self.boot)
        }

        /// Each second for some of them; how many seconds passed before it proposed a correction.
        fn watch(&mut self, seconds: u32) -> Option<u32> {
            for second in 0..seconds {
                if self.observe().is_some() {
                    return Some(second);
                }
                self.pass(SECOND);
            }
            None
        }
    }

    #[test]
    fn a_short_jump_changes_nothing_and_is_counted() {
        let mut machine = Machine::new();
        let ten_years = nanos(SECOND * 3650 * 86_400);
        for (jumps, by) in [(1, ten_years), (2, -ten_years), (3, 2_000_000_000)] {
            machine.wall += by;
            assert_eq!(machine.watch(10), None);
            machine.wall -= by;
            assert_eq!(machine.watch(30), None);
            assert_eq!(machine.clock.jumps(), jumps);
        }
        assert_eq!(machine.clock.time(machine.boot), machine.wall());
    }

    #[test]
    fn a_jump_that_stays_is_believed_after_ten_seconds_in_either_direction() {
        for by in [3_600_000, -3_600_000, 1001, -1001] {
            let mut machine = Machine::new();
            machine.wall += i128::from(by) * NANOS_PER_MILLI;
            assert_eq!(machine.watch(100), Some(10), "{by} ms");
            assert_eq!(machine.observe(), Some(by), "until it is corrected");
            machine.clock.correct(by);
            assert_eq!(machine.clock.time(machine.boot), machine.wall());
            assert_eq!((machine.watch(100), machine.clock.jumps()), (None, 1));
        }
    }

    #[test]
    fn a_small_difference_is_none() {
        for by in [1_000_000_000, -1_000_000_000, 300_000_000] {
            let mut machine = Machine::new();
            machine.wall += by;
            assert_eq!(machine.watch(100), None);
            assert_eq!(machine.clock.jumps(), 0);
        }
    }

    #[test]
    fn who_looks_seldom_has_to_see_the_difference_at_both_ends() {
        let mut machine = Machine::new();
        machine.pass(SECOND * 3600);
        machine.wall += 5_000_000_000;
        assert_eq!(machine.observe(), None, "it may have begun just now");
        machine.pass(SECOND * 3600);
        assert_eq!(machine.observe(), Some(5000));
        // Away and back in between: what is seen then is another jump.
        let mut machine = Machine::new();
        machine.wall += 5_000_000_000;
        assert_eq!(machine.observe(), None);
        machine.pass(SECOND * 9);
        machine.wall += 60_000_000_000;
        assert_eq!(machine.observe(), None);
        machine.pass(SECOND);
        assert_eq!(machine.observe(), None);
        machine.pass(SECOND * 9);
        assert_eq!(
            (machine.observe(), machine.clock.jumps()),
            (Some(65_000), 2)
        );
    }

    #[test]
    fn it_begins_no_earlier_than_what_is_known() {
        let (wall, known) = (Duration::from_secs(50), Duration::from_secs(70));
        let mut clock = AnchoredClock::new(wall, SECOND, known);
        assert_eq!(clock.time(SECOND), known);
        assert_eq!(clock.difference(wall, SECOND), -20_000);
        assert_eq!(clock.observe(wall, SECOND), None);
        let (wall, boot) = (wall + SECOND * 10, SECOND * 11);
        assert_eq!(clock.observe(wall, boot), Some(-20_000));
        clock.correct(-20_000);
        assert_eq!(
            (clock.time(boot), clock.steady(boot)),
            (wall, known + SECOND * 10)
        );
    }

    #[test]
    fn clocks_at_the_ends_of_what_can_be_shown_do_no_harm() {
        let ends = [
            Duration::ZERO,
            Duration::from_millis(u64::MAX),
            Duration::MAX,
        ];
        for wall in ends {
            for known in ends {
                let mut clock = AnchoredClock::new(wall, Duration::MAX, known);
                for other in ends {
                    for boot in ends {
                        if let Some(offset) = clock.observe(other, boot) {
                            clock.correct(offset);
                        }
                        std::hint::black_box((clock.time(boot), clock.difference(other, boot)));
                    }
                }
            }
        }
    }

    proptest! {
        /// Random jumps, observed at random times: the time goes on with the boot-time clock except where it is corrected; a
        /// correction agrees with the wall clock and comes only ten seconds after the jump; a jump that stays is corrected.
        #[test]
        fn it_follows_the_boot_clock_until_the_wall_clock_is_believed(
            steps in proptest::collection::vec((0..4_000_u64, -20_000..20_000_i64, 0..4_u8), 1..100),
        ) {
            let mut machine = Machine::new();
            let mut jumped_at = machine.boot;
            let begun = machine;
            for (pass, jump, kind) in steps {
                let before = machine;
                machine.pass(Duration::from_micros(pass * 997));
                if kind == 0 {
                    machine.wall += i128::from(jump) * NANOS_PER_MILLI;
                    if jump.abs() > 1000 {
                        jumped_at = machine.boot;
                    }
                }
                let passed = machine.boot.saturating_sub(before.boot);
                prop_assert_eq!(machine.clock.time(machine.boot), before.clock.time(before.boot) + passed);
                let Some(offset) = machine.observe() else { continue };
                prop_assert!(machine.boot.saturating_sub(jumped_at) >= BELIEVED_AFTER);
                machine.clock.correct(offset);
                let off = nanos(machine.wall()) - nanos(machine.clock.time(machine.boot));
                prop_assert!((0..NANOS_PER_MILLI).contains(&off), "{off} ns");
            }
            let since = machine.boot.saturating_sub(begun.boot);
            prop_assert_eq!(machine.clock.steady(machine.boot), begun.wall() + since);
            if let Some(waited) = machine.watch(12) {
                prop_assert!(waited <= 10);
                let offset = machine.observe().expect("it was proposed");
                machine.clock.correct(offset);
            }
            let off = nanos(machine.wall()) - nanos(machine.clock.time(machine.boot));
            prop_assert!(off.abs() <= TOLERANCE, "{off} ns");
        }
    }
}
