//! Into how many feeds what was ended is spread.
//!
//! A layout is a number of feeds, its shards; a subject's entries are in one of them, wide ones in each.
//! To go from one number to another, both are written for a while: of several layouts all are
//! written and the first is read. So `1`, then `1,4`, then `4,1` and `4` changes it, each
//! step when the one before is everywhere.

use crate::id::SubjectKey;

/// The most feeds of a layout: a gateway asks all of them.
const MAX_SHARDS: u32 = 64;

/// The layouts that are written; the first is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layouts(Vec<u32>);

impl Layouts {
    /// Numbers separated by commas, none twice.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut layouts = Vec::new();
        for number in text.split(',') {
            let number = number.trim().parse().ok()?;
            if !(1..=MAX_SHARDS).contains(&number) || layouts.contains(&number) {
                return None;
            }
            layouts.push(number);
        }
        Some(Self(layouts))
    }

    /// The names of the feeds that are read.
    #[must_use]
    pub fn read(&self) -> Vec<String> {
        self.0.first().map(|of| shards(*of)).unwrap_or_default()
    }

    /// The names of all feeds that are written.
    #[must_use]
    pub fn written(&self) -> Vec<String> {
        self.0.iter().flat_map(|of| shards(*of)).collect()
    }

    /// The names of the feeds that a subject's entries are written to.
    #[must_use]
    pub fn of_subject(&self, subject: SubjectKey) -> Vec<String> {
        let bytes = subject.as_bytes();
        let hash = bytes
            .iter()
            .take(4)
            .fold(0, |hash, byte| (hash << 8) | u32::from(*byte));
        let names = self.0.iter().map(|of| shard(*of, hash % of));
        names.collect()
    }
}

impl Default for Layouts {
    /// One feed.
    fn default() -> Self {
        Self(vec![1])
    }
}

/// Of how many feeds the one of that name is which, counted from 0; `None` if it is no feed's name.
#[must_use]
pub fn place(name: &str) -> Option<(u32, u32)> {
    let (of, number) = name.split_once('-')?;
    let (of, number) = (of.parse().ok()?, number.parse().ok()?);
    (number < of && of <= MAX_SHARDS && name == shard(of, number)).then_some((of, number))
}

fn shards(of: u32) -> Vec<String> {
    (0..of).map(|number| shard(of, number)).collect()
}

fn shard(of: u32, number: u32) -> String {
    format!("{of}-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_and_nothing_else() {
        assert_eq!(Layouts::parse("1"), Some(Layouts::default()));
        let moving = Layouts::parse("1, 2").expect("parses");
        assert_eq!(moving.read(), ["1-0"]);
        assert_eq!(moving.written(), ["1-0", "2-0", "2-1"]);
        for bad in ["", "0", "65", "1,1", "1,", "x", "-1", "1;2"] {
            assert_eq!(Layouts::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_feeds_name_says_which_it_is_of_how_many() {
        assert_eq!(place("1-0"), Some((1, 0)));
        assert_eq!(place("64-63"), Some((64, 63)));
        for bad in [
            "", "1", "-", "0-0", "1-1", "65-0", "01-0", "1-00", "+1-0", "1-0-0",
        ] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_subject_is_in_one_feed_of_each_layout(key: [u8; 16], a in 1u32..=64, b in 1u32..=64) {
            prop_assume!(a != b);
            let layouts = Layouts::parse(&format!("{a},{b}")).expect("parses");
            let of = layouts.of_subject(SubjectKey::from_bytes(key));
            prop_assert_eq!(of.len(), 2);
            let written = layouts.written();
            prop_assert!(of.iter().all(|shard| written.contains(shard)));
            prop_assert!(layouts.read().contains(&of[0]));
        }
    }
}
