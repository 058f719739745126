//! A set of small numbers.

/// Numbers that were noted, a bit each.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers(Vec<u64>);

impl Numbers {
    /// Notes a number; whether it was new.
    pub(super) fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, 1 << (number % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    /// Whether it was noted.
    pub(super) fn has(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_takes_a_bit() {
        let mut numbers = Numbers::default();
        for number in [0, 63, 64, 100_000] {
            assert!(!numbers.has(number) && numbers.insert(number) && numbers.has(number), "{number}");
            assert!(!numbers.insert(number), "{number} is there");
        }
        assert!(![1, 62, 65, 127, 99_999, 100_001, 1 << 30].iter().any(|number| numbers.has(*number)));
        assert_eq!(numbers.0.len(), 100_000 / 64 + 1);
    }
}
