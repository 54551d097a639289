//! One request at a time; [`world`] has many at once.

use super::super::testing::our_key;
use super::*;
use proptest::prelude::*;
use serde_json::json;

mod world;

const START: UnixMillis = UnixMillis(1_000_000);

fn after_ms(ms: u64) -> UnixMillis {
    UnixMillis(START.0 + ms)
}

/// A set with a key of each `kid`; what the key is does not matter here.
fn set(kids: &[&str]) -> KeySet {
    let jwk = serde_json::to_value(our_key().public_jwk()).expect("JSON");
    let named = |kid: &&str| {
        let mut jwk = jwk.clone();
        jwk["kid"] = (*kid).into();
        jwk
    };
    let keys: Vec<_> = kids.iter().map(named).collect();
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).expect("a key set")
}

/// A cache whose keys were fetched at the start, with a key of `kid` "a".
fn filled() -> KeyCache {
    let mut cache = KeyCache::new();
    let Plan::Fetch(ticket) = cache.plan(&mut Turn::default(), START) else {
        panic!("there is nothing to use");
    };
    assert_eq!(cache.fetched(ticket, set(&["a"]), START), Ok(()));
    cache
}

/// A request that was given the keys on hand.
fn given(cache: &mut KeyCache, now: UnixMillis) -> Turn {
    let mut turn = Turn::default();
    assert!(matches!(cache.plan(&mut turn, now), Plan::Use(_)));
    turn
}

