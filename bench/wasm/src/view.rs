//! A gateway's bounded check: the token is recalled, and the view of the feed judges it.

use crate::es256::{ISSUER, NOW, claims, times};
use portcullis_core::feed::page::{Statement, VerifiedPage};
use portcullis_core::feed::{Entry, Target};
use portcullis_core::id::{IncarnationId, SessionId, SubjectKey};
use portcullis_core::jwt::access_token::{AccessTokenVerifier, TYP};
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::sign::SigningKey;
use portcullis_core::time::UnixMillis;
use portcullis_gateway::remembered::{Known, Remembered};
use portcullis_gateway::view::page::Opened;
use portcullis_gateway::view::seed::Seed;
use portcullis_gateway::view::{Freshness, Local, Received, View};
use serde_json::json;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// How many tokens are remembered: all that a gateway remembers.
const TOKENS: u32 = 1000;
/// Entries of a page, as the service sends them.
const PAGE: u64 = 5000;
const SEED: Seed = Seed::from_bytes([9; 16]);

struct Gateway {
    view: View,
    remembered: Remembered,
    keys: Arc<KeySet>,
    texts: Vec<String>,
}

thread_local! {
    static GATEWAY: RefCell<Option<Gateway>> = const { RefCell::new(None) };
}

/// Has a view of `entries` live revocations and a thousand tokens that none of them covers; how many bytes
/// its tables have, or 0 if that did not work.
#[unsafe(no_mangle)]
pub extern "C" fn view_fill(entries: u32) -> u32 {
    GATEWAY.take();
    let made = gateway(u64::from(entries));
    let bytes = made.as_ref().map_or(0, |made| made.view.allocated_bytes());
    GATEWAY.set(made);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Checks `count` times, each token in its turn; how often it was in force by the view.
#[unsafe(no_mangle)]
pub extern "C" fn view_check(count: u32) -> u32 {
    GATEWAY.with_borrow(|gateway| {
        let Some(gateway) = gateway else { return 0 };
        let mut texts = gateway.texts.iter().cycle();
        let mut clear = 0;
        for _ in 0..count {
            let Some(text) = texts.next() else { break };
            let known = gateway
                .remembered
                .recall(text, None, &gateway.keys, &SEED, NOW);
            let judged = known.map(|known| gateway.view.judge(known.marks(), NOW, 1000));
            clear += u32::from(matches!(judged, Some(Local::Clear { .. })));
        }
        clear
    })
}

/// Recalls tokens without a look at the view.
#[unsafe(no_mangle)]
pub extern "C" fn view_recall(count: u32) -> u32 {
    GATEWAY.with_borrow(|gateway| {
        let Some(gateway) = gateway else { return 0 };
        let texts = RefCell::new(gateway.texts.iter().cycle());
        times(count, || {
            let text = texts.borrow_mut().next();
            text.is_some_and(|text| {
                let recalled = gateway
                    .remembered
                    .recall(text, None, &gateway.keys, &SEED, NOW);
                recalled.is_some()
            })
        })
    })
}

fn gateway(entries: u64) -> Option<Gateway> {
    let key = SigningKey::from_secret(&[7; 32]).ok()?;
    let set = json!({ "keys": [key.public_jwk()] }).to_string();
    let keys = Arc::new(KeySet::parse(set.as_bytes()).ok()?);
    let verifier = AccessTokenVerifier {
        issuer: ISSUER,
        audience: None,
    };
    let mut remembered = Remembered::new();
    let token = verifier
        .verify(&key.sign(&claims(), TYP).ok()?, &keys, NOW)
        .ok()?;
    let mut texts = Vec::new();
    for number in 0..TOKENS {
        // As long as a token, and each another: what is verified is one, what is hashed is all.
        let text = format!("{number:0>700}");
        let known = Known::of((&text, None), token.clone(), &SEED);
        remembered.remember(&Rc::new(known), &keys, &SEED, NOW);
        texts.push(text);
    }
    Some(Gateway {
        view: view(entries)?,
        remembered,
        keys,
        texts,
    })
}

fn view(entries: u64) -> Option<View> {
    let mut view = View::new(SEED);
    let mut through = 0;
    loop {
        let after = through;
        through = entries.min(after + PAGE);
        let page = VerifiedPage {
            statement: statement(after, through, entries),
            entries: (after..through).map(entry).collect(),
        };
        let received = Received {
            opened: Opened {
                page,
                kid: "bench".to_owned(),
            },
            freshness: Freshness::Asked { at: NOW, age_ms: 0 },
        };
        view.take(&[received], NOW).ok()?;
        if through == entries {
            return Some(view);
        }
    }
}

fn statement(after: u64, through: u64, seq: u64) -> Statement {
    Statement {
        iss: ISSUER.to_owned(),
        shard: "1-0".to_owned(),
        inc: IncarnationId::from_bytes([1; 16]),
        began_at: UnixMillis(1),
        after,
        through,
        seq,
        time: NOW,
        max_age_ms: 1000,
        entries_sha256: String::new(),
    }
}

/// Half of them people, half of them sessions; all as good as random, and none of the token's.
fn entry(number: u64) -> Entry {
    let mut bytes = [0xff; 16];
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    for (byte, with) in bytes.iter_mut().zip(spread) {
        *byte = with;
    }
    let target = if number.is_multiple_of(2) {
        Target::Subject(SubjectKey::from_bytes(bytes))
    } else {
        Target::Session(SessionId::from_bytes(bytes))
    };
    Entry {
        target,
        issued_until: Some(NOW),
        ends_at: Some(NOW.plus_secs(3600)),
        version: number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_view_clears_every_token_that_nothing_covers() {
        assert!(view_fill(20_000) > 20_000);
        assert_eq!([view_check(1500), view_recall(1500)], [1500; 2]);
    }
}
