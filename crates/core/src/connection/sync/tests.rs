//! What is read, what the API's answers mean, and when runs begin.

use super::*;
use crate::text::base64url;
use crate::wire;
use proptest::prelude::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn rsa(kid: &str) -> Value {
    json!({
        "kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": base64url(&[0xaa; 256]),
        "e": "AQAB", "x5t": "abc", "x5c": ["MIIC"],
    })
}

fn ec(kid: &str, crv: &str, bytes: usize) -> Value {
    let (x, y) = (base64url(&vec![1; bytes]), base64url(&vec![2; bytes]));
    json!({"kty": "EC", "kid": kid, "crv": crv, "x": x, "y": y, "key_ops": ["verify"]})
}

fn changed(mut jwk: Value, name: &str, value: impl Into<Value>) -> Value {
    jwk[name] = value.into();
    jwk
}

fn removed(mut jwk: Value, name: &str) -> Value {
    jwk.as_object_mut().expect("an object").remove(name);
    jwk
}

fn read(keys: &[Value]) -> Result<Credentials, SyncError> {
    Credentials::read(json!({ "keys": keys }).to_string().as_bytes(), "/keys")
}

fn sent(keys: &[Value]) -> Vec<Value> {
    let credentials = read(keys).expect("keys");
    let body: Value = serde_json::from_str(credentials.as_json()).expect("JSON");
    assert_eq!(body.as_object().expect("an object").len(), 1);
    body["keys"].as_array().expect("an array").clone()
}

fn target() -> Target {
    Target {
        zone_id: "z".to_owned(),
        config_id: "c".to_owned(),
    }
}

#[test]
fn each_key_is_reduced_to_exactly_what_the_api_documents() {
    let keys = [rsa("r"), ec("e", "P-256", 32), ec("f", "P-384", 48)];
    let (x, y) = (base64url(&[1; 32]), base64url(&[2; 32]));
    let (x3, y3) = (base64url(&[1; 48]), base64url(&[2; 48]));
    let expected = [
        json!({"alg": "ES256", "crv": "P-256", "kid": "e", "kty": "EC", "x": x, "y": y}),
        json!({"alg": "ES384", "crv": "P-384", "kid": "f", "kty": "EC", "x": x3, "y": y3}),
        json!({"alg": "RS256", "e": "AQAB", "kid": "r", "kty": "RSA", "n": base64url(&[0xaa; 256])}),
    ];
    assert_eq!(sent(&keys), expected);
}

#[test]
fn an_algorithm_that_the_provider_leaves_out_is_filled_in() {
    assert_eq!(sent(&[removed(rsa("r"), "alg")]), sent(&[rsa("r")]));
    let other = sent(&[changed(rsa("r"), "alg", "PS512")]);
    assert_eq!(other[0]["alg"], "PS512");
    let ec = ec("e", "P-256", 32);
    assert_eq!(sent(&[changed(ec.clone(), "alg", "ES256")]), sent(&[ec]));
}

#[test]
fn what_the_api_does_not_take_is_left_out() {
    let p256 = || ec("e", "P-256", 32);
    let ed25519 = json!({"kty": "OKP", "crv": "Ed25519", "kid": "o", "x": base64url(&[1; 32])});
    let secret = json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"});
    let mut bad = vec![
        changed(rsa("x"), "use", "enc"),
        changed(rsa("x"), "use", Value::Null),
        changed(rsa("x"), "key_ops", json!(["encrypt"])),
        changed(rsa("x"), "key_ops", "verify"),
        removed(rsa("x"), "kid"),
        changed(rsa("x"), "kid", ""),
        changed(rsa("x"), "kid", 7),
        changed(rsa("x"), "kid", "k".repeat(300)),
        changed(rsa("x"), "alg", "HS256"),
        changed(rsa("x"), "alg", "RSA-OAEP"),
        changed(rsa("x"), "alg", Value::Null),
        changed(rsa("x"), "n", ""),
        changed(rsa("x"), "n", "a+b/"),
        changed(rsa("x"), "n", "AQAB=="),
        removed(rsa("x"), "e"),
        changed(p256(), "alg", "ES384"),
        changed(p256(), "alg", "RS256"),
        changed(p256(), "crv", "secp256k1"),
        changed(p256(), "x", base64url(&[1; 31])),
        removed(p256(), "y"),
        removed(p256(), "crv"),
        removed(p256(), "kty"),
        json!({}),
        ed25519,
        secret,
    ];
    for private in PRIVATE {
        bad.push(changed(rsa("x"), private, "AQAB"));
    }
    for key in bad {
        assert_eq!(
            read(std::slice::from_ref(&key)),
            Err(SyncError::NoKeys),
            "{key}"
        );
        assert_eq!(sent(&[key, rsa("r")]), sent(&[rsa("r")]));
    }
}

