//! Which segments of a group have a term: an inverted index, cut by term into [`SLICES`] parts.
//!
//! A slice is a row of its own, so that whoever looks for one term reads one row of each group. It is a list of entries in
//! the order of their terms: the term (5 bytes, big-endian), how many segments have it, then their ordinals within
//! the group, ascending, the first as it is and each other as its distance from the one before. Numbers are LEB128.

use super::terms::{TERM_BYTES, Term};
use crate::wire::Malformed;

/// Into how many slices a group's postings are cut.
pub const SLICES: u8 = 32;

/// In which slice a term is: its five highest bits.
#[must_use]
pub fn slice_of(term: Term) -> u8 {
    let [first, ..] = term.to_bytes();
    first >> 3
}

/// Collects which segment has which terms.
#[derive(Default)]
pub struct Builder(Vec<u64>);

impl Builder {
    /// The segment of that ordinal has `term`.
    pub fn add(&mut self, term: Term, ordinal: u16) {
        self.0.push((term.number() << 16) | u64::from(ordinal));
    }

    /// The slices that are not empty, with their numbers.
    #[must_use]
    pub fn slices(mut self) -> Vec<(u8, Vec<u8>)> {
        let term_of = |pair: u64| Term::from_number(pair >> 16);
        self.0.sort_unstable();
        self.0.dedup();
        let mut slices = Vec::new();
        let of_slice = |a: &u64, b: &u64| slice_of(term_of(*a)) == slice_of(term_of(*b));
        for pairs in self.0.chunk_by(of_slice) {
            let mut bytes = Vec::new();
            let mut slice = 0;
            for entry in pairs.chunk_by(|a, b| a >> 16 == b >> 16) {
                let ordinals = entry.iter().map(|pair| pair & 0xffff);
                if let Some(pair) = entry.first() {
                    let term = term_of(*pair);
                    slice = slice_of(term);
                    bytes.extend(term.to_bytes());
                }
                put_ascending(ordinals, &mut bytes);
            }
            slices.push((slice, bytes));
        }
        slices
    }
}

/// The ordinals of the segments that have `term`, from the slice that it is in.
pub fn find(mut slice: &[u8], term: Term) -> Result<Vec<u64>, Malformed> {
    while let Some((at, rest)) = slice.split_first_chunk::<TERM_BYTES>() {
        let at = Term::from_bytes(*at);
        slice = rest;
        if at == term {
            return ascending(&mut slice);
        }
        if at > term {
            return Ok(Vec::new());
        }
        for _ in 0..number(&mut slice)? {
            number(&mut slice)?;
        }
    }
    if slice.is_empty() {
        Ok(Vec::new())
    } else {
        Err(Malformed)
    }
}

/// Ascending numbers: how many, the first, and the distances.
pub fn put_ascending(numbers: impl ExactSizeIterator<Item = u64>, bytes: &mut Vec<u8>) {
    put_number(numbers.len() as u64, bytes);
    let mut before = 0;
    for number in numbers {
        put_number(number.saturating_sub(before), bytes);
        before = number;
    }
}

/// Reads them back, and leaves what is behind them.
pub fn ascending(bytes: &mut &[u8]) -> Result<Vec<u64>, Malformed> {
    let count = number(bytes)?;
    let mut numbers = Vec::new();
    let mut before = 0u64;
    for _ in 0..count {
        before = before.checked_add(number(bytes)?).ok_or(Malformed)?;
        numbers.push(before);
    }
    Ok(numbers)
}

fn put_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn number(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0u64;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn golden_bytes() {
        let mut builder = Builder::default();
        let term = |number| Term::from_number(number);
        for ordinal in [300, 2, 2] {
            builder.add(term(7), ordinal);
        }
        builder.add(term(5), 0);
        builder.add(term(u64::MAX), 1);
        let first = [&[0, 0, 0, 0, 5, 1, 0][..], &[0, 0, 0, 0, 7, 2, 2, 0xaa, 2]].concat();
        let last = vec![255, 255, 255, 255, 255, 1, 1];
        assert_eq!(builder.slices(), [(0, first), (31, last)]);
    }

    proptest! {
        #[test]
        fn each_term_has_the_segments_that_were_added_and_no_other_has_any(
            pairs in prop::collection::vec((0u64..200, 0u16..600), 0..300),
        ) {
            // Spread over all slices.
            let term = |n: u64| Term::from_number(n * (1 << 40) / 200);
            let mut builder = Builder::default();
            let mut model: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
            for (n, ordinal) in pairs {
                builder.add(term(n), ordinal);
                model.entry(n).or_default().insert(u64::from(ordinal));
            }
            let slices: BTreeMap<u8, Vec<u8>> = builder.slices().into_iter().collect();
            for n in 0..200 {
                let slice = slices.get(&slice_of(term(n)));
                let found = slice.map_or(Ok(Vec::new()), |slice| find(slice, term(n)));
                let expected = model.get(&n).into_iter().flatten().copied().collect();
                prop_assert_eq!(found, Ok(expected));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, number: u64) {
            let _ = find(&bytes, Term::from_number(number));
            let _ = ascending(&mut &*bytes);
        }
    }
}
