//! Ranges of seeds as people write them: `0..200`, `0..=199`, `7`.

/// Seeds that follow each other; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    first: u64,
    count: u64,
}

/// Seeds of one command at most: what is kept per run grows with them.
const SEEDS_MAX: u64 = 1_000_000;

impl Seeds {
    /// One seed.
    pub const fn one(seed: u64) -> Self {
        Self { first: seed, count: 1 }
    }

    /// Reads `0..200` (200 seeds), `0..=199` (the same) or `7`.
    ///
    /// # Errors
    /// If the text is no range, or holds no seed or too many.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            part.trim()
                .parse::<u64>()
                .map_err(|_| format!("`{text}` is no range of seeds, e.g. 0..200"))
        };
        let Some((from, to)) = text.split_once("..") else { return Ok(Self::one(number(text)?)) };
        let (first, end) = match to.strip_prefix('=') {
            Some(to) => (number(from)?, number(to)?.saturating_add(1)),
            None => (number(from)?, number(to)?),
        };
        match end.saturating_sub(first) {
            0 => Err(format!("`{text}` holds no seed: the end is not included, e.g. 0..200")),
            count if count > SEEDS_MAX => {
                Err(format!("`{text}`: {count} seeds, at most {SEEDS_MAX} at once"))
            }
            count => Ok(Self { first, count }),
        }
    }

    /// How many seeds.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The seed at this place.
    pub fn get(&self, index: u64) -> Option<u64> {
        (index < self.count).then(|| self.first.saturating_add(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ranges_and_refuses_what_holds_no_seed() {
        let good = [("0..200", 0, 200), ("0..=199", 0, 200), ("7", 7, 1), (" 3 .. 5 ", 3, 2)];
        for (text, first, count) in good {
            let seeds = Seeds::parse(text).unwrap();
            assert_eq!((seeds.get(0), seeds.count()), (Some(first), count), "{text}");
            assert_eq!(seeds.get(count), None, "{text}");
        }
        for bad in ["", "..", "5..5", "9..3", "a..b", "-1..4", "1..2..3", "0..1000001"] {
            assert!(Seeds::parse(bad).is_err(), "{bad}");
        }
    }
}
