//! Deterministic numbers (SplitMix64), so that a seed gives the same rounds on every machine.

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

/// Spreads the bits of a number over all 64 bits.
#[must_use]
pub fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

impl Numbers {
    /// The stream of these seeds: of a run, a round, a life, a thread.
    #[must_use]
    pub fn of(seeds: &[u64]) -> Self {
        let join = |state: u64, seed: &u64| mix(state ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Self(seeds.iter().fold(0x5851_F42D_4C95_7F2D, join))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.any() % limit.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `percent` of a hundred calls.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of several things.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len() as u64) as usize]
    }

    /// The index of a weight, as often as the weight says.
    pub fn weighed(&mut self, weights: &[u32]) -> usize {
        let mut at = self.below(weights.iter().map(|weight| u64::from(*weight)).sum());
        for (index, weight) in weights.iter().enumerate() {
            match at.checked_sub(u64::from(*weight)) {
                Some(left) => at = left,
                None => return index,
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seeds_give_the_same_numbers_and_others_give_others() {
        let four = |seeds: &[u64]| {
            let mut numbers = Numbers::of(seeds);
            [(); 4].map(|()| numbers.any())
        };
        assert_eq!(four(&[1, 2]), four(&[1, 2]));
        assert_ne!(four(&[1, 2]), four(&[2, 1]));
    }

    #[test]
    fn a_weight_of_zero_is_never_chosen() {
        let mut numbers = Numbers::of(&[3]);
        let mut seen = [0; 3];
        for _ in 0..1000 {
            seen[numbers.weighed(&[3, 0, 1])] += 1;
        }
        assert_eq!(seen[1], 0);
        assert!(seen[0] > seen[2] && seen[2] > 0, "{seen:?}");
    }
}
