//! Workloads without a secret: a token of their platform for one of ours, by a declared trust (RFC 7523
//! section 2.1, RFC 8693).

use portcullis_e2e::Result;
use portcullis_e2e::api::bearer;
use portcullis_e2e::app::{Tokens, claims, random_text};
use portcullis_e2e::documents::Documents;
use portcullis_e2e::forge::Forger;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::Site;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// A platform that gives its workloads tokens, a service that they stand for, and the trust between.
struct Platform {
    site: Site,
    documents: Documents,
    key: Forger,
    client_id: String,
    trust: String,
}

impl Platform {
    fn trusted() -> Result<Self> {
        let (site, documents, key) = (Site::any()?, Documents::serve()?, Forger::new()?);
        let issuer = documents.url("");
        let mut jwk = key.jwk();
        jwk["kid"] = "one".into();
        jwk["alg"] = "ES256".into();
        let jwks_uri = documents.put("/jwks", |_| json!({"keys": [jwk]}).to_string());
        documents.put("/.well-known/openid-configuration", |_| {
            json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string()
        });
        let client = json!({
            "client_name": "deployer",
            "grant_types": [JWT_BEARER, EXCHANGE, "client_credentials"],
            "scope": "deploy read",
        });
        let client = site
            .api
            .post("/v1/clients", bearer::ADMIN, &client)
            .send()?;
        let client = client.expect(201)?.json()?;
        let client_id = client["client_id"].as_str().unwrap_or_default().to_owned();
        let trust = json!({
            "issuer": issuer,
            "audience": "portcullis",
            "claims": {"repository": "org/app", "protected": true},
            "client_id": client_id,
            "scope": "deploy",
        });
        let trust = site.api.post("/v1/trusts", bearer::ADMIN, &trust).send()?;
        let trust = trust.expect(201)?.json()?["id"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Ok(Self {
            site,
            documents,
            key,
            client_id,
            trust,
        })
    }

    fn claims(&self) -> Result<Value> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        Ok(json!({
            "iss": self.documents.url(""), "aud": "portcullis", "sub": "job:7",
            "iat": now, "exp": now + 300, "jti": random_text()?,
            "repository": "org/app", "protected": true,
        }))
    }

    fn token_of(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": "one"});
        self.key.sign(&header, claims)
    }

    fn ask(&self, assertion: &str) -> Result<Response> {
        Request::post(&self.site.app.token_endpoint)
            .form(&[("grant_type", JWT_BEARER), ("assertion", assertion)])
            .send()
    }

    fn expect_refused(&self, claims: &Value) -> Result {
        let refused = self.ask(&self.token_of(claims))?;
        if refused.status == 400 && refused.json()?["error"] == "invalid_grant" {
            return Ok(());
        }
        Err(refused.unexpected("400 invalid_grant"))
    }
}

#[test]
fn a_workload_gets_the_services_token_with_the_least_scope() -> Result {
    let platform = Platform::trusted()?;
    let assertion = platform.token_of(&platform.claims()?);
    let by_assertion = Tokens::read(&platform.ask(&assertion)?.expect(200)?)?;
    let exchanged = Request::post(&platform.site.app.token_endpoint)
        .form(&[
            ("grant_type", EXCHANGE),
            ("subject_token", assertion.as_str()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ])
        .send()?;
    let exchanged = Tokens::read(&exchanged.expect(200)?)?;
    for tokens in [&by_assertion, &exchanged] {
        let said = claims(&tokens.access)?;
        assert_eq!(said["client_id"], platform.client_id.as_str());
        assert_eq!(said["scope"], "deploy", "the trust gives no more");
        assert_eq!(tokens.answer.get("refresh_token"), None);
        platform.site.api.expect_active(tokens)?;
    }
    assert_eq!(by_assertion.subject, exchanged.subject);
    Ok(())
}

#[test]
fn what_the_trust_does_not_say_is_refused() -> Result {
    let platform = Platform::trusted()?;
    let good = platform.claims()?;
    let now = good["iat"].as_u64().unwrap_or_default();
    for (name, value) in [
        ("repository", json!("org/other")),
        ("repository", Value::Null),
        ("protected", json!("true")),
        ("aud", json!("somebody else")),
        ("iss", json!("http://127.0.0.1:1")),
        ("exp", json!(now - 1)),
        ("exp", json!((now + 300).to_string())),
        ("exp", Value::Null),
    ] {
        let mut bent = good.clone();
        bent[name] = value;
        platform.expect_refused(&bent)?;
    }
    let stranger = Forger::new()?;
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": "one"});
    let forged = platform.ask(&stranger.sign(&header, &good))?;
    assert_eq!(forged.expect(400)?.json()?["error"], "invalid_grant");
    let unsigned = platform.ask(&portcullis_e2e::forge::unsigned(&good))?;
    assert_eq!(unsigned.expect(400)?.json()?["error"], "invalid_grant");
    platform
        .ask(&platform.token_of(&good))?
        .expect(200)
        .map(drop)
}

#[test]
fn the_end_of_a_trust_ends_what_it_gave() -> Result {
    let platform = Platform::trusted()?;
    let claims = platform.claims()?;
    let tokens = Tokens::read(&platform.ask(&platform.token_of(&claims))?.expect(200)?)?;
    let path = format!(
        "{}/v1/trusts/{}",
        platform.site.endpoints().service,
        platform.trust
    );
    let deleted = Request::new("DELETE", path).bearer(bearer::ADMIN).send()?;
    assert!((200..300).contains(&deleted.status), "{deleted:?}");
    platform.site.api.expect_denied(&tokens, "session_ended")?;
    platform.expect_refused(&claims)
}

#[test]
fn a_disabled_service_gets_nothing_by_its_workloads_either() -> Result {
    let platform = Platform::trusted()?;
    let claims = platform.claims()?;
    let tokens = Tokens::read(&platform.ask(&platform.token_of(&claims))?.expect(200)?)?;
    let path = format!(
        "{}/v1/clients/{}",
        platform.site.endpoints().service,
        platform.client_id
    );
    let deleted = Request::new("DELETE", path).bearer(bearer::ADMIN).send()?;
    assert!((200..300).contains(&deleted.status), "{deleted:?}");
    platform.site.api.expect_denied(&tokens, "session_ended")?;
    platform.expect_refused(&claims)
}
