use super::*;
use crate::objects::host_sql::HostSql;
use portcullis_core::id::{SamlRequestId, SubjectKey};
use portcullis_core::oauth::authorize::AuthorizationRequest;
use portcullis_core::oauth::flow::saml::{
    AnswerSaml, Errand, SamlAnswer, SamlAway, SamlSaid, ShowSamlAwaited, TakeSaml,
};
use portcullis_core::oauth::flow::{
    Asked, Away, Person, ShowAsked, TakeAsked, TakeAway, TakePushed,
};
use portcullis_core::secret::Digest;
use portcullis_core::session::login::ClientRequest;
use portcullis_core::session::{Profile, Upstream};
use portcullis_core::wire::Call;

const TTL_SECS: u64 = 600;

fn request() -> AuthorizationRequest {
    AuthorizationRequest {
        client: ClientRequest {
            client_id: "c".into(),
            redirect_uri: "r".into(),
            code_challenge: "x".into(),
            nonce: None,
            scope: "openid".into(),
            audiences: vec!["a".into()],
            dpop_jkt: None,
        },
        state: None,
        prompt: vec![],
        max_age_secs: None,
        acr_values: vec![],
        login_hint: None,
    }
}

fn away() -> Stage {
    Stage::Away(Away {
        request: request(),
        begun_at: UnixMillis(0),
        browser: Digest::of(b"cookie"),
        nonce: "n".into(),
        code_verifier: "v".into(),
        connection: "demo".into(),
    })
}

fn asked() -> Stage {
    Stage::Asked(Box::new(Asked {
        request: request(),
        begun_at: UnixMillis(0),
        browser: Digest::of(b"cookie"),
        person: Person {
            subject: SubjectKey::from_bytes([1; 16]),
            connection: "demo".into(),
            auth_time_secs: 1,
            acr: None,
            groups: vec![],
            roles: vec![],
            claims: vec![],
            profile: Profile::default(),
            upstream: Upstream::default(),
            value: "alice".into(),
        },
    }))
}

fn keep(stage: Stage) -> FlowRequest {
    let keep = Keep {
        stage,
        ttl_secs: TTL_SECS,
    };
    keep.into_request()
}

fn kept(stage: Stage) -> FlowService<HostSql> {
    let service = never();
    service
        .answer(keep(stage), UnixMillis(0))
        .expect("is stored");
    service
}

fn never() -> FlowService<HostSql> {
    FlowService {
        sql: HostSql::new(),
    }
}

fn is_given<C, T>(service: &FlowService<HostSql>, call: C, now: u64) -> bool
where
    C: Call<Request = FlowRequest, Reply = Option<T>>,
    Option<T>: serde::de::DeserializeOwned,
{
    let reply = service.answer(call.into_request(), UnixMillis(now));
    wire::decode::<Option<T>>(&reply.expect("reads"))
        .expect("decodes")
        .is_some()
}

fn take_away(service: &FlowService<HostSql>, cookie: &[u8], now: u64) -> bool {
    let browser = Digest::of(cookie);
    is_given(service, TakeAway { browser }, now)
}

fn take_asked(service: &FlowService<HostSql>, cookie: &[u8]) -> bool {
    let browser = Digest::of(cookie);
    is_given(service, TakeAsked { browser }, 1)
}

fn take_pushed(service: &FlowService<HostSql>, client_id: &str) -> bool {
    let client_id = client_id.to_owned();
    is_given(service, TakePushed { client_id }, 1)
}

#[test]
fn a_flow_is_taken_once_and_only_by_its_browser() {
    let service = kept(away());
    assert!(!take_away(&service, b"other", 1));
    assert!(take_away(&service, b"cookie", 1));
    assert!(!take_away(&service, b"cookie", 1));
}

#[test]
fn a_question_is_shown_often_answered_once_and_only_by_its_browser() {
    let service = kept(asked());
    let show = |cookie: &[u8]| {
        let browser = Digest::of(cookie);
        is_given(&service, ShowAsked { browser }, 1)
    };
    assert!(!show(b"other") && show(b"cookie") && show(b"cookie"));
    assert!(!take_asked(&service, b"other"));
    assert!(take_asked(&service, b"cookie"));
    assert!(!show(b"cookie") && !take_asked(&service, b"cookie"));
}

#[test]
fn a_pushed_request_is_used_once_and_only_by_its_client() {
    let service = kept(Stage::Pushed(request()));
    assert!(!take_pushed(&service, "other"));
    assert!(take_pushed(&service, "c"));
    assert!(!take_pushed(&service, "c"));
}

