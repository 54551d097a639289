use super::testing::{
    BEGAN, MAX_AGE_MS, NOW, Service, Token, barred, ended, killed, seed, session, subject, token,
};
use super::*;
use portcullis_core::feed::page::{SignedPage, Statement, TYP, digest};
use portcullis_core::feed::{Entry, Target};
use portcullis_core::id::{LogHash, SubjectKey};
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::sign::SigningKey;
use portcullis_core::secret::Digest;
use portcullis_core::session::foreign::ForeignHolder;
use portcullis_core::wire;

const MANY: usize = 1000;
const COVERED: Local = Local::Ask(Why::Covered);
const CLEAR: Local = Local::Clear { age_ms: 0 };

const ONE: Token = Token {
    subject: 1,
    id: 2,
    issued_at: NOW,
};

fn received(pages: Vec<Opened>, at: UnixMillis) -> Vec<Received> {
    let asked = |opened| Received {
        opened,
        freshness: Freshness::Asked { at, age_ms: 0 },
    };
    pages.into_iter().map(asked).collect()
}

/// Asks and takes what comes, all at one moment.
fn refresh(view: &mut View, service: &Service, now: UnixMillis) -> Result<Progress, Refused> {
    let answer = service.answer(&view.poll(), now, MANY);
    view.take(&received(answer, now), now)
}

fn fresh(entries: Vec<Entry>) -> (View, Service) {
    let (mut view, mut service) = (View::new(seed()), Service::new());
    for entry in entries {
        service.append(entry);
    }
    assert_eq!(refresh(&mut view, &service, NOW), Ok(Progress::UpToDate));
    (view, service)
}

fn judged(entry: Entry, marks: &Marks) -> Local {
    fresh(vec![entry]).0.judge(marks, NOW, 1000)
}

fn after(ms: u64) -> UnixMillis {
    UnixMillis(NOW.0 + ms)
}

#[test]
fn every_mark_of_a_token_can_cover_it_and_those_of_others_cannot() {
    assert_eq!(fresh(vec![]).0.judge(&ONE.marks(), NOW, 1000), CLEAR);
    for mine in [
        subject(1),
        session(2),
        token(2),
        Target::Client("app".into()),
    ] {
        assert_eq!(judged(ended(mine, NOW), &ONE.marks()), COVERED);
    }
    assert_eq!(
        judged(ended(Target::Key("k1".into()), NOW), &ONE.marks()),
        COVERED
    );
    for other in [
        subject(2),
        session(1),
        token(1),
        Target::Client("other".into()),
        Target::Key("k2".into()),
    ] {
        assert_eq!(judged(ended(other, NOW), &ONE.marks()), CLEAR);
    }
}

#[test]
fn a_revoked_connection_covers_all_of_our_tokens_from_before_since_they_do_not_name_theirs() {
    let entry = killed(Target::Connection("okta".into()), NOW);
    assert_eq!(judged(entry.clone(), &ONE.marks()), COVERED);
    let later = Token {
        issued_at: NOW.plus_secs(61),
        ..ONE
    };
    assert_eq!(judged(entry, &later.marks()), CLEAR);
}

#[test]
fn a_revoked_client_covers_all_tokens_from_before_with_which_somebody_acts_for_others() {
    let exchanged = Marks {
        for_others: true,
        ..ONE.marks()
    };
    let entry = killed(Target::Client("another".into()), NOW);
    assert_eq!(judged(entry.clone(), &exchanged), COVERED);
    assert_eq!(judged(entry, &ONE.marks()), CLEAR);
}

