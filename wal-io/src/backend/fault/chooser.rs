//! Where choices come from: one trait, so that a run is the same whether its choices are drawn from a
//! seed, enumerated, replayed or taken from a fuzzer. Absent: what the choices are about.

use std::sync::{Arc, Mutex, PoisonError};

/// A source of choices. The same answers give the same run.
///
/// By convention 0 is the mildest answer: nothing that was not synced has survived, nothing happens in
/// the background. So a failing run is made smaller by replacing choices with 0 and dropping the
/// tail of the script.
pub trait Chooser {
    /// A number in `0..n`. Asked only with `n` of at least 2.
    fn choose(&mut self, n: u32) -> u32;

    /// The answers given so far, as a [`Script`] takes them.
    fn trace(&self) -> Vec<u32>;
}

/// One chooser for several askers: for a machine while it runs, say, and for its crashes.
impl<C: Chooser> Chooser for Arc<Mutex<C>> {
    fn choose(&mut self, n: u32) -> u32 {
        self.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .choose(n)
    }

    fn trace(&self) -> Vec<u32> {
        self.lock().unwrap_or_else(PoisonError::into_inner).trace()
    }
}

/// Asks only where there is something to choose.
pub(super) fn pick(chooser: &mut dyn Chooser, n: usize) -> usize {
    if n < 2 {
        return 0;
    }
    let answer = chooser.choose(n as u32) as usize;
    assert!(
        answer < n,
        "a chooser answered {answer}, asked for a number below {n}"
    );
    answer
}

/// Pseudo-random choices from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Seeded {
    state: u64,
    mood: Option<Mood>,
    trace: Vec<u32>,
}

/// What a [`Seeded::streaky`] chooser is inclined to.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Even,
    First,
    Last,
}

impl Seeded {
    /// Every answer equally likely.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed,
            mood: None,
            trace: Vec::new(),
        }
    }

    /// Answers come in streaks of first, last and any. Drawn evenly, twenty sectors are never all lost
    /// and never all kept; the states that break programs are often almost one or the other.
    #[must_use]
    pub fn streaky(seed: u64) -> Self {
        Self {
            state: seed,
            mood: Some(Mood::Even),
            trace: Vec::new(),
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    fn below(&mut self, n: u32) -> u32 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u32
    }
}

/// The finaliser of SplitMix64.
pub(super) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Chooser for Seeded {
    fn choose(&mut self, n: u32) -> u32 {
        if self.mood.is_some() && self.below(12) == 0 {
            self.mood = Some(match self.below(3) {
                0 => Mood::First,
                1 => Mood::Last,
                _ => Mood::Even,
            });
        }
        let any = self.below(n);
        let inclined = if self.mood.is_some() && self.below(16) != 0 {
            self.mood
        } else {
            None
        };
        let answer = match inclined {
            Some(Mood::First) => 0,
            Some(Mood::Last) => n - 1,
            Some(Mood::Even) | None => any,
        };
        self.trace.push(answer);
        answer
    }

    fn trace(&self) -> Vec<u32> {
        self.trace.clone()
    }
}

/// Every sequence of choices, once each: depth-first over the tree of choices, by running the same
/// thing again and again.
///
/// ```
/// use wal_io::fault::{Chooser, Exhaustive};
///
/// let mut seen = Vec::new();
/// let mut choices = Exhaustive::new();
/// while choices.next_run() {
///     let first = choices.choose(2);
///     seen.push((first, if first == 1 { choices.choose(3) } else { 0 }));
/// }
/// assert_eq!(seen, [(0, 0), (1, 0), (1, 1), (1, 2)]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Exhaustive {
    /// The answers of this run, and how many there were to choose from at each.
    answers: Vec<u32>,
    widths: Vec<u32>,
    /// Answers given in this run.
    given: usize,
    started: bool,
}

impl Exhaustive {
    /// Before the first run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the next run; false when there is none left.
    ///
    /// # Panics
    ///
    /// If the last run asked less than the one before it had before they were to differ.
    pub fn next_run(&mut self) -> bool {
        if !self.started {
            self.started = true;
            return true;
        }
        assert!(
            self.given == self.answers.len(),
            "the run is not deterministic: it asked less"
        );
        self.given = 0;
        while let (Some(answer), Some(width)) = (self.answers.pop(), self.widths.pop()) {
            if answer + 1 < width {
                self.answers.push(answer + 1);
                self.widths.push(width);
                return true;
            }
        }
        false
    }
}

impl Chooser for Exhaustive {
    /// # Panics
    ///
    /// If the run is not the same as the last one up to here: then nothing would be exhaustive.
    fn choose(&mut self, n: u32) -> u32 {
        if self.given == self.answers.len() {
            self.answers.push(0);
            self.widths.push(n);
        }
        assert!(self.widths[self.given] == n, "the run is not deterministic");
        self.given += 1;
        self.answers[self.given - 1]
    }

    fn trace(&self) -> Vec<u32> {
        self.answers[..self.given].to_vec()
    }
}

/// Choices given beforehand, 0 after their end: replays what [`Chooser::trace`] told.
#[derive(Debug, Clone, Default)]
pub struct Script {
    script: Vec<u32>,
    trace: Vec<u32>,
}

impl Script {
    /// Answers with the numbers of `script` in order, each reduced to what is possible there.
    #[must_use]
    pub fn new(script: Vec<u32>) -> Self {
        Self {
            script,
            trace: Vec::new(),
        }
    }
}

impl Chooser for Script {
    fn choose(&mut self, n: u32) -> u32 {
        let answer = self
            .script
            .get(self.trace.len())
            .map_or(0, |answer| answer % n);
        self.trace.push(answer);
        answer
    }

    fn trace(&self) -> Vec<u32> {
        self.trace.clone()
    }
}

/// Choices from the input of a fuzzer: a byte for up to 256 answers, four for more, 0 after the end.
#[derive(Debug, Clone)]
pub struct Bytes<'a> {
    input: &'a [u8],
    trace: Vec<u32>,
}

impl<'a> Bytes<'a> {
    /// Takes choices from `input`.
    #[must_use]
    pub fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            trace: Vec::new(),
        }
    }
}

impl Chooser for Bytes<'_> {
    fn choose(&mut self, n: u32) -> u32 {
        let take = if n <= 256 { 1 } else { 4 }.min(self.input.len());
        let (head, rest) = self.input.split_at(take);
        self.input = rest;
        let answer = head
            .iter()
            .fold(0u32, |sum, byte| (sum << 8) | u32::from(*byte))
            % n;
        self.trace.push(answer);
        answer
    }

    fn trace(&self) -> Vec<u32> {
        self.trace.clone()
    }
}
