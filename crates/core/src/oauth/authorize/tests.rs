use super::super::testing::{CHALLENGE, USUAL, client, parameters};
use super::*;
use proptest::prelude::*;

const RESOURCES: &[&str] = &["https://deployment.example"];

fn judged(changes: &[(&str, &str)]) -> Result<AuthorizationRequest, Refusal> {
    let resources: Vec<String> = RESOURCES.iter().map(|r| (*r).to_owned()).collect();
    parameters(changes).judge(&client(), &resources, Via::Browser)
}

fn error(changes: &[(&str, &str)]) -> Option<ErrorCode> {
    match judged(changes) {
        Err(Refusal::Told { error, .. }) => Some(error),
        Err(Refusal::Untrusted) => panic!("untrusted: {changes:?}"),
        Ok(_) => None,
    }
}

#[test]
fn a_plain_request_is_read_as_it_came() {
    let request = judged(&[("state", "s"), ("nonce", "n"), ("ui_locales", "de")]).expect("valid");
    assert_eq!(request.state.as_deref(), Some("s"));
    assert_eq!(request.client.nonce.as_deref(), Some("n"));
    assert_eq!(request.client.code_challenge, CHALLENGE);
    assert_eq!(request.client.audiences, ["https://api.example"]);
    assert!(request.prompt.is_empty() && request.max_age_secs.is_none());
}

#[test]
fn nothing_is_told_to_a_client_that_does_not_belong_to_the_redirect_uri() {
    for changes in [
        ("redirect_uri", ""),
        ("redirect_uri", "https://a.example/other"),
        ("redirect_uri", "https://a.example/cb#f"),
        ("client_id", ""),
        ("client_id", "other"),
    ] {
        assert_eq!(judged(&[changes]), Err(Refusal::Untrusted), "{changes:?}");
    }
    for twice in ["client_id", "redirect_uri"] {
        let value = USUAL
            .iter()
            .find(|(name, _)| *name == twice)
            .expect("usual");
        let pairs = USUAL.iter().chain([value]);
        let read = Parameters::read(pairs.copied());
        assert_eq!(
            read.judge(&client(), &[], Via::Browser),
            Err(Refusal::Untrusted),
            "{twice}"
        );
    }
}

#[test]
fn pkce_cannot_be_left_out_or_weakened() {
    for changes in [
        ("code_challenge_method", "plain"),
        ("code_challenge_method", "s256"),
        ("code_challenge_method", ""),
        ("code_challenge", ""),
        ("code_challenge", "short"),
    ] {
        assert_eq!(error(&[changes]), Some(ErrorCode::InvalidRequest));
    }
}

#[test]
fn each_mistake_has_the_error_of_its_rfc() {
    let long = "x".repeat(MAX_PARAMETER_BYTES + 1);
    for (name, value, expected) in [
        ("response_type", "", ErrorCode::InvalidRequest),
        ("response_type", "token", ErrorCode::UnsupportedResponseType),
        (
            "response_type",
            "code token",
            ErrorCode::UnsupportedResponseType,
        ),
        ("response_mode", "fragment", ErrorCode::InvalidRequest),
        ("response_mode", "form_post", ErrorCode::InvalidRequest),
        ("prompt", "none login", ErrorCode::InvalidRequest),
        ("prompt", "create", ErrorCode::InvalidRequest),
        ("prompt", "Login", ErrorCode::InvalidRequest),
        ("max_age", "-1", ErrorCode::InvalidRequest),
        ("max_age", "+1", ErrorCode::InvalidRequest),
        ("max_age", "1.5", ErrorCode::InvalidRequest),
        ("max_age", "4294967296", ErrorCode::InvalidRequest),
        ("dpop_jkt", "short", ErrorCode::InvalidRequest),
        (
            "resource",
            "https://other.example",
            ErrorCode::InvalidTarget,
        ),
        (
            "resource",
            "https://deployment.example",
            ErrorCode::InvalidTarget,
        ),
        (
            "resource",
            "https://api.example#f",
            ErrorCode::InvalidTarget,
        ),
        ("resource", "api", ErrorCode::InvalidTarget),
        ("request", "e30.e30.", ErrorCode::RequestNotSupported),
        (
            "request_uri",
            "https://a.example/r",
            ErrorCode::RequestUriNotSupported,
        ),
        (
            "request_uri",
            "urn:ietf:params:oauth:request_uri:x",
            ErrorCode::InvalidRequestUri,
        ),
        ("state", &long, ErrorCode::InvalidRequest),
        ("login_hint", &long, ErrorCode::InvalidRequest),
    ] {
        assert_eq!(error(&[(name, value)]), Some(expected), "{name}={value}");
    }
}

#[test]
fn a_resource_with_a_slash_after_its_origin_is_the_one_that_is_configured() {
    let pairs = USUAL.iter().copied().chain([
        ("resource", "https://api.example/"),
        ("resource", "https://api.example"),
    ]);
    let request = Parameters::read(pairs).judge(&client(), &[], Via::Browser);
    let audiences = request.expect("valid").client.audiences;
    assert_eq!(audiences, ["https://api.example"]);
}

