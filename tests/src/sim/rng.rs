//! Chance: from a seed (the same seed, the same history, on every machine), or from a script, so
//! that every history of a small scope can be told.

/// Where choices come from.
#[derive(Clone, Debug)]
pub enum Rng {
    /// xorshift64*: fast, and good enough to shuffle.
    Seeded(u64),
    Scripted(Script),
}

/// Choices made beforehand, each with how many there were to choose from.
#[derive(Clone, Debug, Default)]
pub struct Script {
    choices: Vec<(u32, u32)>,
    at: usize,
    /// Faults that may still happen.
    pub faults: u32,
}

impl Script {
    pub fn with_faults(faults: u32) -> Self {
        Self { faults, ..Self::default() }
    }

    /// These choices, and the first of whatever comes after them.
    pub fn of(choices: &[u32]) -> Self {
        // How many there were to choose from only matters to who goes on to the next outcome.
        let choices = choices.iter().map(|choice| (*choice, 0)).collect();
        Self { choices, ..Self::default() }
    }

    /// The choices made so far.
    pub fn made(&self) -> Vec<u32> {
        self.choices[..self.at].iter().map(|(choice, _)| *choice).collect()
    }

    fn choose(&mut self, of: usize) -> usize {
        if of <= 1 {
            return 0;
        }
        if self.at == self.choices.len() {
            self.choices.push((0, of as u32));
        }
        let (choice, _) = self.choices[self.at];
        self.at += 1;
        choice as usize
    }

    /// The script of the next outcome, with so many faults again; `None` after the last.
    pub fn next(mut self, faults: u32) -> Option<Self> {
        self.faults = faults;
        self.choices.truncate(self.at);
        while let Some((choice, of)) = self.choices.pop() {
            if choice + 1 < of {
                self.choices.push((choice + 1, of));
                self.at = 0;
                return Some(self);
            }
        }
        None
    }
}

impl Rng {
    pub fn new(seed: u64) -> Self {
        // splitmix64 spreads neighbouring seeds; xorshift must not start at 0.
        let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self::Seeded((z ^ (z >> 31)) | 1)
    }

    /// Any number. A script has none to choose from.
    pub fn draw(&mut self) -> u64 {
        let Self::Seeded(state) = self else { return 0 };
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        match self {
            Self::Scripted(script) => script.choose(n),
            Self::Seeded(_) if n == 0 => 0,
            Self::Seeded(_) => (self.draw() >> 33) as usize % n,
        }
    }

    /// True `permille` times in a thousand.
    pub fn chance(&mut self, permille: u32) -> bool {
        match (permille, &self) {
            (0, _) => false,
            (1000, _) => true,
            (_, Self::Scripted(_)) => self.below(2) == 1,
            (_, Self::Seeded(_)) => self.below(1000) < permille as usize,
        }
    }

    /// A chance of something bad; in a script there are only so many of those.
    pub fn fault(&mut self, permille: u32) -> bool {
        if let Self::Scripted(script) = self
            && (script.faults == 0 || permille == 0)
        {
            return false;
        }
        let happens = self.chance(permille);
        if let Self::Scripted(script) = self {
            script.faults -= u32::from(happens);
        }
        happens
    }

    /// A number that no rule is to depend on much: how long something takes. Nothing in a script.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        match self {
            Self::Scripted(_) => 0.clamp(low, high),
            Self::Seeded(_) => low + self.below((high - low + 1) as usize) as i64,
        }
    }
}
