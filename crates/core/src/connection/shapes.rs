//! Claims as the large providers write them, each with the connection that reads them. The names and nesting
//! are the providers' own, from their documentation; the values are made up.

use super::identity::{Identity, Unidentified};
use super::testing::with;
use crate::id::SubjectKey;
use crate::jwt::TokenError;
use crate::jwt::foreign::{ForeignTokenVerifier, VerifiedForeignToken};
use crate::jwt::testing::{NOW, our_key, our_keys, signed};
use crate::session::foreign::ForeignHolder;
use serde_json::{Map, Value, json};

fn claims(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn identity(settings: &Value, said: &Value) -> Result<Identity, Unidentified> {
    with(settings).identity(&claims(said))
}

/// A token of the provider's own, issued now and good for an hour, as its connection verifies it.
fn token(
    settings: &Value,
    said: &Value,
    typ: Option<&str>,
) -> Result<VerifiedForeignToken, TokenError> {
    let connection = with(settings);
    let rules = connection.tokens.expect("accepts tokens");
    let mut said = claims(said);
    said.insert("iat".to_owned(), NOW.secs().into());
    said.insert("exp".to_owned(), (NOW.secs() + 3600).into());
    let mut header = json!({"alg": "ES256", "kid": our_key().kid()});
    if let Some(typ) = typ {
        header["typ"] = typ.into();
    }
    let verifier = ForeignTokenVerifier {
        issuer: &connection.issuer,
        audiences: &rules.audiences,
        algorithms: &rules.algorithms(),
        max_age_secs: rules.max_age_secs,
    };
    verifier.verify(&signed(&header, &said.into()), &our_keys(), NOW)
}

/// Who holds it, as a gateway is told.
fn holder(settings: &Value, said: &Value, typ: Option<&str>) -> ForeignHolder {
    let token = token(settings, said, typ).expect("good");
    let identity = with(settings).identity(token.claims()).expect("somebody");
    let subject = SubjectKey::derive(&[7; 32], "c", &identity.value);
    ForeignHolder::of((subject, &identity), "c", &token, "text")
}

#[test]
fn okta_id_token() {
    let settings =
        json!({"issuer": "https://acme.okta.com", "subject_claim": "preferred_username"});
    let said = json!({
        "sub": "00uid4BxXw6I6TV4m0g3", "name": "Alice", "email": "alice@acme.example", "ver": 1,
        "iss": "https://acme.okta.com", "aud": "0oabc", "jti": "ID.4eAWJOCMB3SX8XewDfVR",
        "amr": ["pwd"], "idp": "00ok1u7AsAkrwdZL3z0g3", "preferred_username": "alice@acme.example",
        "auth_time": 1_800_000_000, "at_hash": "cpqKfdQA5eH891Ff5oJr_Q", "groups": ["Everyone", "Admins"],
    });
    let who = identity(&settings, &said).expect("somebody");
    assert_eq!(who.value, "alice@acme.example");
    assert_eq!(who.groups, ["Everyone", "Admins"]);
    assert!(!who.profile.email_verified, "it does not say");
}

#[test]
fn okta_access_token() {
    let settings = json!({
        "issuer": "https://acme.okta.com/oauth2/default",
        "tokens": {"audiences": ["api://default"], "algorithms": ["RS256", "ES256"]},
    });
    let said = json!({
        "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
        "iss": "https://acme.okta.com/oauth2/default", "aud": "api://default", "cid": "nmdP1fcyvdVO11AL7ECm",
        "uid": "00ujmkLgagxeRrAg20g3", "scp": ["openid", "email"], "auth_time": 1_800_000_000,
        "sub": "alice@acme.example",
    });
    let who = holder(&settings, &said, None);
    assert_eq!(who.client_id.as_deref(), Some("nmdP1fcyvdVO11AL7ECm"));
    assert_eq!(who.scope.as_deref(), Some("openid email"));
    assert_eq!(who.auth_time_secs, Some(1_800_000_000));
}

#[test]
fn entra_id_token() {
    let settings = json!({
        "issuer": "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
        "subject_claim": "oid", "requires": {"tid": "72f988bf-86f1-41af-91ab-2d7cd011db47"},
        "roles": [{"role": "admin", "claim": "roles", "equals": "App.Admin"}],
    });
    let said = json!({
        "ver": "2.0", "iss": "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
        "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "aud": "6cb04018-a3f5-46a7-b995-940c78f5aef3",
        "name": "Alice", "preferred_username": "alice@acme.example",
        "oid": "00000000-0000-0000-66f3-3332eca7ea81", "tid": "72f988bf-86f1-41af-91ab-2d7cd011db47",
        "uti": "x", "rh": "y", "aio": "z", "roles": ["App.Admin"],
        "groups": ["7c3f0b0e-5b4b-4d0c-8a54-0b6e7f5b3a11"],
    });
    let who = identity(&settings, &said).expect("somebody");
    assert_eq!(who.value, "00000000-0000-0000-66f3-3332eca7ea81");
    assert_eq!((who.roles, who.groups.len()), (vec!["admin".to_owned()], 1));
    // Another tenant's, by an application that takes all.
    let mut foreign = said.clone();
    foreign["tid"] = "11111111-1111-1111-1111-111111111111".into();
    assert_eq!(
        identity(&settings, &foreign),
        Err(Unidentified::NotAdmitted)
    );
}

#[test]
fn entra_leaves_groups_out_when_there_are_too_many_and_nobody_gets_a_role_for_that() {
    let settings = json!({"roles": [{"role": "admin", "claim": "groups", "equals": "admins"}]});
    let said = json!({
        "sub": "a", "_claim_names": {"groups": "src1"},
        "_claim_sources": {"src1": {"endpoint": "https://graph.windows.net/x/users/y/getMemberObjects"}},
    });
    let who = identity(&settings, &said).expect("somebody");
    assert!(who.groups.is_empty() && who.roles.is_empty());
}

#[test]
fn entra_access_tokens_of_both_versions() {
    let tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    for (issuer, audience, more) in [
        (
            format!("https://sts.windows.net/{tenant}/"),
            "api://6e74172b-be56-4843-9ff4-e66a39bb12e3",
            json!({"ver": "1.0", "appid": "client", "scp": "access_as_user", "upn": "alice@acme.example"}),
        ),
        (
            format!("https://login.microsoftonline.com/{tenant}/v2.0"),
            "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            json!({"ver": "2.0", "azp": "client", "scp": "access_as_user"}),
        ),
    ] {
        let settings = json!({
            "issuer": issuer, "subject_claim": "oid", "tokens": {"audiences": [audience]},
        });
        let mut said = json!({
            "iss": issuer, "aud": audience, "oid": "o", "tid": tenant, "sub": "pairwise", "nbf": NOW.secs(),
        });
        said.as_object_mut()
            .expect("an object")
            .extend(claims(&more));
        let who = holder(&settings, &said, Some("JWT"));
        assert_eq!(
            (who.client_id.as_deref(), who.scope.as_deref()),
            (Some("client"), Some("access_as_user"))
        );
    }
}

#[test]
fn ping_id_token_with_its_session_and_lists_of_names() {
    let settings = json!({
        "issuer": "https://auth.pingone.eu/env/as", "groups_claims": ["memberOfGroupNames"],
        "claims": ["/address/country"],
    });
    let said = json!({
        "iss": "https://auth.pingone.eu/env/as", "sub": "d2e2f1e0-3f41-4ef5-b1f4-3b4c7a5bb5b1", "aud": "client",
        "acr": "Single_Factor", "amr": ["pwd"], "auth_time": 1_800_000_000, "at_hash": "x",
        "sid": "6fa4b5a7-5b0e-4f0e-9c39-0f3c1f4a4f34", "preferred_username": "alice", "given_name": "Alice",
        "email": "alice@acme.example", "memberOfGroupNames": ["Staff", "Admins"],
        "address": {"country": "NL"}, "env": "env", "org": "org", "p1.rid": "r",
    });
    let who = identity(&settings, &said).expect("somebody");
    assert_eq!(who.groups, ["Staff", "Admins"]);
    assert_eq!(who.claims[0].json, "\"NL\"");
    // One group is a text at Ping, not a list of one.
    let mut one = said.clone();
    one["memberOfGroupNames"] = "Staff".into();
    assert_eq!(
        identity(&settings, &one).expect("somebody").groups,
        ["Staff"]
    );
}

#[test]
fn google_id_token_of_the_company_and_of_anybody() {
    let settings = json!({
        "issuer": "https://accounts.google.com", "subject_claim": "email", "requires": {"hd": "acme.example"},
    });
    let said = json!({
        "iss": "https://accounts.google.com", "azp": "1234987819200.apps.googleusercontent.com",
        "aud": "1234987819200.apps.googleusercontent.com", "sub": "10769150350006150715113082367",
        "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q", "hd": "acme.example", "email": "alice@acme.example",
        "email_verified": true, "name": "Alice", "picture": "https://x.example/p", "nonce": "0394852",
    });
    assert_eq!(
        identity(&settings, &said).map(|who| who.value),
        Ok("alice@acme.example".to_owned())
    );
    let mut private = said.clone();
    private.as_object_mut().expect("an object").remove("hd");
    private["email"] = "alice@gmail.example".into();
    assert_eq!(
        identity(&settings, &private),
        Err(Unidentified::NotAdmitted)
    );
}

#[test]
fn cloudflare_access_application_token_and_its_service_token() {
    let settings = json!({
        "issuer": "https://acme.cloudflareaccess.com", "subject_claim": "email", "email_is_verified": true,
        "tokens": {"audiences": ["32eafc7626e737e6fba6a1e6b8d1a2c3"]},
    });
    let said = json!({
        "aud": ["32eafc7626e737e6fba6a1e6b8d1a2c3"], "email": "alice@acme.example", "nbf": NOW.secs(),
        "iss": "https://acme.cloudflareaccess.com", "type": "app", "identity_nonce": "6ei69kawdKzMIAPF",
        "sub": "7335d417-61da-459d-899c-0a01c76a2f94", "country": "US",
    });
    let who = holder(&settings, &said, None);
    assert_eq!((who.client_id, who.scope), (None, None));
    let service = json!({
        "aud": ["32eafc7626e737e6fba6a1e6b8d1a2c3"], "common_name": "e367826f93b8d71185e03fe518aff3b4.access",
        "iss": "https://acme.cloudflareaccess.com", "type": "app", "sub": "",
    });
    let token = token(&settings, &service, None).expect("signed and in time");
    let nobody = with(&settings).identity(token.claims());
    assert_eq!(nobody, Err(Unidentified::NoValue));
}

#[test]
fn keycloak_nests_its_roles() {
    let settings = json!({
        "groups_claims": ["/realm_access/roles", "/resource_access/my~1app/roles"],
        "roles": [{"role": "admin", "claim": "/resource_access/my~1app/roles", "equals": "admin"}],
    });
    let said = json!({
        "sub": "a", "realm_access": {"roles": ["offline_access"]},
        "resource_access": {"my/app": {"roles": ["admin"]}, "account": {"roles": ["manage-account"]}},
    });
    let who = identity(&settings, &said).expect("somebody");
    assert_eq!((who.groups.len(), who.roles), (2, vec!["admin".to_owned()]));
}