#[test]
fn an_identity_providers_token_is_covered_by_its_own_marks() {
    let holder = ForeignHolder {
        subject: SubjectKey::from_bytes([1; 16]),
        connection: "okta".into(),
        client_id: Some("okta:app".into()),
        scope: None,
        roles: vec![],
        groups: vec![],
        auth_time_secs: None,
        acr: None,
        token: LogHash::from_bytes([2; 16]),
        issued_at: NOW,
        expires_at: NOW.plus_secs(300),
        sid: Some(Digest::of(b"s")),
    };
    let marks = Marks::of_foreign(&holder, NOW, &seed());
    let upstream = |person, sid: &[u8]| {
        Target::UpstreamSession(SubjectKey::from_bytes([person; 16]), Digest::of(sid))
    };
    for (target, expected) in [
        (subject(1), COVERED),
        (subject(2), CLEAR),
        (upstream(1, b"s"), COVERED),
        (upstream(1, b"t"), CLEAR),
        (upstream(2, b"s"), CLEAR),
        (Target::Connection("okta".into()), COVERED),
        (Target::Connection("entra".into()), CLEAR),
        (Target::Client("app".into()), CLEAR),
    ] {
        let entry = ended(target.clone(), NOW);
        assert_eq!(judged(entry, &marks), expected, "{target:?}");
    }
}

#[test]
fn who_is_vouched_for_as_of_a_time_before_the_feed_is_asked_about() {
    let (view, _) = fresh(vec![]);
    for (at, expected) in [
        (BEGAN, Local::Ask(Why::BeforeTheFeed)),
        (
            BEGAN.plus_secs(CLOCK_SKEW_SECS),
            Local::Ask(Why::BeforeTheFeed),
        ),
        (BEGAN.plus_secs(CLOCK_SKEW_SECS + 1), CLEAR),
    ] {
        let marks = Token {
            issued_at: at,
            ..ONE
        }
        .marks();
        assert_eq!(view.judge(&marks, NOW, 1000), expected);
    }
}

#[test]
fn a_view_is_as_old_as_its_question_and_the_page_and_stale_beyond_what_is_allowed() {
    let (mut view, service) = (View::new(seed()), Service::new());
    assert_eq!(view.judge(&ONE.marks(), NOW, 1000), Local::Stale);
    let opened = service.answer(&view.poll(), NOW, MANY).remove(0);
    let page = Received {
        opened,
        freshness: Freshness::Asked {
            at: NOW,
            age_ms: 30,
        },
    };
    view.take(&[page], after(50)).expect("taken");
    let judge = |at, max| view.judge(&ONE.marks(), at, max);
    assert_eq!(judge(after(50), 1000), Local::Clear { age_ms: 80 });
    assert_eq!(judge(after(970), 1000), Local::Clear { age_ms: 1000 });
    assert_eq!(judge(after(971), 1000), Local::Stale);
    // Nor longer than the service allows.
    assert_eq!(
        judge(after(MAX_AGE_MS - 30), u64::MAX),
        Local::Clear { age_ms: MAX_AGE_MS }
    );
    assert_eq!(judge(after(MAX_AGE_MS - 29), u64::MAX), Local::Stale);
    assert_eq!(judge(UnixMillis(NOW.0 - 31), 1000), Local::Stale);
}

#[test]
fn a_page_through_a_cache_is_as_old_as_it_says_and_as_clocks_may_differ() {
    let (mut view, service) = (View::new(seed()), Service::new());
    let mut take = |made: UnixMillis, now: UnixMillis| {
        let opened = service
            .answer(&Poll { known: vec![] }, made, MANY)
            .remove(0);
        let freshness = Freshness::Stated;
        view.forget();
        view.take(&[Received { opened, freshness }], now)?;
        Ok(view.age_ms(now).expect("an age"))
    };
    assert_eq!(take(NOW, after(500)), Ok(60_500));
    // From the future, though not further than clocks may differ.
    assert_eq!(take(after(60_000), NOW), Ok(0));
    assert_eq!(take(after(60_001), NOW), Err(Refused::ClocksDiffer));
}

