//! Personal fields of a line, sealed inside of it under a key of the person they are about.
//!
//! Personal are `request.ip`, `request.user_agent` and `claims`. A line has them in one member, `sealed`. Destroying the
//! person's key makes it unreadable for good, while the line, its hash and every proof stay what they are.
//!
//! Of a person key, [`PersonKey::leaf`] makes a key for one line: HMAC-SHA256 over lane, producer and sequence, by which
//! an event is known for good. From that follow by HMAC, under two labels, what encrypts and what commits:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 32 | commitment: HMAC of the text under the leaf key |
//! | rest | the text by XChaCha20-Poly1305, under the encryption key; the commitment's first 24 bytes are the nonce; lane, producer and sequence are bound in |
//!
//! All of it is base64url. The text is a JSON object of `ip`, `user_agent` and `claims`, in this order, with blanks
//! behind it up to a multiple of 32 bytes, so that its length tells little.
//!
//! - **It opens to one text.** To open is to find a key and a text whose HMAC is the commitment. Keys are of one
//!   length, so that two such pairs would be a collision of SHA-256. So nobody, and not the service either, can show one
//!   line as two things: not to two auditors, and not with another key later. A cipher alone does not promise that.
//! - **It is a function of event and key.** The same event under the same key is sealed the same, so that rendering it
//!   again tells whether it is what the line says. Another text under the same leaf key has another nonce: that can
//!   happen to a log that was restored to an earlier point and counts on from there.
//! - **A leaf key opens its line only.** It is one value of a function that nobody without the person key can tell from
//!   a random one. Disclosing it gives away neither that key nor what is in another line.
//! - **Without the key nothing is known.** Neither commitment nor ciphertext can be told from random bytes, and no guess
//!   at an address can be tried.
//!
//! Out of scope: where person keys come from, where they are kept, and who may open.

use super::event::{Actor, Event};
use super::line::Position;
use crate::id::{ProducerId, SubjectKey};
use crate::seal::{NONCE, decrypt, encrypt};
use crate::secret::constant_time_eq;
use crate::text::{base64url, from_base64url};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

const VERSION: u8 = 1;
const COMMITMENT: usize = 32;
/// Texts are as long as a multiple of this.
const BLOCK: usize = 32;

// Each is the beginning of what is hashed, and none is the beginning of another.
const LEAF: &[u8] = b"portcullis audit 1: leaf\0";
const ENCRYPTION: &[u8] = b"portcullis audit 1: encryption key\0";
const TEXT: &[u8] = b"portcullis audit 1: text\0";

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Whose key seals what a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A person's or a service's.
    Subject(SubjectKey),
    /// Nobody's that is known: the key of that day, so that it can be destroyed with its age.
    Day(Day),
}

/// A day in UTC, counted from the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Day(pub u32);

impl Day {
    /// The day of that moment.
    #[must_use]
    pub fn of(at: UnixMillis) -> Self {
        Self(u32::try_from(at.0 / DAY_MS).unwrap_or(u32::MAX))
    }

    /// Reads `YYYY-MM-DD`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let at = UnixMillis::from_rfc3339(&format!("{text}T00:00:00Z"))?;
        Some(Self::of(at)).filter(|day| day.to_string() == text)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = UnixMillis(u64::from(self.0) * DAY_MS).to_rfc3339();
        f.write_str(at.split('T').next().unwrap_or_default())
    }
}

impl Owner {
    /// Whose the key is for an event that is committed then: the actor's, if it is a subject; else that of the subject it
    /// concerns. What an operator's request shows is about the operator, and is nobody's.
    #[must_use]
    pub fn of(event: &Event, committed: UnixMillis) -> Self {
        let subject = match event.actor {
            Actor::Subject(key) => Some(key),
            Actor::Operator(_) => None,
            Actor::Anonymous | Actor::Unproven(_) | Actor::Connection(_) | Actor::Client(_) => {
                event.subject
            }
        };
        subject.map_or(Self::Day(Day::of(committed)), Self::Subject)
    }

    /// For storing: days come in order.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Subject(key) => [&[1], key.as_bytes().as_slice()].concat(),
            Self::Day(Day(day)) => [&[2], day.to_be_bytes().as_slice()].concat(),
        }
    }
}

/// What an event is known by, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which lane.
    pub lane: u32,
    /// Who counts.
    pub producer: ProducerId,
    /// Its number by that producer.
    pub sequence: u64,
}

impl From<&Position> for Place {
    fn from(position: &Position) -> Self {
        Self {
            lane: position.lane,
            producer: position.producer,
            sequence: position.sequence,
        }
    }
}

impl Place {
    fn to_bytes(self) -> Vec<u8> {
        let Self {
            lane,
            producer,
            sequence,
        } = self;
        [
            lane.to_be_bytes().as_slice(),
            producer.as_bytes(),
            &sequence.to_be_bytes(),
        ]
        .concat()
    }
}

/// What seals a person's fields.
#[derive(Clone)]
pub struct PersonKey(Mac);

impl PersonKey {
    /// From 32 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Mac::new(&bytes))
    }

    /// The key of one line.
    #[must_use]
    pub fn leaf(&self, place: Place) -> LeafKey {
        LeafKey(self.0.of(LEAF, &place.to_bytes()))
    }
}