/// Has a request look for `kid` until it is told to fetch; the time at which it is.
fn fetches_at(cache: &mut KeyCache, kid: &str, turn: &mut Turn, mut now: UnixMillis) -> UnixMillis {
    loop {
        match cache.look_for(Some(kid), turn, now) {
            Look::Wait(ms) => now = UnixMillis(now.0 + ms),
            Look::Fetch(ticket) => {
                assert_eq!(cache.fetched(ticket, set(&["a"]), now), Ok(()));
                return now;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_unknown_kid_waits_for_the_next_allowed_fetch_and_is_judged_by_what_it_brings() {
    let mut cache = filled();
    let mut turn = given(&mut cache, after_ms(200));
    let look = cache.look_for(Some("b"), &mut turn, after_ms(200));
    assert!(matches!(look, Look::Wait(800)), "{look:?}");
    let Look::Fetch(ticket) = cache.look_for(Some("b"), &mut turn, after_ms(1000)) else {
        panic!("the interval is over");
    };
    let mut other = given(&mut cache, after_ms(1010));
    let look = cache.look_for(Some("b"), &mut other, after_ms(1010));
    assert!(matches!(look, Look::Wait(_)), "one fetch at a time");
    assert_eq!(
        cache.fetched(ticket, set(&["a", "b"]), after_ms(1020)),
        Ok(())
    );
    for turn in [&mut turn, &mut other] {
        let Look::Judge(keys) = cache.look_for(Some("b"), turn, after_ms(1060)) else {
            panic!("there are newer keys");
        };
        assert!(keys.has_kid("b"));
    }
}

#[test]
fn a_set_whose_fetch_began_before_the_token_came_does_not_decide_on_it() {
    let mut cache = filled();
    let mut first = given(&mut cache, after_ms(1000));
    let Look::Fetch(ticket) = cache.look_for(Some("x"), &mut first, after_ms(1000)) else {
        panic!("allowed");
    };
    // Rotated after the document was read and before it came.
    let mut late = given(&mut cache, after_ms(1010));
    assert!(matches!(
        cache.look_for(Some("b"), &mut late, after_ms(1010)),
        Look::Wait(_)
    ));
    assert_eq!(cache.fetched(ticket, set(&["a"]), after_ms(1100)), Ok(()));
    let look = cache.look_for(Some("b"), &mut late, after_ms(1100));
    assert!(matches!(look, Look::Judge(_)));
    let look = cache.look_for(Some("b"), &mut late, after_ms(1100));
    assert!(matches!(look, Look::Wait(900)), "{look:?}");
    let at = fetches_at(&mut cache, "b", &mut late, after_ms(1100));
    assert_eq!(at, after_ms(2000));
}

#[test]
fn a_kid_is_not_looked_for_twice_in_vain_and_then_ever_more_seldom() {
    let mut cache = filled();
    let mut now = after_ms(1000);
    let mut secs = MISSING_SECS;
    for _ in 0..10 {
        let mut turn = given(&mut cache, now);
        let at = fetches_at(&mut cache, "x", &mut turn, now);
        let look = cache.look_for(Some("x"), &mut turn, at);
        assert!(matches!(look, Look::Judge(_)));
        assert!(matches!(cache.look_for(Some("x"), &mut turn, at), Look::No));
        let last = UnixMillis(at.plus_secs(secs).0 - 1);
        let mut again = Turn::default();
        let _ = cache.plan(&mut again, last);
        assert!(matches!(
            cache.look_for(Some("x"), &mut again, last),
            Look::No
        ));
        now = at.plus_secs(secs).max(at.plus_secs(60));
        secs = (2 * secs).min(MAX_MISSING_SECS);
    }
    assert_eq!(secs, MAX_MISSING_SECS);
}

#[test]
fn a_kid_that_turns_up_is_not_missing_any_more() {
    let mut cache = filled();
    cache.missed(Some("b"), START);
    cache.missed(Some("c"), START);
    let ticket = cache.sets.begin(START);
    assert_eq!(cache.fetched(ticket, set(&["a", "b"]), START), Ok(()));
    assert!(!cache.is_missing(Some("b"), START));
    assert!(cache.is_missing(Some("c"), START));
}

#[test]
fn the_allowance_for_looking_is_spent_and_fills_again() {
    let mut cache = filled();
    let mut now = after_ms(60_000);
    let first = now;
    let mut times = Vec::new();
    for n in 0..10 {
        let mut turn = given(&mut cache, now);
        now = fetches_at(&mut cache, &format!("x{n}"), &mut turn, now);
        times.push((now.0 - first.0) / 1000);
    }
    assert_eq!(times, [0, 1, 2, 3, 4, 5, 8, 12, 16, 20]);
}

#[test]
fn an_empty_set_replaces_nothing_and_is_a_failure() {
    let mut cache = filled();
    let stale = START.plus_secs(FRESH_SECS);
    let Plan::Fetch(ticket) = cache.plan(&mut Turn::default(), stale) else {
        panic!("stale");
    };
    assert_eq!(cache.fetched(ticket, set(&[]), stale), Err(NoKeys));
    let Plan::Use(keys) = cache.plan(&mut Turn::default(), stale) else {
        panic!("there are keys");
    };
    assert!(keys.has_kid("a"));

    let mut cold = KeyCache::new();
    let Plan::Fetch(ticket) = cold.plan(&mut Turn::default(), START) else {
        panic!("nothing to use");
    };
    assert_eq!(cold.fetched(ticket, set(&[]), START), Err(NoKeys));
    let told = cold.plan(&mut Turn::default(), START);
    assert!(matches!(told, Plan::Unavailable));
}

#[test]
fn keys_that_were_kept_elsewhere_are_used_but_do_not_decide_on_an_unknown_kid() {
    let mut cache = KeyCache::new();
    let mut turn = Turn::default();
    let Plan::Fetch(ticket) = cache.plan(&mut turn, START) else {
        panic!("nothing to use");
    };
    cache.restored(ticket, set(&["a"]), UnixMillis(START.0 - 600_000), START);
    let Plan::Use(keys) = cache.plan(&mut turn, START) else {
        panic!("restored");
    };
    assert!(keys.has_kid("a"));
    let look = cache.look_for(Some("b"), &mut turn, START);
    assert!(matches!(look, Look::Wait(LOOK_INTERVAL_MS)), "{look:?}");

    let mut cache = KeyCache::new();
    let Plan::Fetch(ticket) = cache.plan(&mut Turn::default(), START) else {
        panic!("nothing to use");
    };
    cache.restored(ticket, set(&[]), START, START);
    let told = cache.plan(&mut Turn::default(), START);
    assert!(matches!(told, Plan::Unavailable));
}

#[test]
fn a_clock_that_went_back_takes_no_looks_away() {
    let mut cache = filled();
    let mut now = START.plus_secs(1_000_000);
    for n in 0..20 {
        if let Plan::Fetch(ticket) = cache.plan(&mut Turn::default(), now) {
            assert_eq!(cache.fetched(ticket, set(&["a"]), now), Ok(()));
        }
        let mut turn = given(&mut cache, now);
        now = fetches_at(&mut cache, &format!("x{n}"), &mut turn, now);
    }
    let mut turn = given(&mut cache, START);
    let at = fetches_at(&mut cache, "b", &mut turn, START);
    assert!(at.0 - START.0 <= PATIENCE_MS);
}

proptest! {
    #[test]
    fn what_is_remembered_of_strangers_is_bounded(kids in prop::collection::vec("[a-z]{3}", 0..300)) {
        let mut cache = KeyCache::new();
        for kid in &kids {
            cache.missed(Some(kid), START);
        }
        prop_assert!(cache.missing.len() <= MAX_MISSING);
    }
}