#[test]
fn a_view_that_is_not_complete_answers_nothing() {
    let (mut view, mut service) = (View::new(seed()), Service::new());
    for index in 0..5 {
        service.append(ended(session(10 + index), NOW));
    }
    for expected in [Progress::Behind, Progress::Behind, Progress::UpToDate] {
        assert!(view.is_behind());
        assert_eq!(view.judge(&ONE.marks(), NOW, 1000), Local::Stale);
        let answer = service.answer(&view.poll(), NOW, 2);
        assert_eq!(view.take(&received(answer, NOW), NOW), Ok(expected));
    }
    assert_eq!(view.judge(&ONE.marks(), NOW, 1000), CLEAR);
    // One that was complete is as old as it was then while it catches up, and no younger.
    for index in 0..3 {
        service.append(ended(session(20 + index), NOW));
    }
    let answer = service.answer(&view.poll(), after(100), 2);
    let taken = view.take(&received(answer, after(100)), after(100));
    assert_eq!(
        (taken, view.age_ms(after(100))),
        (Ok(Progress::Behind), Some(100))
    );
}

#[test]
fn who_is_let_in_again_is_covered_no_more() {
    let (mut view, mut service) = fresh(vec![barred(subject(1), NOW)]);
    let later = Token {
        issued_at: NOW.plus_secs(100),
        ..ONE
    };
    assert_eq!(view.judge(&later.marks(), NOW, 1000), COVERED);
    service.append(killed(subject(1), NOW));
    refresh(&mut view, &service, after(1)).expect("taken");
    assert_eq!(view.judge(&later.marks(), after(1), 1000), CLEAR);
    assert_eq!(view.judge(&ONE.marks(), after(1), 1000), COVERED);
}

#[test]
fn an_entry_goes_when_it_has_ended_by_both_clocks() {
    let (mut view, service) = fresh(vec![ended(subject(1), NOW)]);
    let later = NOW.plus_secs(3600);
    // Our clock jumps ahead and back: nothing was forgotten.
    let answer = service.answer(&view.poll(), after(1), MANY);
    let jumped = view.take(&received(answer, after(1)), later);
    assert_eq!(jumped, Ok(Progress::UpToDate));
    view.forget_age();
    refresh(&mut view, &service, after(2)).expect("taken");
    assert_eq!(view.judge(&ONE.marks(), after(2), 1000), COVERED);
    view.forget_age();
    refresh(&mut view, &service, later).expect("taken");
    assert_eq!(view.judge(&ONE.marks(), later, 1000), CLEAR);
}

/// What a page must be to be taken, and that a refused one leaves the view as it is, and no younger.
#[test]
fn what_does_not_follow_is_refused_and_leaves_the_view_as_old_as_it_was() {
    let (mut view, mut service) = fresh(vec![ended(session(3), NOW), ended(session(4), NOW)]);
    let earlier = service.answer(&view.poll(), NOW, MANY);
    service.append(ended(session(5), NOW));
    refresh(&mut view, &service, after(10)).expect("taken");
    let next = service.answer(&view.poll(), after(20), MANY).remove(0);
    let with = |change: &dyn Fn(&mut Statement)| {
        let mut page = next.clone();
        change(&mut page.page.statement);
        vec![page]
    };
    let later = UnixMillis(BEGAN.0 + 1);
    let other = portcullis_core::id::IncarnationId::from_bytes([7; 16]);
    for (pages, expected) in [
        (vec![], Refused::NotAllFeeds),
        (vec![next.clone(), next.clone()], Refused::NotAllFeeds),
        (
            with(&|page| page.shard = "2-0".into()),
            Refused::NotAllFeeds,
        ),
        (with(&|page| page.shard = "x".into()), Refused::NotAllFeeds),
        (
            with(&|page| page.shard = "01-0".into()),
            Refused::NotAllFeeds,
        ),
        (earlier, Refused::WentBack),
        (with(&|page| page.time = after(9)), Refused::WentBack),
        (with(&|page| page.seq = 2), Refused::WentBack),
        (with(&|page| page.after = 2), Refused::Gap),
        (with(&|page| page.after = 4), Refused::Gap),
        (with(&|page| page.inc = other), Refused::EarlierLife),
        (with(&|page| page.began_at = later), Refused::EarlierLife),
        (
            with(&|page| (page.inc, page.began_at) = (other, UnixMillis(BEGAN.0 - 1))),
            Refused::EarlierLife,
        ),
        (
            with(&|page| (page.inc, page.began_at) = (other, later)),
            Refused::Gap,
        ),
        (
            with(&|page| page.time = UnixMillis(NOW.0 + 60_021)),
            Refused::ClocksDiffer,
        ),
    ] {
        let taken = view.take(&received(pages, after(20)), after(20));
        assert_eq!(taken, Err(expected));
        assert_eq!(view.age_ms(after(20)), Some(10), "{expected:?}");
        assert_eq!(
            view.poll().known.first().map(|known| known.through),
            Some(3)
        );
    }
    assert_eq!(
        refresh(&mut view, &service, after(20)),
        Ok(Progress::UpToDate)
    );
    assert_eq!(view.age_ms(after(20)), Some(0));
}

