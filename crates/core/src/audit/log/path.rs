//! Hash tiles and entry bundles by name (C2SP tlog-tiles, "Merkle Tree" and "Log entries").
//!
//! `tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]`: `L` is the level without leading zeroes, `N` the place within
//! the level in groups of three digits, all but the last with an `x` in front (1234067 is `x001/x234/067`), and `W` the
//! width, 1 to 255, of what is not full. A name has one spelling; nothing else is read.

use super::{MAX_SIZE, TILE_HEIGHT, TILE_WIDTH};
use std::fmt;

/// The longest name there can be below `tile/`: level, six groups of digits, width.
const MAX_LEN: usize = 48;
/// The highest level that a name can have.
const MAX_LEVEL: u8 = 63;

/// Which of a level's tiles, or which of the bundles, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    number: u64,
    width: u16,
}

impl Place {
    /// The `number`-th, of that width; `None` if the width is not 1 to 256 or nothing can be so far out.
    #[must_use]
    pub fn new(number: u64, width: u64) -> Option<Self> {
        let possible = (1..=TILE_WIDTH).contains(&width) && number < MAX_SIZE / TILE_WIDTH;
        let width = u16::try_from(width).ok()?;
        possible.then_some(Self { number, width })
    }

    /// Its number, from 0.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// How many hashes or entries it has.
    #[must_use]
    pub const fn width(&self) -> u64 {
        self.width as u64
    }

    /// Whether nothing can be added to it.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.width() == TILE_WIDTH
    }

    /// The index of its first hash or entry among all of its kind.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.number * TILE_WIDTH
    }

    /// The index behind its last.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.first() + self.width()
    }

    fn parse(text: &str) -> Option<Self> {
        let (digits, width) = match text.split_once(".p/") {
            Some((digits, width)) => (digits, canonical(width, TILE_WIDTH - 1)?),
            None => (text, TILE_WIDTH),
        };
        let mut number = 0u64;
        let mut groups = digits.split('/').peekable();
        while let Some(group) = groups.next() {
            let last = groups.peek().is_none();
            let group = if last {
                group
            } else {
                group.strip_prefix('x')?
            };
            let of_digits = group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit());
            let group: u64 = group.parse().ok().filter(|_| of_digits)?;
            number = number.checked_mul(1000)?.checked_add(group)?;
        }
        let place = Self::new(number, width)?;
        // One spelling: no groups of zeroes in front.
        (place.to_string() == text).then_some(place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut groups) = (self.number, Vec::new());
        loop {
            groups.push(rest % 1000);
            rest /= 1000;
            if rest == 0 {
                break;
            }
        }
        while let Some(group) = groups.pop() {
            if groups.is_empty() {
                write!(f, "{group:03}")?;
            } else {
                write!(f, "x{group:03}/")?;
            }
        }
        if self.is_full() {
            Ok(())
        } else {
            write!(f, ".p/{}", self.width)
        }
    }
}

/// A number from 0 to `most` as it must be written.
fn canonical(text: &str, most: u64) -> Option<u64> {
    let number: u64 = text.parse().ok().filter(|number| *number <= most)?;
    (number.to_string() == text).then_some(number)
}

/// A hash tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashTile {
    /// Its level, from 0: leaf hashes.
    pub level: u8,
    /// Which of that level.
    pub place: Place,
}

impl HashTile {
    /// Reads what stands behind `tile/`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LEN {
            return None;
        }
        let (level, place) = text.split_once('/')?;
        Some(Self {
            level: u8::try_from(canonical(level, MAX_LEVEL.into())?).ok()?,
            place: Place::parse(place)?,
        })
    }

    /// Whether a tree of that size has it.
    #[must_use]
    pub fn is_of(&self, size: u64) -> bool {
        self.place.end() <= hashes_at(self.level, size)
    }
}

impl fmt::Display for HashTile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/{}", self.level, self.place)
    }
}

/// How many hashes all tiles of a level have together in a tree of that size.
#[must_use]
pub fn hashes_at(level: u8, size: u64) -> u64 {
    let height = u32::from(level) * u32::from(TILE_HEIGHT);
    size.checked_shr(height).unwrap_or(0)
}

/// An entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryBundle(pub Place);

impl EntryBundle {
    /// Reads what stands behind `tile/entries/`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LEN {
            return None;
        }
        Place::parse(text).map(Self)
    }

    /// Whether a tree of that size has it.
    #[must_use]
    pub const fn is_of(&self, size: u64) -> bool {
        self.0.end() <= size
    }
}

impl fmt::Display for EntryBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/entries/{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_of_the_specification() {
        let tile = |level, number, width| HashTile {
            level,
            place: Place::new(number, width).expect("a place"),
        };
        assert_eq!(tile(0, 1_234_067, 256).to_string(), "tile/0/x001/x234/067");
        assert_eq!(tile(1, 0, 17).to_string(), "tile/1/000.p/17");
        let bundle = EntryBundle(Place::new(273, 112).expect("a place"));
        assert_eq!(bundle.to_string(), "tile/entries/273.p/112");
        assert_eq!(HashTile::parse("1/000.p/17"), Some(tile(1, 0, 17)));
        assert_eq!(EntryBundle::parse("273.p/112"), Some(bundle));
    }

    #[test]
    fn what_is_spelt_otherwise_is_no_name() {
        for text in [
            "",
            "0",
            "0/",
            "00/000",
            "+0/000",
            "64/000",
            "entries/000",
            "0/1",
            "0/0001",
            "0/x000/001",
            "0/001/002",
            "0/x001/x002",
            "0/X001/002",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p/",
            "0/000.p",
            "0/000.p/1/",
            "0/000/",
            "0//000",
            "0/-01",
            "0/+01",
            "0/000.p/1.p/1",
            "0/٠٠٠",
            "0/x999/x999/x999/x999/x999/999",
            "0/x018/x446/x744/x073/x709/x551/616",
        ] {
            assert_eq!(HashTile::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_tree_of_70_000_has_the_tiles_that_the_specification_counts() {
        let has = |level, number, width| {
            let place = Place::new(number, width).expect("a place");
            HashTile { level, place }.is_of(70_000)
        };
        assert!(has(0, 272, 256) && has(0, 273, 112) && !has(0, 273, 113));
        assert!(has(1, 0, 256) && has(1, 1, 17) && !has(1, 1, 18));
        assert!(has(2, 0, 1) && !has(2, 0, 2) && !has(3, 0, 1) && !has(63, 0, 1));
    }

    proptest! {
        #[test]
        fn names_round_trip(level in 0u8..=63, number in 0..MAX_SIZE / TILE_WIDTH, width in 1..=TILE_WIDTH) {
            let place = Place::new(number, width).expect("a place");
            let tile = HashTile { level, place };
            let text = tile.to_string();
            prop_assert_eq!(HashTile::parse(text.strip_prefix("tile/").expect("below")), Some(tile));
            let bundle = EntryBundle(place);
            let text = bundle.to_string();
            prop_assert_eq!(EntryBundle::parse(text.strip_prefix("tile/entries/").expect("below")), Some(bundle));
        }

        #[test]
        fn what_is_read_is_written_the_same(text in "[0-9x/.p]{0,24}|.{0,60}") {
            if let Some(tile) = HashTile::parse(&text) {
                prop_assert_eq!(tile.to_string(), format!("tile/{text}"));
            }
            if let Some(bundle) = EntryBundle::parse(&text) {
                prop_assert_eq!(bundle.to_string(), format!("tile/entries/{text}"));
            }
        }
    }
}
