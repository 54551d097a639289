//! Documents that are valid and those that are not, and what a change of one means.

use super::testing::{connection, with};
use super::*;
use crate::saml::testing::{EC_CERTIFICATE, RSA_CERTIFICATE, WEAK_CERTIFICATE};
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

/// A connection to a SAML provider, with changes to its document and to what it says of SAML.
fn saml(changes: &Value, of_saml: &Value) -> Connection {
    let mut settings =
        json!({"sso_url": "https://idp.example/sso", "certificates": [RSA_CERTIFICATE]});
    let members = settings.as_object_mut().expect("an object");
    members.extend(of_saml.as_object().cloned().unwrap_or_default());
    let mut document = json!({"issuer": "urn:idp:acme", "client_id": "urn:us", "saml": settings});
    let members = document.as_object_mut().expect("an object");
    members.extend(changes.as_object().cloned().unwrap_or_default());
    with(&document)
}

#[test]
fn a_saml_provider_needs_a_name_an_address_and_a_certificate_and_no_secret() {
    let format = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
    let bare: String = EC_CERTIFICATE
        .lines()
        .filter(|line| !line.contains("--"))
        .collect();
    for of_saml in [
        json!({}),
        json!({"name_id_format": format}),
        json!({"certificates": [RSA_CERTIFICATE, bare]}),
    ] {
        let connection = saml(&json!({}), &of_saml);
        assert_eq!(connection.valid(false), Ok(()), "{of_saml}");
        assert!(!connection.needs_secret());
        let json = serde_json::to_string(&connection).expect("JSON");
        assert_eq!(serde_json::from_str(&json).ok(), Some(connection));
    }
    let secret = saml(&json!({"sealed_client_secret": "s"}), &json!({}));
    let kept = secret.keeps_secret_of(None).expect("needs none");
    assert_eq!(kept.sealed_client_secret, None);
    let dev = json!({"sso_url": "http://127.0.0.1:1/sso"});
    assert_eq!(saml(&json!({}), &dev).valid(true), Ok(()));
}

#[test]
fn what_is_not_valid_of_a_saml_provider_is_said() {
    let target = json!({"zone_id": "0123456789abcdef0123456789abcdef",
                        "config_id": "4a7ee8d3-dd63-4ceb-9d5f-c27831854ce7"});
    for (changes, of_saml, part) in [
        (json!({"issuer": ""}), json!({}), "issuer"),
        (json!({"issuer": "a b"}), json!({}), "issuer"),
        (json!({"issuer": "u".repeat(513)}), json!({}), "issuer"),
        (json!({"client_id": ""}), json!({}), "client_id"),
        (
            json!({"jwks_uri": "https://a.example/k"}),
            json!({}),
            "jwks_uri",
        ),
        (json!({"tokens": {"audiences": ["a"]}}), json!({}), "tokens"),
        (json!({"api_shield": target}), json!({}), "api_shield"),
        (
            json!({}),
            json!({"sso_url": "http://idp.example/sso"}),
            "sso_url",
        ),
        (
            json!({}),
            json!({"sso_url": "http://127.0.0.1:1/sso"}),
            "sso_url",
        ),
        (
            json!({}),
            json!({"sso_url": "javascript:alert(1)"}),
            "sso_url",
        ),
        (json!({}), json!({"certificates": []}), "certificates"),
        (json!({}), json!({"certificates": ["AAAA"]}), "certificates"),
        (
            json!({}),
            json!({"certificates": [WEAK_CERTIFICATE]}),
            "certificates",
        ),
        (
            json!({}),
            json!({"certificates": [RSA_CERTIFICATE, "AAAA"]}),
            "certificates",
        ),
        (
            json!({}),
            json!({"certificates": vec![RSA_CERTIFICATE; 9]}),
            "certificates",
        ),
        (
            json!({}),
            json!({"name_id_format": "persistent"}),
            "name_id_format",
        ),
    ] {
        let why = saml(&changes, &of_saml)
            .valid(false)
            .expect_err("not valid");
        assert!(why.contains(part), "{changes} {of_saml}: {why}");
    }
    let unknown = json!({"issuer": "urn:a", "client_id": "c",
        "saml": {"sso_url": "https://a.example", "certificates": [], "slo_url": "x"}});
    assert!(serde_json::from_value::<Connection>(unknown).is_err());
}

#[test]
fn a_provider_that_moves_or_changes_its_key_ends_nothing_and_another_provider_does() {
    let before = saml(&json!({}), &json!({}));
    for harmless in [
        json!({"certificates": [RSA_CERTIFICATE, EC_CERTIFICATE]}),
        json!({"sso_url": "https://idp.example/other"}),
    ] {
        assert!(
            before.carries_on_as(&saml(&json!({}), &harmless)),
            "{harmless}"
        );
    }
    let transient =
        json!({"name_id_format": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"});
    let other = saml(&json!({"issuer": "urn:other"}), &json!({}));
    let of_another_kind = saml(&json!({}), &transient);
    let by_oidc = with(&json!({"issuer": "urn:idp:acme", "client_id": "urn:us"}));
    for change in [other, of_another_kind, by_oidc] {
        assert!(!before.carries_on_as(&change), "{change:?}");
    }
}

#[test]
fn a_saml_provider_has_no_keys_to_send_and_is_not_shown_as_if_it_had_tokens() {
    let target = json!({"zone_id": "0123456789abcdef0123456789abcdef",
                        "config_id": "4a7ee8d3-dd63-4ceb-9d5f-c27831854ce7"});
    let connection = saml(&json!({"api_shield": target}), &json!({}));
    assert_eq!(sync::Source::of(&connection), None);
    let shown = connection.description();
    for name in ["token_endpoint_auth_method", "scope", "jwks_path"] {
        assert!(!shown.contains_key(name), "{name}");
    }
    assert_eq!(shown["saml"]["sso_url"], "https://idp.example/sso");
}