/// What opens one line.
#[derive(Clone, PartialEq, Eq)]
pub struct LeafKey([u8; 32]);

impl LeafKey {
    /// Takes back one that was disclosed.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for disclosing it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        base64url(&self.0)
    }

    /// Reads the text form back.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        from_base64url(text)?.try_into().ok().map(Self)
    }

    /// Seals a text for its place. `None`: it is too long for the cipher, which no text of an event is.
    #[must_use]
    pub fn seal(&self, place: Place, text: &str) -> Option<String> {
        let mut padded = text.as_bytes().to_vec();
        padded.resize(padded.len().next_multiple_of(BLOCK), b' ');
        let mac = Mac::new(&self.0);
        let commitment = mac.of(TEXT, &padded);
        let nonce = commitment.first_chunk()?;
        let encrypted = encrypt(&mac.of(ENCRYPTION, &[]), nonce, &place.to_bytes(), &padded)?;
        Some(base64url(
            &[&[VERSION], commitment.as_slice(), &encrypted].concat(),
        ))
    }

    /// The text, if this key sealed it for that place and nothing was changed.
    #[must_use]
    pub fn open(&self, place: Place, sealed: &str) -> Option<String> {
        let sealed = from_base64url(sealed)?;
        let sealed = sealed.strip_prefix(&[VERSION])?;
        let (commitment, encrypted) = sealed.split_first_chunk::<COMMITMENT>()?;
        let nonce: &[u8; NONCE] = commitment.first_chunk()?;
        let mac = Mac::new(&self.0);
        let padded = decrypt(
            &mac.of(ENCRYPTION, &[]),
            nonce,
            &place.to_bytes(),
            encrypted,
        )?;
        if !constant_time_eq(&mac.of(TEXT, &padded), commitment) {
            return None;
        }
        let mut text = String::from_utf8(padded).ok()?;
        text.truncate(text.trim_end_matches(' ').len());
        Some(text)
    }
}

/// HMAC-SHA256 (RFC 2104) under a key of 32 bytes. What both hashes begin with is hashed once for all texts: sealing a
/// line is mostly hashing.
#[derive(Clone)]
struct Mac {
    inner: Sha256,
    outer: Sha256,
}

impl Mac {
    fn new(key: &[u8; 32]) -> Self {
        let padded = |pad: u8| {
            let mut block = [pad; 64];
            for (byte, key) in block.iter_mut().zip(key) {
                *byte ^= key;
            }
            Sha256::new().chain_update(block)
        };
        Self {
            inner: padded(0x36),
            outer: padded(0x5c),
        }
    }

    fn of(&self, label: &[u8], text: &[u8]) -> [u8; 32] {
        let inner = self.inner.clone().chain_update(label).chain_update(text);
        let outer = self.outer.clone().chain_update(inner.finalize());
        outer.finalize().into()
    }
}

#[derive(Serialize)]
struct Personal<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    claims: BTreeMap<&'a str, &'a str>,
}

/// What a line must not say in clear, as the text to seal; `None` if there is nothing.
pub fn personal(event: &Event) -> Result<Option<String>, serde_json::Error> {
    let request = event.request.as_ref();
    let personal = Personal {
        ip: request.and_then(|request| request.ip.as_deref()),
        user_agent: request.and_then(|request| request.user_agent.as_deref()),
        claims: event
            .claims
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
    };
    let is_something =
        personal.ip.is_some() || personal.user_agent.is_some() || !personal.claims.is_empty();
    is_something
        .then(|| serde_json::to_string(&personal))
        .transpose()
}

/// A line that has something sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedLine {
    /// Its index.
    pub index: u64,
    /// What its event is known by.
    pub place: Place,
    /// Whose key opens it.
    pub owner: Owner,
    /// When it was committed.
    pub committed: UnixMillis,
    /// What is sealed.
    pub sealed: String,
}

impl SealedLine {
    /// Reads a line; `None` if nothing is sealed in it.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        // Within a text there are no such quotes.
        if !line.contains(r#""sealed":""#) {
            return None;
        }
        let line: Map<String, Value> = serde_json::from_str(line).ok()?;
        let text = |name: &str| line.get(name)?.as_str();
        let number = |name: &str| line.get(name)?.as_u64();
        let actor = |name: &str| line.get("actor")?.get(name)?.as_str();
        let subject = match actor("type")? {
            "subject" => Some(actor("id")?),
            "operator" => None,
            _ => text("subject"),
        };
        let committed = UnixMillis::from_rfc3339(text("committed")?)?;
        let owner = match subject {
            Some(key) => Owner::Subject(key.parse().ok()?),
            None => Owner::Day(Day::of(committed)),
        };
        Some(Self {
            index: number("index")?,
            place: Place {
                lane: number("lane")?.try_into().ok()?,
                producer: text("producer")?.parse().ok()?,
                sequence: number("sequence")?,
            },
            owner,
            committed,
            sealed: text("sealed")?.to_owned(),
        })
    }

    /// What it says, if that is its person's key.
    #[must_use]
    pub fn open(&self, key: &PersonKey) -> Option<String> {
        self.disclosed(&key.leaf(self.place))
    }

    /// What it says, if that is its own key.
    #[must_use]
    pub fn disclosed(&self, key: &LeafKey) -> Option<String> {
        key.open(self.place, &self.sealed)
    }
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
