//! `disclosures.ndjson`: what opens the sealed fields of an export's lines, one line a key, in the order of their
//! indexes. Each must open its line. What is disclosed of which lines, and that nothing was left out, is not shown: a line
//! without a key may have been erased, or kept back.

use super::DISCLOSURES;
use super::fault::{Fault, Wrong};
use super::lines::{Line, Lines};
use crate::audit::personal::Disclosure;
use crate::audit::sealed::{LeafKey, SealedLine};
use std::io::{self, BufRead};

/// More than a disclosure has.
const MAX_BYTES: usize = 256;

/// Disclosures beside the lines that they open.
pub struct Disclosed<R> {
    keys: Lines<R>,
    /// The next, and where it stands; `None`: there is none.
    next: Option<(Line, Disclosure)>,
    opened: u64,
    faults: Vec<Fault>,
    more_faults: u64,
}

/// What was found.
pub struct Found {
    /// How many lines were opened.
    pub opened: u64,
    /// What is wrong, as far as it is told.
    pub faults: Vec<Fault>,
    /// How many faults more there are.
    pub more_faults: u64,
}

impl<R: BufRead> Disclosed<R> {
    /// The disclosures in that file.
    pub fn new(from: R) -> io::Result<Self> {
        let mut disclosed = Self {
            keys: Lines::new(from),
            next: None,
            opened: 0,
            faults: Vec::new(),
            more_faults: 0,
        };
        disclosed.step()?;
        Ok(disclosed)
    }

    /// The next line of the export; what is sealed in it, if that is disclosed.
    pub fn line(&mut self, line: &[u8]) -> io::Result<Option<(u64, String)>> {
        let Some((_, disclosure)) = &self.next else {
            return Ok(None);
        };
        let line = std::str::from_utf8(line).ok().and_then(SealedLine::parse);
        let Some(line) = line.filter(|line| line.index >= disclosure.index) else {
            return Ok(None);
        };
        // Those before have no line: they were passed.
        while let Some((_, disclosure)) = &self.next {
            if disclosure.index >= line.index {
                break;
            }
            self.wrong(Wrong::NothingToOpen);
            self.step()?;
        }
        let Some((_, disclosure)) = &self.next else {
            return Ok(None);
        };
        if disclosure.index > line.index {
            return Ok(None);
        }
        let key = LeafKey::from_text(&disclosure.key);
        let text = key.and_then(|key| line.disclosed(&key));
        match text {
            Some(_) => self.opened += 1,
            None => self.wrong(Wrong::NotOpened),
        }
        self.step()?;
        Ok(text.map(|text| (line.index, text)))
    }

    /// After the last line.
    pub fn end(mut self) -> io::Result<Found> {
        while self.next.is_some() {
            self.wrong(Wrong::NothingToOpen);
            self.step()?;
        }
        Ok(Found {
            opened: self.opened,
            faults: self.faults,
            more_faults: self.more_faults,
        })
    }

    /// The next disclosure; what is none is told and passed.
    fn step(&mut self) -> io::Result<()> {
        let before = self.next.take().map(|(_, disclosure)| disclosure.index);
        loop {
            let at = self.keys.next(MAX_BYTES)?;
            if at.is_none() {
                return Ok(());
            }
            let read = serde_json::from_slice::<Disclosure>(self.keys.text()).ok();
            let read = read.filter(|_| at.is_whole());
            match read.filter(|read| before.is_none_or(|before| before < read.index)) {
                Some(read) => {
                    self.next = Some((at, read));
                    return Ok(());
                }
                None => self.add(&at, None, Wrong::NoDisclosure),
            }
        }
    }

    fn wrong(&mut self, wrong: Wrong) {
        if let Some((at, disclosure)) = &self.next {
            let (at, index) = (*at, disclosure.index);
            self.add(&at, Some(index), wrong);
        }
    }

