//! Which lines of a segment an address may be of: a byte for each, so that whoever looks for an address opens few of them.
//!
//! An address lies sealed in its line, and to open a line costs more than all else that is done with it in a search. So a segment
//! keeps beside its [terms](super::terms) a fingerprint of each of its lines: the lowest byte of the terms' keyed hash of the line's index (8 bytes,
//! big-endian) and its address, or of nothing where it has none. The bytes stand in the order of the lines.
//!
//! - **It says which lines to open, never that one fits.** One of 256 lines with another address has the same fingerprint. Where
//!   fingerprints are not known, or there are not as many as lines, all are opened.
//! - **Without the key it says nothing.** The index is in the hash: two lines with one address have fingerprints that have nothing to do with each other, and a line
//!   without an address looks like one that has some.
//! - **It stays when a person is erased,** as terms do. What that tells whoever has the key is in docs/adr/0026.

use super::query::Filter;
use super::terms::TermKey;

/// What each line begins with.
const INDEX: &str = "{\"index\":";

/// The fingerprints of a segment's lines, as they are stored.
pub struct Fingerprints {
    first_index: u64,
    bytes: Vec<u8>,
}

impl Fingerprints {
    /// Those of the `count` lines from `first_index` on; `None` if these are not so many.
    #[must_use]
    pub fn of_lines(first_index: u64, count: u64, bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() as u64 == count).then_some(Self { first_index, bytes })
    }

    fn at(&self, index: u64) -> Option<u8> {
        let at = index.checked_sub(self.first_index)?;
        self.bytes.get(usize::try_from(at).ok()?).copied()
    }
}

/// An address that is looked for.
pub struct Wanted<'a> {
    key: &'a TermKey,
    address: &'a str,
}

impl<'a> Wanted<'a> {
    /// That of a filter, if it has one.
    #[must_use]
    pub fn of(key: &'a TermKey, filter: &'a Filter) -> Option<Self> {
        let address = filter.ip.as_deref()?;
        Some(Self { key, address })
    }

    /// Whether `line` may have it; what is not known may.
    #[must_use]
    pub fn may_be_in(&self, line: &str, known: &Fingerprints) -> bool {
        let fits = |index| Some(known.at(index)? == self.key.fingerprint(index, self.address));
        index_of(line).and_then(fits).unwrap_or(true)
    }
}

/// The index of a line, without reading it as JSON.
fn index_of(line: &str) -> Option<u64> {
    let (index, _) = line.strip_prefix(INDEX)?.split_once(',')?;
    index.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Action, Actor, Event, Outcome};
    use crate::audit::line::{Position, render};
    use crate::id::ProducerId;
    use crate::time::UnixMillis;

    fn key() -> TermKey {
        TermKey::derive(&[1; 32])
    }

    fn line(index: u64) -> String {
        let event = Event::new(
            UnixMillis(5),
            Action::Kill,
            Outcome::Success,
            Actor::Anonymous,
        );
        let position = Position {
            index,
            lane: 0,
            producer: ProducerId::from_bytes([3; 16]),
            sequence: 1,
            received: UnixMillis(5),
            committed: UnixMillis(5),
        };
        render(&event, None, None, &position).expect("renders")
    }

    fn filter(address: &str) -> Filter {
        Filter {
            ip: Some(address.to_owned()),
            ..Filter::default()
        }
    }

    fn fingerprints(first_index: u64, addresses: &[&str]) -> Fingerprints {
        let bytes = (first_index..).zip(addresses);
        let bytes = bytes.map(|(index, address)| key().fingerprint(index, address));
        let count = addresses.len() as u64;
        Fingerprints::of_lines(first_index, count, bytes.collect()).expect("so many")
    }

    #[test]
    fn fingerprints_stay_what_they_are() {
        let known = fingerprints(1 << 40, &["192.0.2.1", "192.0.2.1", "2001:db8::1", ""]);
        assert_eq!(known.bytes, GOLDEN);
        assert_ne!(
            TermKey::derive(&[2; 32]).fingerprint(1 << 40, "192.0.2.1"),
            GOLDEN[0]
        );
    }

    /// Reckoned by another implementation of `SipHash`.
    const GOLDEN: [u8; 4] = [212, 107, 99, 67];

    #[test]
    fn a_line_that_has_the_address_is_never_passed_over_and_of_others_most_are() {
        let key = key();
        let wanted = filter("192.0.2.1");
        let wanted = Wanted::of(&key, &wanted).expect("an address");
        let first_index = 90_000;
        let others: Vec<String> = (0..4096).map(|n| format!("2001:db8::{n:x}")).collect();
        let mut addresses: Vec<&str> = others.iter().map(String::as_str).collect();
        for at in (0..4096).step_by(100) {
            addresses[at] = "192.0.2.1";
        }
        let known = fingerprints(first_index, &addresses);
        let mut opened = 0;
        for (index, address) in (first_index..).zip(&addresses) {
            let may = wanted.may_be_in(&line(index), &known);
            assert!(may || *address != "192.0.2.1");
            opened += u64::from(may);
        }
        // 41 that have it and about 16 that do not.
        assert!((41..80).contains(&opened), "{opened}");
    }

    #[test]
    fn without_the_key_equal_addresses_and_none_look_like_others() {
        let known = fingerprints(0, &vec!["192.0.2.1"; 4096]);
        let none = fingerprints(0, &vec![""; 4096]);
        for known in [known, none] {
            let mut counts = [0u32; 256];
            for byte in known.bytes {
                counts[usize::from(byte)] += 1;
            }
            // 16 of each, give or take.
            assert!(
                counts.iter().all(|count| (1..48).contains(count)),
                "{counts:?}"
            );
        }
    }

    #[test]
    fn what_is_not_known_may_be_anywhere() {
        let key = key();
        assert!(Wanted::of(&key, &Filter::default()).is_none());
        let wanted = filter("192.0.2.1");
        let wanted = Wanted::of(&key, &wanted).expect("an address");
        for (count, bytes) in [(3, vec![]), (3, vec![1, 2]), (3, vec![1; 4])] {
            assert!(Fingerprints::of_lines(7, count, bytes).is_none());
        }
        let another = key.fingerprint(7, "192.0.2.1") ^ 1;
        let known = Fingerprints::of_lines(7, 1, vec![another]).expect("so many");
        assert!(!wanted.may_be_in(&line(7), &known));
        for line in [&line(6), &line(8), "", "{", "{\"index\":x,", "{\"index\":7"] {
            assert!(wanted.may_be_in(line, &known));
        }
    }
}
