//! Tokens that identity providers issued, accepted in place of ours where a connection says so.
//!
//! Whose token it is, is decided here: by its issuer and audience a connection is found, by whose keys and
//! rules it is verified, and whose claims' meaning it has. Whether it has been ended since is asked of its
//! subject, strictly, as with any other.
//!
//! That a token verified is remembered, by these very keys and under this very connection, until it
//! expires: providers sign with RSA, which is dear. A rotation, a changed connection, a turned-off one: each is
//! another `Rc` and nothing is remembered of it.

use crate::config::Config;
use crate::connections;
use crate::objects::call::{self, CallError};
use crate::remote_keys::{self, Of};
use crate::runtime::now;
use crate::upstream;
use portcullis_core::connection::identity::Identity;
use portcullis_core::connection::{Connection, TokenRules};
use portcullis_core::id::SubjectKey;
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::foreign::{ForeignTokenVerifier, VerifiedForeignToken};
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::unverified::UnverifiedToken;
use portcullis_core::secret::Digest;
use portcullis_core::session::check::CheckReply;
use portcullis_core::session::foreign::{
    CheckForeign, CheckForeignToken, ForeignHolder, ForeignTokenReply,
};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use worker::{Env, Error};

/// How many tokens are remembered; then those that have expired go, and if that is not enough, all.
const CAPACITY: usize = 1000;
/// The longest token that is remembered.
const MAX_REMEMBERED_BYTES: usize = 4 * 1024;

/// Somebody who holds a provider's token that was believed.
pub struct Holder {
    /// Through which connection.
    pub connection: Rc<Connection>,
    /// Who.
    pub subject: SubjectKey,
    /// What the connection makes of the token's claims.
    pub identity: Identity,
    token: VerifiedForeignToken,
}

impl Holder {
    /// Who holds the token of that text, by what their directory says too, and whether it has been ended
    /// since.
    pub async fn checked(
        &self,
        env: &Env,
        text: &str,
    ) -> Result<(ForeignHolder, CheckReply), CallError> {
        let check = CheckForeign {
            subject: self.subject,
            connection: self.connection.id.clone(),
            issued_at: self.token.issued_at(),
            expires_at: self.token.expires_at(),
            sid: self.token.sid_digest(),
        };
        let standing = call::check_foreign(env, check).await?;
        let who = (self.subject, &self.identity);
        let holder = ForeignHolder::of(who, &self.connection.id, &self.token, text);
        let said = standing.provisioned.as_ref();
        Ok((holder.with(said, &self.connection), standing.reply))
    }
}

/// Believes a provider's token that was presented at `resource`, or anywhere, or says why not. The outer
/// error is that nobody could tell.
pub async fn verified(
    env: &Env,
    config: &Config,
    token: &str,
    resource: Option<&str>,
) -> Result<Result<Rc<Holder>, TokenError>, Error> {
    let all = connections::all(env, config).await?;
    let unverified = match UnverifiedToken::parse(token) {
        Ok(unverified) => unverified,
        Err(error) => return Ok(Err(error)),
    };
    let (connection, rules) = match responsible(&all, &unverified, resource) {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    let unavailable = |error: &dyn std::fmt::Display| {
        Error::RustError(format!("connection {}: {error}", connection.id))
    };
    let (issuer, jwks_uri) = upstream::issuer_and_keys(config, connection)
        .await
        .map_err(|error| unavailable(&error))?;
    let algorithms = rules.algorithms();
    let verifier = ForeignTokenVerifier {
        // As the provider spells it: the comparison is exact.
        issuer: &issuer,
        audiences: &rules.audiences,
        algorithms: &algorithms,
        max_age_secs: rules.max_age_secs,
    };
    let digest = Digest::of(token.as_bytes());
    let text = token;
    let judge = |keys: &Arc<KeySet>| {
        let now = now();
        if let Some(known) = REMEMBERED.with_borrow(|kept| kept.recall(&digest, connection, keys)) {
            let in_time = now < known.token.expires_at();
            return in_time.then_some(known).ok_or(TokenError::Expired);
        }
        let token = verifier.verify(token, keys, now)?;
        let identity = connection
            .identity_by_token(token.claims())
            .map_err(|_| TokenError::Claims)?;
        let holder = Rc::new(Holder {
            connection: Rc::clone(connection),
            subject: connection.subject(&config.naming_key, &identity.value),
            identity,
            token,
        });
        if text.len() <= MAX_REMEMBERED_BYTES {
            REMEMBERED.with_borrow_mut(|kept| kept.remember(&digest, &holder, keys));
        }
        Ok(holder)
    };
    remote_keys::judged(Of::Issuer, &jwks_uri, token, judge)
        .await
        .map_err(|error| unavailable(&error))
}

/// The connection that accepts a token of that issuer and audience there. Of several the first, in the
/// order of their ids.
fn responsible<'c>(
    all: &'c [Rc<Connection>],
    token: &UnverifiedToken<'_>,
    resource: Option<&str>,
) -> Result<(&'c Rc<Connection>, &'c TokenRules), TokenError> {
    let iss = token.unverified_iss().unwrap_or_default();
    let accepting = |connection: &'c Rc<Connection>| {
        // A SAML provider issues none, whatever a document says.
        let may = connection.enabled && connection.saml.is_none();
        let rules = connection.tokens.as_ref().filter(|_| may)?;
        connection.is_issuer(iss).then_some((connection, rules))
    };
    let mut of_issuer = all.iter().filter_map(accepting).peekable();
    if of_issuer.peek().is_none() {
        return Err(TokenError::Issuer);
    }
    let for_it = |(_, rules): &(&Rc<Connection>, &TokenRules)| {
        let mut audiences = rules.audiences.iter();
        audiences.any(|one| token.has_unverified_aud(one))
            && resource.is_none_or(|resource| rules.count_at(resource))
    };
    of_issuer.find(for_it).ok_or(TokenError::Audience)
}