#[test]
fn a_document_without_the_array_is_malformed_and_one_without_keys_is_told_apart() {
    for document in [
        "",
        "{}",
        "[]",
        "null",
        "<html>",
        r#"{"keys":{}}"#,
        r#"{"keys":null}"#,
        r#"{"keys":[1]}"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[{"kid":"a","kid":"b"}]}"#,
    ] {
        let read = Credentials::read(document.as_bytes(), "/keys");
        assert_eq!(read, Err(SyncError::Malformed), "{document}");
    }
    assert_eq!(read(&[]), Err(SyncError::NoKeys));
    assert_eq!(
        read(&vec![rsa("r"); MAX_KEYS + 1]),
        Err(SyncError::Malformed)
    );
    let large = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(MAX_KEY_SET_BYTES));
    let read = Credentials::read(large.as_bytes(), "/keys");
    assert_eq!(read, Err(SyncError::Malformed));
}

#[test]
fn the_array_is_found_by_its_path() {
    let read = |document: Value, path| Credentials::read(document.to_string().as_bytes(), path);
    let expected = read(json!({"keys": [rsa("r")]}), "/keys");
    assert!(expected.is_ok());
    for (document, path) in [
        (
            json!({"result": {"public/keys": [rsa("r")]}}),
            "/result/public~1keys",
        ),
        (json!([{"jwks": [rsa("r")]}]), "/0/jwks"),
        (json!([rsa("r")]), ""),
    ] {
        assert_eq!(read(document, path), expected, "{path}");
    }
    let other = read(json!({"public_keys": [rsa("r")]}), "/keys");
    assert_eq!(other, Err(SyncError::Malformed));
}

#[test]
fn the_apis_answers_are_told_apart() {
    let good = br#"{"success":true,"errors":[],"result":{}}"#.as_slice();
    let bad = br#"{"success":false,"errors":[{"message":"?"},{"code":10403,"message":"no"}]}"#;
    assert_eq!(judge_answer(200, None, good, NOW), Ok(()));
    for (status, body, error, code) in [
        (200, bad.as_slice(), SyncError::ApiFailed, Some(10403)),
        (200, b"ok".as_slice(), SyncError::ApiFailed, None),
        (200, b"{}", SyncError::ApiFailed, None),
        (302, good, SyncError::ApiFailed, None),
        (400, bad, SyncError::ApiRefused, Some(10403)),
        (401, bad, SyncError::ApiUnauthorized, Some(10403)),
        (403, good, SyncError::ApiUnauthorized, None),
        (404, b"", SyncError::ApiNotFound, None),
        (429, b"", SyncError::ApiLimited, None),
        (500, bad, SyncError::ApiFailed, Some(10403)),
    ] {
        let failure = judge_answer(status, None, body, NOW).expect_err("a failure");
        assert_eq!((failure.error, failure.code), (error, code), "{status}");
    }
}

#[test]
fn a_retry_after_is_a_number_of_seconds_or_a_date() {
    // NOW is Fri, 15 Jan 2027 08:00:00 GMT.
    for (text, secs) in [
        ("120", Some(120)),
        (" 7 ", Some(7)),
        ("Fri, 15 Jan 2027 08:10:00 GMT", Some(600)),
        ("Fri, 15 Jan 2027 07:00:00 GMT", Some(0)),
        ("99999999", Some(LONGEST_RETRY_AFTER_SECS)),
        ("99999999999999999999", None),
        ("-1", None),
        ("soon", None),
    ] {
        let failure = judge_answer(429, Some(text), b"", NOW).expect_err("a failure");
        assert_eq!(failure.retry_after_secs, secs, "{text}");
    }
}

fn failed(error: SyncError) -> Ended {
    Ended::Failed(error.into())
}

