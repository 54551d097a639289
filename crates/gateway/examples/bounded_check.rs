//! What a bounded check costs with a million live entries in the view, measured natively:
//! `cargo run --release -p portcullis-gateway --example bounded_check`.
//!
//! A check is what a gateway does for a token that it has seen before: find it by its text, and judge it.

use portcullis_core::feed::page::{MAX_ENTRIES, Statement, VerifiedPage};
use portcullis_core::feed::{Entry, Target};
use portcullis_core::id::{GrantId, IncarnationId, SessionId, SubjectKey, TokenId};
use portcullis_core::jwt::access_token::{AccessTokenClaims, AccessTokenVerifier, TYP};
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::sign::SigningKey;
use portcullis_core::time::UnixMillis;
use portcullis_gateway::remembered::{Known, Remembered};
use portcullis_gateway::view::page::Opened;
use portcullis_gateway::view::refresh::Feed;
use portcullis_gateway::view::seed::Seed;
use portcullis_gateway::view::{Local, Progress};
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const ENTRIES: u64 = 1_000_000;
const TOKENS: u16 = 500;
const ROUNDS: u32 = 2000;

fn main() {
    let seed = Seed::from_bytes(*b"not random at al");
    let mut feed = Feed::new(seed.clone());
    let loading = load(&mut feed);
    let (texts, remembered, keys) = tokens(&seed);

    let mut clear = 0u32;
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        for text in &texts {
            let known = remembered.recall(black_box(text), None, &keys, &seed, NOW);
            let judged = known.map(|known| feed.judge(known.marks(), NOW, 1000));
            clear += u32::from(matches!(judged, Some(Local::Clear { .. })));
        }
    }
    let whole = begun.elapsed() / (ROUNDS * u32::from(TOKENS));

    let known: Vec<Rc<Known>> = texts
        .iter()
        .filter_map(|text| remembered.recall(text, None, &keys, &seed, NOW))
        .collect();
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        for known in &known {
            black_box(feed.judge(black_box(known.marks()), NOW, 1000));
        }
    }
    let judging = begun.elapsed() / (ROUNDS * u32::from(TOKENS));

    println!("entries                  {ENTRIES}");
    println!(
        "memory                   {} bytes",
        feed.view().allocated_bytes()
    );
    println!("loading a page of {MAX_ENTRIES}   {loading:?}");
    println!("check, recall and judge  {whole:?}");
    println!("check, judge alone       {judging:?}");
    println!(
        "clear                    {clear} of {}",
        ROUNDS * u32::from(TOKENS)
    );
}

/// Fills the view, and says what a page took.
fn load(feed: &mut Feed) -> Duration {
    let mut took = Duration::ZERO;
    let mut through = 0;
    while let Some(ticket) = feed.due(1000, NOW) {
        let page = page(through);
        through = page.statement.through;
        let opened = Opened {
            page,
            kid: "k".to_owned(),
        };
        let begun = Instant::now();
        let progress = feed.answered(ticket, vec![(opened, 0)], NOW);
        took += begun.elapsed();
        if progress != Ok(Progress::Behind) {
            break;
        }
    }
    took / u32::try_from(ENTRIES / u64::from(MAX_ENTRIES)).unwrap_or(1)
}

fn page(after: u64) -> VerifiedPage {
    let through = (after + u64::from(MAX_ENTRIES)).min(ENTRIES);
    let entry = |sequence: u64| {
        let mut id = [0; 16];
        let mixed = (sequence + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        id[..8].copy_from_slice(&mixed.to_le_bytes());
        Entry {
            target: Target::Session(SessionId::from_bytes(id)),
            issued_until: None,
            ends_at: Some(NOW.plus_secs(420)),
            version: 1,
        }
    };
    VerifiedPage {
        statement: Statement {
            iss: "https://id.example".to_owned(),
            shard: "1-0".to_owned(),
            inc: IncarnationId::from_bytes([1; 16]),
            began_at: UnixMillis(1),
            after,
            through,
            seq: ENTRIES,
            time: NOW,
            max_age_ms: 60_000,
            entries_sha256: String::new(),
        },
        entries: (after + 1..=through).map(entry).collect(),
    }
}

/// Tokens that verified, as long as they are with a person's groups.
fn tokens(seed: &Seed) -> (Vec<String>, Remembered, Arc<KeySet>) {
    let key = SigningKey::from_secret(&[7; 32]).expect("a key");
    let jwks = serde_json::json!({ "keys": [key.public_jwk()] }).to_string();
    let keys = Arc::new(KeySet::parse(jwks.as_bytes()).expect("a key set"));
    let verifier = AccessTokenVerifier {
        issuer: "https://id.example",
        audience: Some("https://app.example"),
    };
    let mut remembered = Remembered::new();
    let make = |number: u16| {
        let mut id = [7; 16];
        id[..2].copy_from_slice(&number.to_le_bytes());
        let claims = AccessTokenClaims {
            iss: "https://id.example".to_owned(),
            sub: SubjectKey::from_bytes(id),
            aud: vec!["https://app.example".to_owned()],
            client_id: "app".to_owned(),
            exp: NOW.secs() + 300,
            iat: NOW.secs(),
            jti: TokenId::from_bytes(id),
            sid: SessionId::from_bytes(id),
            gid: GrantId::from_bytes(id),
            generation: 1,
            auth_time: Some(NOW.secs()),
            acr: None,
            scope: Some("openid profile orders:read orders:write".to_owned()),
            roles: vec!["editor".to_owned()],
            groups: (0..8).map(|group| format!("group-{group}")).collect(),
            idp_claims: serde_json::Map::new(),
            cnf: None,
            act: None,
        };
        let text = key.sign(&claims, TYP).expect("signs");
        let token = verifier.verify(&text, &keys, NOW).expect("verifies");
        let known = Rc::new(Known::of((&text, None), token, seed));
        remembered.remember(&known, &keys, seed, NOW);
        text
    };
    let texts = (0..TOKENS).map(make).collect();
    (texts, remembered, keys)
}