/// Answers a gateway, which knows no connections.
pub async fn answer(
    env: &Env,
    config: &Config,
    request: &CheckForeignToken,
) -> Result<ForeignTokenReply, Error> {
    let resource = Some(request.resource.as_str());
    match verified(env, config, &request.token, resource).await? {
        Ok(holder) => {
            let (holder, reply) = holder
                .checked(env, &request.token)
                .await
                .map_err(|error| Error::RustError(error.to_string()))?;
            Ok(ForeignTokenReply::Checked(Box::new(holder), reply))
        }
        Err(error) => Ok(ForeignTokenReply::Refused(error)),
    }
}

thread_local! {
    static REMEMBERED: RefCell<Remembered> = RefCell::default();
}

/// Holders by the digest of their token's text, and the keys by which that verified.
#[derive(Default)]
struct Remembered(HashMap<[u8; 32], (Arc<KeySet>, Rc<Holder>)>);

impl Remembered {
    fn recall(
        &self,
        token: &Digest,
        connection: &Rc<Connection>,
        keys: &Arc<KeySet>,
    ) -> Option<Rc<Holder>> {
        let (known, holder) = self.0.get(token.as_bytes())?;
        let same = Arc::ptr_eq(known, keys) && Rc::ptr_eq(&holder.connection, connection);
        same.then(|| Rc::clone(holder))
    }

    fn remember(&mut self, token: &Digest, holder: &Rc<Holder>, keys: &Arc<KeySet>) {
        if self.0.len() >= CAPACITY {
            let now = now();
            self.0
                .retain(|_, (_, holder)| now < holder.token.expires_at());
        }
        if self.0.len() >= CAPACITY {
            self.0.clear();
        }
        self.0
            .insert(*token.as_bytes(), (Arc::clone(keys), Rc::clone(holder)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::text::base64url;
    use serde_json::{Value, json};

    fn connection(id: &str, changes: &Value) -> Rc<Connection> {
        let mut document = json!({
            "id": id, "issuer": "https://idp.example/", "client_id": "c",
            "tokens": {"audiences": ["api"], "resources": ["https://app.example"]},
        });
        let members = document.as_object_mut().expect("an object");
        members.extend(changes.as_object().cloned().unwrap_or_default());
        Rc::new(serde_json::from_value(document).expect("a connection"))
    }

    fn found(
        all: &[Rc<Connection>],
        claims: &Value,
        at: Option<&str>,
    ) -> Result<String, TokenError> {
        let header = base64url(br#"{"alg":"RS256"}"#);
        let text = format!("{header}.{}.x", base64url(claims.to_string().as_bytes()));
        let token = UnverifiedToken::parse(&text).expect("a token");
        responsible(all, &token, at).map(|(connection, _)| connection.id.clone())
    }

    #[test]
    fn a_token_is_its_issuers_and_for_an_audience_that_was_named() {
        let all = [
            connection("a", &json!({"tokens": {"audiences": ["other"]}})),
            connection("b", &json!({})),
            connection("c", &json!({"issuer": "https://evil.example"})),
        ];
        let good = json!({"iss": "https://idp.example", "aud": ["x", "api"]});
        assert_eq!(found(&all, &good, None), Ok("b".to_owned()));
        assert_eq!(
            found(&all, &good, Some("https://app.example")),
            Ok("b".to_owned())
        );
        let elsewhere = found(&all, &good, Some("https://other.example"));
        assert_eq!(elsewhere, Err(TokenError::Audience));
        let another = json!({"iss": "https://idp.example", "aud": "another"});
        assert_eq!(found(&all, &another, None), Err(TokenError::Audience));
        for iss in [
            json!("https://idp.example.evil.example"),
            json!(null),
            json!(["https://idp.example"]),
        ] {
            let strange = json!({"iss": iss, "aud": "api"});
            assert_eq!(found(&all, &strange, None), Err(TokenError::Issuer));
        }
    }

    #[test]
    fn a_connection_that_is_off_speaks_saml_or_names_no_tokens_accepts_none() {
        let good = json!({"iss": "https://idp.example", "aud": "api"});
        let saml = json!({"sso_url": "https://idp.example/sso", "certificates": []});
        for changes in [
            json!({"enabled": false}),
            json!({"tokens": null}),
            json!({"saml": saml}),
        ] {
            let all = [connection("a", &changes)];
            assert_eq!(
                found(&all, &good, None),
                Err(TokenError::Issuer),
                "{changes}"
            );
        }
    }
}
