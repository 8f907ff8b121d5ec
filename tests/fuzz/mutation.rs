//! Inputs made of real ones: cut, joined, repeated, nested, and with single bytes changed.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

/// What parsers stumble over more often than over anything else.
const AWKWARD: [&[u8]; 22] = [
    b"",
    b"\0",
    b"\xff",
    b"\xc3",
    b"\xe2\x80\xa8",
    b"\xf0\x9f\x92\xa9",
    b"\r",
    b"\n",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"0",
    b"-1",
    b"1e999",
    b"-1e309",
    b"nan",
    b"99999999999999999999",
    b"18446744073709551616",
    b"null",
    b"{}",
    b"[]",
];

/// What opens something that has to be closed again.
const OPENINGS: [&[u8]; 6] = [b"[", b"{\"a\":", b"{\"message\":", b"- ", b"{a: ", b"1\r\na\r\n"];

/// As deep as this no stack may be exhausted, whatever it is that is nested.
const DEEPEST: usize = 50_000;

/// Makes inputs from a corpus, always the same ones from the same seed.
pub struct Mutations<'c> {
    random: StdRng,
    corpus: &'c [&'c [u8]],
}

impl<'c> Mutations<'c> {
    pub fn new(seed: u64, corpus: &'c [&'c [u8]]) -> Self {
        Self { random: StdRng::seed_from_u64(seed), corpus }
    }

    /// The next input.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.example().to_vec();
        for _ in 0..self.random.random_range(0..6) {
            self.mutate(&mut input);
        }
        input
    }

    /// Where to cut so many bytes, in order.
    pub fn cuts(&mut self, length: usize) -> Vec<usize> {
        let mut cuts: Vec<_> =
            (0..self.random.random_range(0..6)).map(|_| self.random.random_range(0..=length)).collect();
        cuts.sort_unstable();
        cuts
    }

    /// One of so many, each as often as any other.
    pub fn index(&mut self, length: usize) -> usize {
        self.random.random_range(0..length)
    }

    fn example(&mut self) -> &'c [u8] {
        self.corpus.choose(&mut self.random).copied().unwrap_or_default()
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let (from, to) = self.range(input.len());
        match self.random.random_range(0..8) {
            0 => drop(input.drain(from..to)),
            1 => {
                let piece = input[from..to].to_vec();
                let times = self.random.random_range(1..5);
                input.splice(to..to, piece.repeat(times));
            }
            2 => {
                let other = self.example();
                let (start, end) = self.range(other.len());
                input.splice(from..to, other[start..end].iter().copied());
            }
            3 => {
                let awkward = *AWKWARD.choose(&mut self.random).unwrap();
                input.splice(from..from, awkward.iter().copied());
            }
            4 => {
                let awkward = *AWKWARD.choose(&mut self.random).unwrap();
                input.splice(from..to, awkward.iter().copied());
            }
            5 if from < input.len() => input[from] ^= 1 << self.random.random_range(0..8),
            6 if from < input.len() => input[from] = self.random.random(),
            // Rarely, because it is long.
            7 if self.random.random_range(0..20) == 0 => {
                let opening = *OPENINGS.choose(&mut self.random).unwrap();
                let depth = self.random.random_range(1..DEEPEST);
                input.splice(from..from, opening.repeat(depth));
            }
            _ => {}
        }
    }

    fn range(&mut self, length: usize) -> (usize, usize) {
        let (one, other) = (self.random.random_range(0..=length), self.random.random_range(0..=length));
        (one.min(other), one.max(other))
    }
}