#[test]
fn a_clock_that_is_minutes_off_either_way_makes_no_view() {
    for (ours, refused) in [
        (NOW.0 - 60_000, false),
        (NOW.0 - 60_001, true),
        (NOW.0 + 60_000, false),
        (NOW.0 + 60_001, true),
    ] {
        let (mut view, service) = (View::new(seed()), Service::new());
        let answer = service.answer(&view.poll(), NOW, MANY);
        let taken = view.take(&received(answer, UnixMillis(ours)), UnixMillis(ours));
        assert_eq!(taken == Err(Refused::ClocksDiffer), refused, "{ours}");
    }
}

#[test]
fn a_page_that_comes_again_makes_nothing_younger_whatever_its_age_is_said_to_be() {
    let (mut view, service) = fresh(vec![]);
    let same = service.answer(&view.poll(), NOW, MANY);
    let again = view.take(&received(same, after(400)), after(400));
    // The same statement, and by 400 ms it would have to be another.
    assert_eq!(again, Err(Refused::Replayed));
    let made_then = service.answer(&view.poll(), after(50), MANY);
    let late = view.take(&received(made_then.clone(), after(140)), after(140));
    assert_eq!(
        (late, view.age_ms(after(140))),
        (Ok(Progress::UpToDate), Some(90))
    );
    let again = view.take(&received(made_then, after(150)), after(150));
    assert_eq!(
        (again, view.age_ms(after(150))),
        (Ok(Progress::UpToDate), Some(100))
    );
}

#[test]
fn another_life_answers_nothing_until_it_is_complete_and_forgets_the_one_before() {
    let (mut view, mut service) = fresh(vec![ended(subject(1), NOW)]);
    service.restart(2, after(10), false);
    for index in 0..3 {
        service.append(ended(session(10 + index), NOW));
    }
    let answer = service.answer(&view.poll(), after(20), 2);
    let taken = view.take(&received(answer, after(20)), after(20));
    assert_eq!(taken, Ok(Progress::Behind));
    assert_eq!(view.judge(&ONE.marks(), after(20), 1000), Local::Stale);
    refresh(&mut view, &service, after(30)).expect("taken");
    let before = Local::Ask(Why::BeforeTheFeed);
    assert_eq!(view.judge(&ONE.marks(), after(30), 1000), before);
    let later = Token {
        issued_at: NOW.plus_secs(100),
        ..ONE
    };
    assert_eq!(view.judge(&later.marks(), after(30), 1000), CLEAR);
}