/// Begins a run, which must be told to go on.
fn run(state: &mut SyncState, now: UnixMillis) -> u64 {
    match state.begin(false, now) {
        Begun::Run { run, .. } => run,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_set_is_sent_once_until_it_or_its_target_changes() {
    let mut state = SyncState::default();
    let credentials = read(&[rsa("a"), rsa("b")]).expect("keys");
    let begun = state.begin(false, NOW);
    assert!(begun.is_to_send(&target(), &credentials));
    let ended = Ended::Sent(target(), credentials.clone());
    assert_eq!(state.end(1, ended, NOW), Some(News::Sent));
    let begun = state.begin(false, NOW.plus_secs(300));
    let reordered = read(&[rsa("b"), rsa("a"), rsa("b")]).expect("keys");
    assert!(!begun.is_to_send(&target(), &reordered));
    assert!(begun.is_to_send(&target(), &read(&[rsa("b")]).expect("keys")));
    let elsewhere = Target {
        config_id: "d".to_owned(),
        ..target()
    };
    assert!(begun.is_to_send(&elsewhere, &credentials));
    assert_eq!(state.end(2, Ended::Unchanged, NOW.plus_secs(300)), None);
    let not_a_run = Begun::NotDue(NOW);
    assert!(!not_a_run.is_to_send(&elsewhere, &credentials));
}

#[test]
fn failures_back_off_from_a_minute_to_an_hour_and_success_forgets_them() {
    let mut state = SyncState::default();
    let mut now = NOW;
    let mut pauses = Vec::new();
    for n in 1..=9 {
        let number = run(&mut state, now);
        state.end(number, failed(SyncError::ApiFailed), now);
        assert_eq!((state.failures, state.attempted_at), (n, Some(now)));
        let next = state.next_attempt_at.expect("a pause");
        let early = UnixMillis(next.0 - 1);
        assert_eq!(state.begin(false, early), Begun::NotDue(next));
        pauses.push((next.0 - now.0) / 60_000);
        now = next;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    let number = run(&mut state, now);
    state.end(number, Ended::Unchanged, now);
    assert_eq!(
        (state.failures, state.failure, state.next_attempt_at),
        (0, None, None)
    );
}

#[test]
fn an_operator_does_not_wait_for_a_pause_but_for_a_run_under_way() {
    let mut state = SyncState::default();
    let number = run(&mut state, NOW);
    assert_eq!(
        state.begin(true, NOW),
        Begun::UnderWay(NOW.plus_secs(RUN_SECS))
    );
    state.end(number, failed(SyncError::ApiFailed), NOW);
    assert!(matches!(state.begin(true, NOW), Begun::Run { .. }));
}

#[test]
fn the_apis_wish_to_be_left_alone_is_respected() {
    let mut state = SyncState::default();
    let number = run(&mut state, NOW);
    let failure = Failure {
        error: SyncError::ApiLimited,
        code: None,
        retry_after_secs: Some(5000),
    };
    state.end(number, Ended::Failed(failure), NOW);
    assert_eq!(state.next_attempt_at, Some(NOW.plus_secs(5000)));
}

#[test]
fn a_row_of_equal_failures_is_news_once() {
    let mut state = SyncState::default();
    let mut now = NOW;
    let mut news = Vec::new();
    for error in [
        SyncError::ApiFailed,
        SyncError::ApiFailed,
        SyncError::NoKeys,
        SyncError::ApiFailed,
    ] {
        let number = run(&mut state, now);
        news.push(state.end(number, failed(error), now));
        now = now.plus_secs(LONGEST_PAUSE_SECS);
    }
    let expected = [
        Some(News::Failed(SyncError::ApiFailed)),
        None,
        Some(News::Failed(SyncError::NoKeys)),
        Some(News::Failed(SyncError::ApiFailed)),
    ];
    assert_eq!(news, expected);
}

#[test]
fn a_run_that_counted_as_over_decides_nothing_but_makes_the_next_one_send() {
    let mut state = SyncState::default();
    let credentials = read(&[rsa("a")]).expect("keys");
    let slow = run(&mut state, NOW);
    let later = NOW.plus_secs(RUN_SECS);
    let second = run(&mut state, later);
    let ended = Ended::Sent(target(), credentials.clone());
    assert_eq!(state.end(second, ended, later), Some(News::Sent));
    assert_eq!(state.end(slow, failed(SyncError::NoKeys), later), None);
    assert_eq!(state.failure, None);
    let in_force = Ended::Sent(target(), credentials.clone());
    let third = run(&mut state, later);
    assert_eq!(state.end(third, in_force, later), Some(News::Sent));
    assert!(!state.in_doubt);
    let other = read(&[rsa("b")]).expect("keys");
    assert_eq!(state.end(slow, Ended::Sent(target(), other), later), None);
    assert!(
        state
            .begin(false, later)
            .is_to_send(&target(), &credentials)
    );
}

#[test]
fn an_answer_that_was_lost_makes_the_next_run_send() {
    let mut state = SyncState::default();
    let credentials = read(&[rsa("a")]).expect("keys");
    let first = run(&mut state, NOW);
    state.end(first, Ended::Sent(target(), credentials.clone()), NOW);
    let second = run(&mut state, NOW);
    state.end(second, failed(SyncError::ApiUnavailable), NOW);
    let begun = state.begin(true, NOW);
    assert!(begun.is_to_send(&target(), &credentials));
}

#[test]
fn a_target_is_what_the_api_gives_and_nothing_that_changes_a_url() {
    let zone = "023e105f4ecef8ad9ca31a8372d0c353";
    let config = "4a7ee8d3-dd63-4ceb-9d5f-c27831854ce7";
    let target = |zone: &str, config: &str| Target {
        zone_id: zone.to_owned(),
        config_id: config.to_owned(),
    };
    let good = target(zone, config);
    assert_eq!(good.valid(), Ok(()));
    let path = format!("/zones/{zone}/token_validation/config/{config}/credentials");
    assert_eq!(good.path(), path);
    for bad in [
        "",
        "../..",
        "023E105F4ECEF8AD9CA31A8372D0C353",
        &zone[1..],
        "?",
        &format!("{zone}0"),
    ] {
        assert!(target(bad, config).valid().is_err(), "{bad}");
    }
    for bad in [
        "",
        zone,
        "4a7ee8d3-dd63-4ceb-9d5f-c27831854c/7",
        &config[1..],
        "4a7ee8d3dd634ceb9d5fc27831854ce7",
    ] {
        assert!(target(zone, bad).valid().is_err(), "{bad}");
    }
}

#[test]
fn names_are_distinct() {
    let names: BTreeSet<_> = SyncError::ALL.iter().map(|error| error.as_str()).collect();
    assert_eq!(names.len(), SyncError::ALL.len());
}

#[test]
fn golden_bytes() {
    let state = SyncState {
        sent: Some(Sent {
            target: target(),
            credentials: Credentials("k".to_owned()),
            at: UnixMillis(1),
        }),
        in_doubt: true,
        attempted_at: Some(UnixMillis(2)),
        failure: Some(Failure {
            error: SyncError::ApiLimited,
            code: Some(3),
            retry_after_secs: Some(4),
        }),
        failures: 5,
        next_attempt_at: Some(UnixMillis(6)),
        runs: 7,
        running_until: Some(UnixMillis(8)),
    };
    let bytes = vec![
        1, 1, 1, b'z', 1, b'c', 1, b'k', 1, 1, 1, 2, 1, 7, 1, 3, 1, 4, 5, 1, 6, 7, 1, 8,
    ];
    assert_eq!(wire::encode(&state), Ok(bytes.clone()));
    assert_eq!(wire::decode(&bytes), Ok(state));
}

/// A JWK that is close to good, or not.
fn any_jwk() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-c]", "AQAB", "sig", "enc", "RS256", "ES256", "P-256", ".{0,4}"
    ];
    let member = prop_oneof![
        4 => text.prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<u8>().prop_map(Value::from),
        1 => prop::collection::vec("(verify|sign)", 0..2).prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "kty", "kid", "use", "alg", "n", "e", "crv", "x", "y", "d", "k", "key_ops", "x5c",
    ]);
    let base = prop_oneof![
        Just(rsa("a")),
        Just(rsa("b")),
        Just(ec("c", "P-256", 32)),
        Just(ec("d", "P-384", 48)),
        Just(json!({})),
    ];
    (base, prop::collection::vec((names, member), 0..3)).prop_map(|(jwk, members)| {
        members
            .into_iter()
            .fold(jwk, |jwk, (name, value)| changed(jwk, name, value))
    })
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Rotate(u8),
    Pass(u64),
    /// A run that ends well, if the API answers as it is told to.
    Run {
        forced: bool,
        api_takes: bool,
        answer_is_lost: bool,
    },
    /// A run that never reports, after or before it sent.
    Crash {
        sends: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<u8>().prop_map(|keys| Step::Rotate(keys % 4)),
        (0u64..8_000).prop_map(Step::Pass),
        (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2)).prop_map(
            |(forced, api_takes, answer_is_lost)| Step::Run {
                forced,
                api_takes,
                answer_is_lost
            }
        ),
        any::<bool>().prop_map(|sends| Step::Crash { sends }),
    ]
}