    fn add(&mut self, at: &Line, index: Option<u64>, wrong: Wrong) {
        if self.faults.len() >= super::verify::MAX_FAULTS {
            self.more_faults += 1;
            return;
        }
        self.faults.push(Fault {
            line: Some(at.number),
            byte: Some(at.offset),
            index,
            ..Fault::of(DISCLOSURES, wrong)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Action, Actor, Event, Outcome, RequestFacts};
    use crate::audit::line::{Position, render};
    use crate::audit::sealed::{PersonKey, Place, personal};
    use crate::id::ProducerId;
    use crate::time::UnixMillis;

    /// A line with something sealed, and what opens it; without at every third.
    fn line(index: u64) -> (String, Option<String>) {
        let event = Event {
            request: Some(RequestFacts {
                ip: (!index.is_multiple_of(3)).then(|| format!("192.0.2.{index}")),
                ..RequestFacts::default()
            }),
            ..Event::new(
                UnixMillis(1),
                Action::Kill,
                Outcome::Success,
                Actor::Anonymous,
            )
        };
        let position = Position {
            index,
            lane: 0,
            producer: ProducerId::from_bytes([3; 16]),
            sequence: index,
            received: UnixMillis(2),
            committed: UnixMillis(3),
        };
        let place = Place::from(&position);
        let leaf = PersonKey::from_bytes([1; 32]).leaf(place);
        let text = personal(&event).expect("renders");
        let sealed = text.map(|text| leaf.seal(place, &text).expect("seals"));
        let line = render(&event, None, sealed.as_deref(), &position).expect("renders");
        let key = sealed.map(|_| {
            let key = Disclosure::new(index, *leaf.as_bytes());
            serde_json::to_string(&key).expect("renders")
        });
        (line, key)
    }

    fn judged(keys: &[String]) -> (u64, Vec<String>) {
        let text = keys.join("\n") + if keys.is_empty() { "" } else { "\n" };
        let mut disclosed = Disclosed::new(text.as_bytes()).expect("reads");
        for index in 10..20 {
            let opened = disclosed.line(line(index).0.as_bytes()).expect("reads");
            if let Some((at, text)) = opened {
                assert_eq!(
                    (at, text),
                    (index, format!(r#"{{"ip":"192.0.2.{index}"}}"#))
                );
            }
        }
        let found = disclosed.end().expect("reads");
        assert_eq!(found.more_faults, 0);
        let faults = found.faults.iter();
        (found.opened, faults.map(ToString::to_string).collect())
    }

    fn keys() -> Vec<String> {
        (10..20).filter_map(|index| line(index).1).collect()
    }

    #[test]
    fn every_key_opens_its_line_and_some_may_be_missing() {
        let keys = keys();
        assert_eq!(judged(&keys), (7, vec![]));
        assert_eq!(judged(&keys[2..5]), (3, vec![]));
        assert_eq!(judged(&[]), (0, vec![]));
    }

    #[test]
    fn a_key_that_does_not_open_its_line_is_told_and_the_others_are_still_judged() {
        let mut keys = keys();
        let other = line(11).1.expect("a key");
        keys[3] = other.replace(r#""index":11"#, r#""index":14"#);
        let place = format!(
            "disclosures.ndjson:4 (index 14, byte {}): ",
            3 * (keys[0].len() + 1)
        );
        let told = format!("{place}the key does not open its line");
        assert_eq!(judged(&keys), (6, vec![told]));
    }

    #[test]
    fn what_is_no_disclosure_or_of_no_line_is_told() {
        let keys = keys();
        let of = |extra: &str, at: usize| {
            let mut keys = keys.clone();
            keys.insert(at, extra.to_owned());
            let (opened, faults) = judged(&keys);
            assert_eq!((opened, faults.len()), (7, 1), "{faults:?}");
            faults.into_iter().next().unwrap_or_default()
        };
        let zeros = "A".repeat(43);
        let key = |index: &str| format!(r#"{{"index":{index},"key":"{zeros}"}}"#);
        assert!(of(&key("5"), 0).contains("(index 5, byte 0): there is no such line"));
        // A line in which nothing is sealed.
        assert!(of(&key("12"), 2).contains("(index 12, byte "));
        assert!(of(&key("900"), 7).contains("there is no such line"));
        for no in ["", "{}", &key("\"1\""), &keys[0], &"x".repeat(1000)] {
            assert!(of(no, 3).contains("this is no disclosure"), "{no}");
        }
    }
}