#[test]
fn no_stage_is_taken_for_another() {
    let service = kept(away());
    assert!(!take_asked(&service, b"cookie") && !take_pushed(&service, "c"));
    assert!(take_away(&service, b"cookie", 1));
    let service = kept(asked());
    assert!(!take_away(&service, b"cookie", 1) && !take_pushed(&service, "c"));
    assert!(take_asked(&service, b"cookie"));
    let service = kept(Stage::Pushed(request()));
    assert!(!take_away(&service, b"cookie", 1) && !take_asked(&service, b"cookie"));
    assert!(take_pushed(&service, "c"));
}

#[test]
fn a_stage_follows_only_when_the_one_before_was_taken() {
    let service = kept(away());
    assert!(service.answer(keep(asked()), UnixMillis(1)).is_err());
    assert!(take_away(&service, b"cookie", 1));
    assert!(service.answer(keep(asked()), UnixMillis(1)).is_ok());
    assert!(take_asked(&service, b"cookie"));
}

#[test]
fn a_flow_expires_and_one_that_never_was_is_nothing() {
    assert!(!take_away(&kept(away()), b"cookie", TTL_SECS * 1000));
    let never = never();
    assert!(!take_away(&never, b"cookie", 1));
    assert_eq!(has_schema(&never.sql), Ok(false));
}

#[test]
fn a_flow_id_is_used_for_one_flow() {
    let service = kept(away());
    assert!(service.answer(keep(away()), UnixMillis(1)).is_err());
}

#[test]
fn a_flow_of_an_older_form_is_gone() {
    let service = never();
    migrate(&service.sql, MIGRATIONS.split_at(1).0).expect("the old schema");
    let old = "INSERT INTO flow (id, expires_at, flow) VALUES (1, 1000000, x'0107')";
    service.sql.exec(old, &[]).expect("an old row");
    assert!(!take_away(&service, b"cookie", 1));
    assert!(service.answer(keep(away()), UnixMillis(1)).is_ok());
}

fn saml() -> Stage {
    Stage::Saml(Box::new(SamlAway {
        errand: Errand::LogIn {
            request: Box::new(request()),
            begun_at: UnixMillis(0),
        },
        connection: "acme".into(),
        browser: Digest::of(b"cookie"),
        request_id: SamlRequestId::from_bytes([1; 16]),
        answer: None,
    }))
}

/// Answers for the browser that is given `code`; whether that was kept.
fn answer(service: &FlowService<HostSql>, code: &[u8], now: u64) -> bool {
    let answer = SamlAnswer {
        code: Digest::of(code),
        said: SamlSaid::Refused("status".into()),
    };
    let reply = service.answer(AnswerSaml { answer }.into_request(), UnixMillis(now));
    wire::decode(&reply.expect("answers")).expect("decodes")
}

fn take_saml(service: &FlowService<HostSql>, cookie: &[u8], code: &[u8]) -> bool {
    let take = TakeSaml {
        browser: Digest::of(cookie),
        code: Digest::of(code),
    };
    is_given(service, take, 1)
}

#[test]
fn a_saml_flow_is_answered_once_and_no_answer_is_awaited_after() {
    let service = kept(saml());
    assert!(is_given(&service, ShowSamlAwaited, 1));
    assert!(is_given(&service, ShowSamlAwaited, 1));
    assert!(answer(&service, b"one", 1));
    assert!(!is_given(&service, ShowSamlAwaited, 1));
    assert!(!answer(&service, b"two", 1));
    assert!(!take_saml(&service, b"cookie", b"two"));
    assert!(take_saml(&service, b"cookie", b"one"));
    assert!(!answer(&service, b"three", 1));
    assert!(!take_saml(&service, b"cookie", b"one"));
}

#[test]
fn a_saml_flow_is_taken_with_its_answer_by_the_browser_that_set_out_and_brought_it() {
    let service = kept(saml());
    assert!(!take_saml(&service, b"cookie", b"code"));
    assert!(answer(&service, b"code", 1));
    assert!(!take_saml(&service, b"cookie", b"other"));
    assert!(!take_saml(&service, b"other", b"code"));
    assert!(!take_away(&service, b"cookie", 1));
    assert!(take_saml(&service, b"cookie", b"code"));
}

#[test]
fn only_a_saml_flow_waits_for_a_saml_answer_and_not_longer_than_it_is_kept() {
    let service = kept(away());
    assert!(!is_given(&service, ShowSamlAwaited, 1));
    assert!(!answer(&service, b"code", 1));
    assert!(take_away(&service, b"cookie", 1));
    assert!(!answer(&never(), b"code", 1));
    assert!(!answer(&kept(saml()), b"code", TTL_SECS * 1000));
}