#[test]
fn the_client_s_state_comes_back_with_its_error_unless_it_came_twice() {
    let told = |extra: &[(&str, &str)]| {
        let pairs = USUAL.iter().chain(extra);
        let read = Parameters::read(pairs.copied());
        match read.judge(&client(), &[], Via::Browser) {
            Err(Refusal::Told { state, error, .. }) => (state, error),
            other => panic!("{other:?}"),
        }
    };
    let twice = [("scope", "openid"), ("scope", "openid"), ("state", "s")];
    assert_eq!(told(&twice), (Some("s".into()), ErrorCode::InvalidRequest));
    let twice = [("state", "s"), ("state", "t")];
    assert_eq!(told(&twice), (None, ErrorCode::InvalidRequest));
}

#[test]
fn scopes_are_those_the_client_may_have_once_each() {
    let scope = |asked| judged(&[("scope", asked)]).expect("valid").client.scope;
    assert_eq!(scope("openid admin  profile openid"), "openid profile");
    assert_eq!(scope("offline_access"), "offline_access");
    assert_eq!(scope(""), "");
    let mut without_refresh = client();
    without_refresh.grant_types = vec![GrantType::AuthorizationCode];
    let asked = parameters(&[("scope", "openid offline_access")]);
    let request = asked
        .judge(&without_refresh, &[], Via::Browser)
        .expect("valid");
    assert_eq!(request.client.scope, "openid");
}

#[test]
fn resources_may_come_more_than_once_and_the_first_is_meant_by_none() {
    let pairs = USUAL.iter().chain(&[
        ("resource", "https://other-api.example"),
        ("resource", "https://api.example"),
        ("resource", "https://api.example"),
    ]);
    let read = Parameters::read(pairs.copied());
    let mut client = client();
    client.resources = vec![
        "https://api.example".into(),
        "https://other-api.example".into(),
    ];
    let request = read.judge(&client, &[], Via::Browser).expect("valid");
    assert_eq!(
        request.client.audiences,
        ["https://other-api.example", "https://api.example"]
    );
    client.resources.clear();
    let deployment = ["https://deployment.example".to_owned()];
    let request = parameters(&[])
        .judge(&client, &deployment, Via::Browser)
        .expect("valid");
    assert_eq!(request.client.audiences, deployment);
    let nothing = parameters(&[]).judge(&client, &[], Via::Browser);
    assert!(matches!(
        nothing,
        Err(Refusal::Told {
            error: ErrorCode::InvalidTarget,
            ..
        })
    ));
}

#[test]
fn a_client_without_the_grant_is_not_authorized() {
    let mut service = client();
    service.grant_types = vec![GrantType::ClientCredentials];
    let judged = parameters(&[]).judge(&service, &[], Via::Browser);
    assert!(matches!(
        judged,
        Err(Refusal::Told {
            error: ErrorCode::UnauthorizedClient,
            ..
        })
    ));
}

#[test]
fn a_client_that_must_push_its_requests_cannot_send_them_with_the_browser() {
    let mut pushing = client();
    pushing.require_pushed_authorization_requests = true;
    let judged = |via| parameters(&[]).judge(&pushing, &[], via);
    assert!(judged(Via::Push).is_ok());
    assert!(matches!(
        judged(Via::Browser),
        Err(Refusal::Told {
            error: ErrorCode::InvalidRequest,
            ..
        })
    ));
}

#[test]
fn prompts_are_read_as_a_set() {
    let request = judged(&[("prompt", "login consent login"), ("max_age", "0")]).expect("valid");
    assert_eq!(request.prompt, [Prompt::Login, Prompt::Consent]);
    assert_eq!(request.max_age_secs, Some(0));
    assert!(
        judged(&[("prompt", "none")])
            .expect("valid")
            .prompts(Prompt::None)
    );
}

proptest! {
    #[test]
    fn whatever_comes_is_judged_and_what_passes_keeps_to_the_rules(
        changes in proptest::collection::vec((
            prop::sample::select(vec![
                "response_type", "client_id", "redirect_uri", "code_challenge", "code_challenge_method", "scope",
                "state", "nonce", "prompt", "max_age", "acr_values", "resource", "dpop_jkt", "request", "request_uri",
                "response_mode", "login_hint",
            ]),
            prop_oneof![
                ".{0,50}", Just("none".to_owned()), Just("login none".to_owned()), Just("code".to_owned()),
                Just("S256".to_owned()), Just("60".to_owned()), Just("https://api.example".to_owned()),
                Just("openid offline_access root".to_owned()), Just("query".to_owned()),
            ],
        ), 0..4),
        twice: bool,
    ) {
        let changes: Vec<(&str, &str)> = changes.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let mut read = parameters(&changes);
        if twice {
            read.repeated.insert("scope".to_owned());
        }
        match read.judge(&client(), &["https://deployment.example".to_owned()], Via::Browser) {
            Err(Refusal::Untrusted) => {}
            Err(Refusal::Told { redirect_uri, .. }) => prop_assert_eq!(redirect_uri, "https://a.example/cb"),
            Ok(request) => {
                prop_assert!(!twice);
                prop_assert!(is_s256_challenge(&request.client.code_challenge));
                prop_assert_eq!(request.client.redirect_uri.as_str(), "https://a.example/cb");
                prop_assert!(list(&request.client.scope).all(|scope| client().allows_scope(scope)));
                prop_assert!(!request.client.audiences.is_empty());
                prop_assert!(request.client.audiences.iter().all(|a| a == "https://api.example"));
                prop_assert!(!request.prompts(Prompt::None) || request.prompt.len() == 1);
            }
        }
    }
}
