//! Documents of others over SQLite on the host, with faults.

use super::call::{Document, DocumentKind, GetDocument, KeepDocument, KeyringRequest, ListKeys};
use super::documents::MAX_DOCUMENTS;
use super::maker::KeyMaker;
use super::service::KeyringService;
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::outbox::Producer;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::id::ProducerId;
use portcullis_core::jwt::jwks::MAX_KEY_SET_BYTES;
use portcullis_core::jwt::sign::SigningKey;
use portcullis_core::keyring::Timing;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire::{self, Call};
use proptest::prelude::*;
use serde_json::json;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const URI: &str = "https://idp.example/jwks";

type Service = KeyringService<HostSql>;

fn keyring() -> Service {
    KeyringService::new(HostSql::new(), KeyMaker::new([1; 32]), Timing::default())
}

fn ask<C: Call<Request = KeyringRequest>>(
    keyring: &Service,
    call: C,
    now: UnixMillis,
) -> Result<C::Reply, SqlError> {
    let producer = ProducerId::from_bytes([9; 16]);
    let answer = keyring.answer(call.into_request(), now, producer)?;
    assert!(!answer.changed, "nobody has to hear of it");
    Ok(wire::decode(&answer.bytes)?)
}

/// A document with one key, called `kid`.
fn document(kid: &str) -> Vec<u8> {
    let key = SigningKey::from_secret(&[7; 32]).expect("a key");
    let mut jwk = serde_json::to_value(key.public_jwk()).expect("JSON");
    jwk["kid"] = kid.into();
    json!({ "keys": [jwk] }).to_string().into_bytes()
}

fn keep(jwks_uri: &str, document: &[u8], fetched_at: UnixMillis) -> KeepDocument {
    KeepDocument {
        kind: DocumentKind::Keys,
        name: jwks_uri.to_owned(),
        document: document.to_vec(),
        fetched_at,
    }
}

fn kept(keyring: &Service, jwks_uri: &str, now: UnixMillis) -> Option<Document> {
    kept_as(keyring, DocumentKind::Keys, jwks_uri, now)
}

fn kept_as(keyring: &Service, kind: DocumentKind, name: &str, now: UnixMillis) -> Option<Document> {
    let name = name.to_owned();
    ask(keyring, GetDocument { kind, name }, now).expect("answers")
}

#[test]
fn a_document_is_kept_as_it_came_and_makes_no_key_of_ours() {
    let keyring = keyring();
    assert_eq!(kept(&keyring, URI, NOW), None);
    let keep = keep(URI, &document("a"), NOW);
    assert_eq!(ask(&keyring, keep, NOW), Ok(true));
    let expected = Document {
        document: document("a"),
        fetched_at: NOW,
    };
    assert_eq!(kept(&keyring, URI, NOW), Some(expected));
    assert_eq!(kept(&keyring, "https://other.example/jwks", NOW), None);
    let rows = keyring.sql().exec("SELECT kid FROM signing_key", &[]);
    assert_eq!(rows, Ok(vec![]));
    assert_eq!(keyring.waiting(), Ok(vec![]));
}

#[test]
fn what_is_no_key_set_never_replaces_one() {
    let keyring = keyring();
    assert_eq!(ask(&keyring, keep(URI, &document("a"), NOW), NOW), Ok(true));
    let too_long = [document("b"), vec![b' '; MAX_KEY_SET_BYTES]].concat();
    let encryption = br#"{"keys":[{"kty":"RSA","use":"enc","kid":"a","n":"AQAB","e":"AQAB"}]}"#;
    for bad in [
        b"".as_slice(),
        b"{}",
        b"[]",
        br#"{"keys":[]}"#,
        br#"{"keys":{}}"#,
        br#"{"keys":[{}]}"#,
        br#"{"keys":[],"keys":[]}"#,
        b"<html>",
        encryption,
        too_long.as_slice(),
    ] {
        let later = NOW.plus_secs(60);
        assert_eq!(ask(&keyring, keep(URI, bad, later), later), Ok(false));
        let still = kept(&keyring, URI, later).expect("kept");
        assert_eq!((still.document, still.fetched_at), (document("a"), NOW));
    }
    let long = format!("https://a.example/{}", "x".repeat(512));
    assert_eq!(
        ask(&keyring, keep(&long, &document("a"), NOW), NOW),
        Ok(false)
    );
}