#[test]
fn a_feed_that_is_missing_is_noticed_and_those_of_another_layout_replace_all() {
    let (mut view, mut service) = fresh(vec![ended(subject(1), NOW)]);
    service.shards = 2;
    let mut one_only = service.answer(&view.poll(), after(10), MANY);
    one_only.truncate(1);
    let taken = view.take(&received(one_only, after(10)), after(10));
    assert_eq!(taken, Err(Refused::NotAllFeeds));
    assert_eq!(view.age_ms(after(10)), Some(10));
    refresh(&mut view, &service, after(20)).expect("taken");
    assert_eq!(view.poll().known.len(), 2);
    assert_eq!(view.judge(&ONE.marks(), after(20), 1000), COVERED);
    // The oldest of them counts.
    let mut pages = received(service.answer(&view.poll(), after(30), MANY), after(30));
    if let Some(second) = pages.get_mut(1) {
        second.opened.page.statement.after += 1;
    }
    assert_eq!(view.take(&pages, after(30)), Err(Refused::Gap));
    assert_eq!(view.age_ms(after(30)), Some(10));
}

#[test]
fn of_a_layout_whose_pages_do_not_all_fit_nothing_is_kept() {
    let mut service = Service::new();
    service.shards = 2;
    service.append(killed(subject(1), NOW));
    let mut view = View::new(seed());
    let mut pages = service.answer(&view.poll(), NOW, 100);
    if let Some(second) = pages.last_mut() {
        second.page.statement.after = 1;
    }
    let refused = view.take(&received(pages, NOW), NOW);
    assert_eq!(refused, Err(Refused::Gap));
    // Whoever is in the feed that was refused is not cleared by the other.
    let token = Token {
        subject: 1,
        id: 4,
        issued_at: NOW,
    };
    assert_eq!(view.judge(&token.marks(), NOW, MAX_AGE_MS), Local::Stale);
    assert_eq!(view.age_ms(NOW), None);
    assert_eq!(refresh(&mut view, &service, NOW), Ok(Progress::UpToDate));
}

#[test]
fn a_revoked_key_signs_no_further_page() {
    let (mut view, mut service) = fresh(vec![]);
    service.append(ended(Target::Key("k1".into()), NOW));
    refresh(&mut view, &service, after(10)).expect("taken");
    let refused = refresh(&mut view, &service, after(20));
    assert_eq!(refused, Err(Refused::RevokedKey));
    // Nor does it bring another layout.
    service.shards = 2;
    let refused = refresh(&mut view, &service, after(20));
    assert_eq!(
        (refused, view.age_ms(after(20))),
        (Err(Refused::RevokedKey), Some(10))
    );
}

#[test]
fn only_what_the_service_signed_whole_is_opened() {
    let key = SigningKey::from_secret(&[7; 32]).expect("a key");
    let jwks = serde_json::json!({ "keys": [key.public_jwk()] }).to_string();
    let keys = KeySet::parse(jwks.as_bytes()).expect("a key set");
    let made = Service::new()
        .answer(&Poll { known: vec![] }, NOW, MANY)
        .remove(0);
    let entries = wire::encode(&vec![ended(subject(1), NOW)]).expect("encodes");
    let statement = Statement {
        entries_sha256: digest(&entries),
        ..made.page.statement
    };
    let good = SignedPage {
        statement: key.sign(&statement, TYP).expect("signs"),
        entries,
    };
    let issuer = "https://id.example";
    let opened = page::open(&good, &keys, issuer).expect("opens");
    assert_eq!(opened.kid, key.kid());
    assert_eq!(opened.page.entries, [ended(subject(1), NOW)]);
    let other = SigningKey::from_secret(&[8; 32]).expect("a key");
    let forged = SignedPage {
        statement: other.sign(&statement, TYP).expect("signs"),
        ..good.clone()
    };
    let truncated = SignedPage {
        entries: vec![1, 0],
        ..good.clone()
    };
    for (page, issuer, expected) in [
        (&forged, issuer, TokenError::UnknownKey),
        (&truncated, issuer, TokenError::Binding),
        (&good, "https://evil.example", TokenError::Issuer),
    ] {
        assert_eq!(page::open(page, &keys, issuer).err(), Some(expected));
    }
}
