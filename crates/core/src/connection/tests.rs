//! Documents that are valid and those that are not, and what a change of one means.

use super::testing::{connection, with};
use super::*;
use serde_json::json;

#[test]
fn the_least_document_is_valid_and_reads_back() {
    let least = connection();
    assert_eq!(least.valid(false), Ok(()));
    let json = serde_json::to_string(&least).expect("JSON");
    assert_eq!(serde_json::from_str::<Connection>(&json).ok(), Some(least));
}

#[test]
fn a_full_document_is_valid() {
    let full = with(&json!({
        "name": "Okta (staff)", "token_endpoint_auth_method": "private_key_jwt",
        "authorization_endpoint": "https://idp.example/a", "token_endpoint": "https://idp.example/t",
        "jwks_uri": "https://keys.example/k", "subject_claim": "preferred_username",
        "requires": {"tid": "x"}, "groups_claims": ["groups", "/realm/roles"],
        "roles": [{"role": "admin", "claim": "groups", "equals": "admins"},
                  {"role": "owner", "claim": "orgs", "where": {"org": "acme"}}],
        "claims": ["department"], "email_domains": ["example.com"],
        "tokens": {"audiences": ["api"], "algorithms": ["RS256"], "resources": ["https://app.example"]},
        "jwks_path": "/public/keys",
        "api_shield": {"zone_id": "0123456789abcdef0123456789abcdef",
                       "config_id": "4a7ee8d3-dd63-4ceb-9d5f-c27831854ce7"},
    }));
    assert_eq!(full.valid(false), Ok(()));
}

#[test]
fn what_is_not_valid_is_said() {
    for (changes, part) in [
        (json!({"id": ""}), "id"),
        (json!({"id": "Okta"}), "id"),
        (json!({"id": "a:b"}), "id"),
        (json!({"id": "trust"}), "id"),
        (json!({"id": "-a"}), "id"),
        (json!({"id": "x".repeat(33)}), "id"),
        (json!({"name": ""}), "name"),
        (json!({"name": "a\nb"}), "name"),
        (json!({"issuer": "http://idp.example"}), "issuer"),
        (json!({"issuer": "https://10.0.0.1"}), "issuer"),
        (json!({"issuer": "https://idp.example?x="}), "issuer"),
        (json!({"issuer": "https://idp.internal"}), "issuer"),
        (json!({"issuer": "http://127.0.0.1:1"}), "issuer"),
        (json!({"jwks_uri": "https://idp.example/k"}), "together"),
        (
            json!({"authorization_endpoint": "https://idp.example/a", "token_endpoint": "https://idp.example/t",
                "jwks_uri": "https://169.254.169.254/k"}),
            "endpoint",
        ),
        (json!({"client_id": ""}), "client_id"),
        (json!({"scope": "profile"}), "scope"),
        (json!({"scope": "openid \"x\""}), "scope"),
        (json!({"subject_claim": ""}), "claim"),
        (json!({"requires": {"a": null}}), "requires"),
        (json!({"roles": [{"role": "a", "claim": "g"}]}), "roles"),
        (
            json!({"roles": [{"role": "a b", "claim": "g", "equals": "x"}]}),
            "roles",
        ),
        (
            json!({"roles": [{"role": "a", "claim": "g", "equals": "x", "where": {"a": 1}}]}),
            "roles",
        ),
        (json!({"email_domains": ["Example.com"]}), "email_domains"),
        (json!({"email_domains": ["example"]}), "email_domains"),
        (json!({"tokens": {"audiences": []}}), "audiences"),
        (
            json!({"tokens": {"audiences": ["a"], "algorithms": ["none"]}}),
            "algorithms",
        ),
        (
            json!({"tokens": {"audiences": ["a"], "algorithms": ["HS256"]}}),
            "algorithms",
        ),
        (
            json!({"tokens": {"audiences": ["a"], "max_age_secs": 86401}}),
            "max_age",
        ),
        (
            json!({"tokens": {"audiences": ["a"], "resources": ["x"]}}),
            "resources",
        ),
        (json!({"jwks_path": "keys"}), "jwks_path"),
        (
            json!({"api_shield": {"zone_id": "../x", "config_id": "y"}}),
            "api_shield",
        ),
    ] {
        let why = with(&changes).valid(false).expect_err("not valid");
        assert!(why.contains(part), "{changes}: {why}");
    }
    assert_eq!(
        with(&json!({"issuer": "http://127.0.0.1:1"})).valid(true),
        Ok(())
    );
}

#[test]
fn a_provider_of_tokens_alone_needs_no_endpoints_and_no_secret() {
    let access = with(&json!({
        "jwks_uri": "https://acme.example/certs", "tokens": {"audiences": ["tag"]},
    }));
    assert_eq!(access.valid(false), Ok(()));
    assert!(!access.logs_in() && !access.needs_secret());
    let neither = with(&json!({"jwks_uri": "https://acme.example/certs"}));
    assert!(neither.valid(false).is_err() && neither.logs_in());
}

#[test]
fn unknown_members_are_no_typing_mistakes_that_pass() {
    let document = json!({"issuer": "https://a.example", "client_id": "c", "subject_clam": "x"});
    assert!(serde_json::from_value::<Connection>(document).is_err());
}

#[test]
fn only_what_says_nothing_of_people_can_change_without_an_end() {
    let before = connection();
    for harmless in [
        json!({"name": "x"}),
        json!({"email_domains": ["x.example"]}),
        json!({"token_endpoint_auth_method": "private_key_jwt"}),
        json!({"sealed_client_secret": "x"}),
        json!({"jwks_path": "/x"}),
    ] {
        assert!(before.carries_on_as(&with(&harmless)), "{harmless}");
    }
    for change in [
        json!({"issuer": "https://other.example"}),
        json!({"client_id": "x"}),
        json!({"subject_claim": "email"}),
        json!({"email_is_verified": true}),
        json!({"requires": {"hd": "x"}}),
        json!({"groups_claims": []}),
        json!({"roles": [{"role": "a", "claim": "g", "equals": "x"}]}),
        json!({"claims": ["x"]}),
        json!({"scope": "openid"}),
        json!({"tokens": {"audiences": ["a"]}}),
    ] {
        assert!(!before.carries_on_as(&with(&change)), "{change}");
    }
}

#[test]
fn a_secret_goes_nowhere_else() {
    let before = connection();
    let sealed = with(&json!({"sealed_client_secret": "s"}));
    let kept = |changes: Value| {
        let kept = with(&changes).keeps_secret_of(Some(&sealed));
        kept.map(|kept| kept.sealed_client_secret)
    };
    let same = Ok(Some("s".to_owned()));
    assert_eq!(kept(json!({"name": "x", "scope": "openid"})), same);
    assert_eq!(
        kept(json!({"sealed_client_secret": "t"})),
        Ok(Some("t".to_owned()))
    );
    assert_eq!(
        kept(json!({"token_endpoint_auth_method": "private_key_jwt"})),
        Ok(None)
    );
    assert_eq!(before.clone().keeps_secret_of(None), Err(NeedsSecret));
    for elsewhere in [
        json!({"issuer": "https://evil.example"}),
        json!({"token_endpoint": "https://evil.example/t"}),
        json!({"client_id": "x"}),
    ] {
        assert_eq!(kept(elsewhere.clone()), Err(NeedsSecret), "{elsewhere}");
    }
}

#[test]
fn a_description_has_no_secret() {
    let described = with(&json!({"sealed_client_secret": "sealed"})).description();
    assert!(!format!("{described:?}").contains("sealed"));
}