proptest! {
    #[test]
    fn arbitrary_documents_never_panic(bytes: Vec<u8>, path: String) {
        let _ = Credentials::read(&bytes, &path);
        let _ = judge_answer(200, Some(&path), &bytes, NOW);
    }

    #[test]
    fn what_is_sent_has_only_documented_members_and_no_secret_in_whatever_order_keys_come(
        mut keys in prop::collection::vec(any_jwk(), 0..8),
        turn in 0usize..8,
    ) {
        let read_once = read(&keys);
        match &read_once {
            Ok(credentials) => {
                let body: Value = serde_json::from_str(credentials.as_json()).expect("JSON");
                let list = body["keys"].as_array().expect("an array");
                prop_assert!(!list.is_empty());
                for key in list {
                    let key = key.as_object().expect("an object");
                    let names: Vec<_> = key.keys().map(String::as_str).collect();
                    let expected: &[&str] = match key["kty"].as_str() {
                        Some("RSA") => &["alg", "e", "kid", "kty", "n"],
                        _ => &["alg", "crv", "kid", "kty", "x", "y"],
                    };
                    prop_assert_eq!(names, expected);
                    prop_assert!(key.values().all(|value| value.as_str().is_some_and(|v| !v.is_empty())));
                }
                // Reading it again changes nothing.
                let again = Credentials::read(credentials.as_json().as_bytes(), "/keys");
                prop_assert_eq!(again.as_ref(), Ok(credentials));
            }
            Err(error) => prop_assert_eq!(*error, SyncError::NoKeys),
        }
        let turn = turn % keys.len().max(1);
        keys.rotate_left(turn);
        prop_assert_eq!(read(&keys), read_once);
    }

    #[test]
    fn whatever_happens_one_run_is_under_way_and_a_good_one_leaves_the_providers_keys_in_force(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let sets: Vec<_> = (0..4).map(|n| read(&[rsa(&n.to_string())]).expect("keys")).collect();
        let (mut state, mut now, mut provider) = (SyncState::default(), NOW, 0usize);
        let mut in_force: Option<Credentials> = None;
        let mut lost_until = NOW;
        for step in steps {
            match step {
                Step::Rotate(keys) => provider = usize::from(keys),
                Step::Pass(secs) => now = now.plus_secs(secs),
                Step::Crash { sends } => {
                    let begun = state.begin(false, now);
                    if let Begun::Run { .. } = begun {
                        prop_assert!(now >= lost_until);
                        if sends && begun.is_to_send(&target(), &sets[provider]) {
                            in_force = Some(sets[provider].clone());
                        }
                        lost_until = now.plus_secs(RUN_SECS);
                    }
                }
                Step::Run { forced, api_takes, answer_is_lost } => {
                    let begun = state.begin(forced, now);
                    let Begun::Run { run, .. } = begun else {
                        prop_assert!(now < lost_until || (!forced && state.next_attempt_at.is_some_and(|at| now < at)));
                        continue;
                    };
                    prop_assert!(now >= lost_until);
                    let ended = if !begun.is_to_send(&target(), &sets[provider]) {
                        Ended::Unchanged
                    } else if answer_is_lost {
                        if api_takes {
                            in_force = Some(sets[provider].clone());
                        }
                        failed(SyncError::ApiUnavailable)
                    } else if api_takes {
                        in_force = Some(sets[provider].clone());
                        Ended::Sent(target(), sets[provider].clone())
                    } else {
                        failed(SyncError::ApiRefused)
                    };
                    let well = !matches!(ended, Ended::Failed(_));
                    state.end(run, ended, now);
                    if well {
                        prop_assert_eq!(in_force.as_ref(), Some(&sets[provider]));
                        prop_assert_eq!(state.failures, 0);
                    } else {
                        let pause = state.next_attempt_at.expect("a pause").0 - now.0;
                        prop_assert!((FIRST_PAUSE_SECS * 1000..=LONGEST_PAUSE_SECS * 1000).contains(&pause));
                    }
                }
            }
        }
    }
}