#[test]
fn metadata_is_kept_if_it_is_of_that_very_issuer_and_apart_from_keys() {
    let keyring = keyring();
    let issuer = "https://idp.example";
    let metadata = json!({"issuer": issuer, "jwks_uri": URI})
        .to_string()
        .into_bytes();
    let keep_as = |name: &str, document: &[u8]| KeepDocument {
        kind: DocumentKind::Metadata,
        ..keep(name, document, NOW)
    };
    assert_eq!(ask(&keyring, keep_as(issuer, &metadata), NOW), Ok(true));
    let other = "https://other.example";
    for (name, document) in [
        (other, metadata.as_slice()),
        (issuer, b"{}"),
        (issuer, &document("a")),
    ] {
        assert_eq!(ask(&keyring, keep_as(name, document), NOW), Ok(false));
    }
    let there = kept_as(&keyring, DocumentKind::Metadata, issuer, NOW);
    assert_eq!(there.map(|kept| kept.document), Some(metadata));
    assert_eq!(kept_as(&keyring, DocumentKind::Metadata, other, NOW), None);
    assert_eq!(kept(&keyring, issuer, NOW), None);
}

#[test]
fn an_older_document_that_comes_later_and_a_clock_ahead_of_ours_do_no_harm() {
    let keyring = keyring();
    let later = NOW.plus_secs(60);
    let ahead = keep(URI, &document("new"), later.plus_secs(3600));
    assert_eq!(ask(&keyring, ahead, later), Ok(true));
    let older = keep(URI, &document("old"), NOW);
    assert_eq!(ask(&keyring, older, later), Ok(false));
    let still = kept(&keyring, URI, later).expect("kept");
    assert_eq!((still.document, still.fetched_at), (document("new"), later));
    let next = keep(URI, &document("next"), later);
    assert_eq!(ask(&keyring, next, later), Ok(true));
}

#[test]
fn of_too_many_the_one_that_was_unused_for_longest_goes() {
    let keyring = keyring();
    let uri = |n: u64| format!("https://a.example/{n}");
    for n in 0..MAX_DOCUMENTS {
        let now = NOW.plus_secs(n);
        let keep = keep(&uri(n), &document("a"), now);
        assert_eq!(ask(&keyring, keep, now), Ok(true));
    }
    let now = NOW.plus_secs(MAX_DOCUMENTS);
    assert!(kept(&keyring, &uri(0), now).is_some());
    let more = keep(&uri(MAX_DOCUMENTS), &document("a"), now);
    assert_eq!(ask(&keyring, more, now), Ok(true));
    assert!(kept(&keyring, &uri(0), now).is_some(), "it was asked for");
    assert_eq!(kept(&keyring, &uri(1), now), None);
    let all = (0..=MAX_DOCUMENTS).filter(|n| kept(&keyring, &uri(*n), now).is_some());
    assert_eq!(all.count() as u64, MAX_DOCUMENTS);
}

#[test]
fn every_storage_call_fails_both_ways_and_a_good_document_stays_until_another_is_whole() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let keyring = keyring();
            ask(&keyring, keep(URI, &document("a"), NOW), NOW).expect("answers");
            let later = NOW.plus_secs(60);
            keyring.sql().fail_nth(nth, fault);
            let outcome = ask(&keyring, keep(URI, &document("b"), later), later);
            if keyring.sql().heal() {
                assert_eq!(outcome, Ok(true));
                break;
            }
            assert!(outcome.is_err(), "call {nth}");
            let between = kept(&keyring, URI, later).expect("one is kept");
            let whole = [(document("a"), NOW), (document("b"), later)];
            assert!(whole.contains(&(between.document, between.fetched_at)));
            let again = ask(&keyring, keep(URI, &document("b"), later), later);
            assert_eq!(again, Ok(true));
            let after = kept(&keyring, URI, later).map(|kept| kept.document);
            assert_eq!(after, Some(document("b")));
        }
    }
}

proptest! {
    #[test]
    fn whatever_comes_the_last_good_document_is_kept(
        steps in prop::collection::vec((0u64..100, prop_oneof![
            "[a-c]".prop_map(|kid| document(&kid)),
            prop::collection::vec(any::<u8>(), 0..40),
        ]), 1..20),
    ) {
        let keyring = keyring();
        let mut expected: Option<(u64, Vec<u8>)> = None;
        let now = NOW.plus_secs(1000);
        for (secs, bytes) in steps {
            let good = bytes.starts_with(b"{\"keys\":[{");
            let newer = expected.as_ref().is_none_or(|(at, _)| *at <= secs);
            let stays = ask(&keyring, keep(URI, &bytes, NOW.plus_secs(secs)), now);
            prop_assert_eq!(stays, Ok(good && newer));
            if good && newer {
                expected = Some((secs, bytes));
            }
            let there = kept(&keyring, URI, now).map(|kept| kept.document);
            prop_assert_eq!(there, expected.clone().map(|(_, bytes)| bytes));
        }
    }
}

#[test]
fn our_own_keys_are_as_before() {
    let keyring = keyring();
    ask(&keyring, keep(URI, &document("a"), NOW), NOW).expect("answers");
    let producer = ProducerId::from_bytes([9; 16]);
    let answer = keyring.answer(ListKeys.into_request(), NOW, producer);
    assert!(
        answer.is_ok_and(|answer| answer.changed),
        "the first was made"
    );
}
