//! A hash for telling states apart: not for keys that somebody else chooses.

use std::hash::{BuildHasher, Hasher};

/// Multiplies 64 bits at a time and folds the 128 that come of it.
#[derive(Clone, Debug)]
pub struct Fast(u64);

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Default for Fast {
    fn default() -> Self {
        Self(0x243f_6a88_85a3_08d3)
    }
}

impl Fast {
    fn add(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word) * u128::from(ODD);
        self.0 = (wide as u64) ^ ((wide >> 64) as u64).rotate_left(29);
    }
}

impl Hasher for Fast {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word) ^ (chunk.len() as u64) << 56);
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.add(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.add(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.add(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.add(n as u64);
    }

    fn finish(&self) -> u64 {
        let mut last = self.clone();
        last.add(ODD);
        last.add(!ODD);
        last.0
    }
}

/// For a set of numbers that are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsIs;

/// See [`AsIs`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Hash(u64);

impl BuildHasher for AsIs {
    type Hasher = Hash;

    fn build_hasher(&self) -> Hash {
        Hash(0)
    }
}

impl Hasher for Hash {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
