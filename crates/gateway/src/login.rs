//! Logging a browser in and out: the authorization code flow (RFC 6749 section 4.1) as a public
//! client with PKCE (RFC 7636), free of the network.
//!
//! What must survive the trip to the service is kept in the browser, in a cookie per log-in, so that
//! several tabs can log in at once. The cookie is [`LoginState`] in the wire envelope, base64url. It
//! is not signed: its `__Host-` prefix keeps others from setting it, and whoever rewrites their own
//! only fails their own log-in.

use crate::config::Config;
use crate::cookie;
use crate::inbound::Inbound;
use hmac_sha256::Hash;
use portcullis_core::secret::constant_time_eq;
use portcullis_core::text::{base64url, from_base64url};
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use serde::{Deserialize, Serialize};
use std::fmt;
use url::Url;
use url::form_urlencoded::Serializer as Form;

/// How long a log-in may take, in seconds.
pub const LOGIN_TTL_SECS: u64 = 600;
/// How many log-ins of one browser may be under way; one more drops the oldest, for cookies are
/// sent with every request and servers bound their length.
const MAX_PARALLEL: usize = 8;
/// Where a page with a longer path is returned to: the front page.
const MAX_RETURN_PATH_BYTES: usize = 1024;
const SCOPE: &str = "openid profile";

/// A log-in under way.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginState {
    state: String,
    code_verifier: String,
    return_path: String,
    started_at: UnixMillis,
}

/// Without the verifier: with the code it makes tokens.
impl fmt::Debug for LoginState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginState")
            .field("return_path", &self.return_path)
            .field("started_at", &self.started_at)
            .finish_non_exhaustive()
    }
}

impl LoginState {
    /// Begins a log-in that ends at the page now asked for. `random` makes it unguessable.
    #[must_use]
    pub fn begin(inbound: &Inbound, random: &[u8; 64], now: UnixMillis) -> Self {
        let (state, verifier) = random.split_at(32);
        Self {
            state: base64url(state),
            code_verifier: base64url(verifier),
            return_path: return_path(&inbound.path_and_query()).to_owned(),
            started_at: now,
        }
    }

    /// Where to send the browser (RFC 6749 section 4.1.1; RFC 7636 section 4.3; RFC 8707 section
    /// 2.1).
    #[must_use]
    pub fn authorization_url(&self, endpoint: &Url, config: &Config) -> Url {
        let challenge = base64url(&Hash::hash(self.code_verifier.as_bytes()));
        let mut url = endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &config.client_id)
            .append_pair("redirect_uri", &config.redirect_uri())
            .append_pair("scope", SCOPE)
            .append_pair("state", &self.state)
            .append_pair("resource", &config.audience)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        url
    }

    /// The `Set-Cookie` value that keeps it; `None` if it has no wire form.
    #[must_use]
    pub fn set_cookie(&self) -> Option<String> {
        let value = base64url(&wire::encode(self).ok()?);
        Some(cookie::set(
            &cookie_name(&self.state)?,
            &value,
            LOGIN_TTL_SECS,
        ))
    }

    /// The log-in of that `state`, out of the cookies of the browser that began it.
    pub fn resume(inbound: &Inbound, state: &str, now: UnixMillis) -> Result<Self, CallbackError> {
        let name = cookie_name(state).ok_or(CallbackError::StateUnknown)?;
        let login = under_way(inbound)
            .find_map(|(found, login)| login.filter(|_| found == name))
            .ok_or(CallbackError::StateUnknown)?;
        if !constant_time_eq(login.state.as_bytes(), state.as_bytes()) {
            return Err(CallbackError::StateUnknown);
        }
        if now >= login.started_at.plus_secs(LOGIN_TTL_SECS) {
            return Err(CallbackError::TooLate);
        }
        Ok(login)
    }

    /// The form that exchanges the code (RFC 6749 section 4.1.3).
    #[must_use]
    pub fn token_request(&self, code: &str, config: &Config) -> String {
        Form::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &config.redirect_uri())
            .append_pair("client_id", &config.client_id)
            .append_pair("code_verifier", &self.code_verifier)
            .finish()
    }

    /// Where the browser wanted to go, on this host.
    #[must_use]
    pub fn return_url(&self, config: &Config) -> String {
        // Judged again: the cookie was out of our hands.
        format!("{}{}", config.audience, return_path(&self.return_path))
    }

    /// The `Set-Cookie` value that forgets it.
    #[must_use]
    pub fn clear_cookie(&self) -> Option<String> {
        cookie_name(&self.state).map(|name| cookie::clear(&name))
    }
}

/// `Set-Cookie` values that forget log-ins which are too many or too old, to be sent as another one
/// begins.
#[must_use]
pub fn clear_abandoned(inbound: &Inbound, now: UnixMillis) -> Vec<String> {
    let mut open: Vec<(UnixMillis, &str)> = under_way(inbound)
        .map(|(name, login)| {
            let started_at = login.map_or(UnixMillis(0), |login| login.started_at);
            (started_at, name)
        })
        .collect();
    open.sort_unstable_by_key(|(started_at, _)| std::cmp::Reverse(*started_at));
    open.into_iter()
        .enumerate()
        .filter(|(index, (started_at, _))| {
            index + 1 >= MAX_PARALLEL || now >= started_at.plus_secs(LOGIN_TTL_SECS)
        })
        // A name from outside goes into a header only if it is one that we make.
        .filter(|(_, (_, name))| name.bytes().all(is_base64url_or_dash))
        .map(|(_, (_, name))| cookie::clear(name))
        .collect()
}

fn under_way(inbound: &Inbound) -> impl Iterator<Item = (&str, Option<LoginState>)> {
    inbound
        .all("cookie")
        .flat_map(cookie::pairs)
        .filter(|(name, _)| name.starts_with(cookie::LOGIN_PREFIX))
        .map(|(name, value)| {
            let bytes = from_base64url(value);
            (name, bytes.and_then(|bytes| wire::decode(&bytes).ok()))
        })
}

fn cookie_name(state: &str) -> Option<String> {
    let short = state.get(..8)?;
    short
        .bytes()
        .all(is_base64url_or_dash)
        .then(|| format!("{}{short}", cookie::LOGIN_PREFIX))
}

fn is_base64url_or_dash(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// `path` if it is a path on this host and nothing else; otherwise the front page. Browsers read
/// `//host`, `/\host` and what control characters leave of a URL as another host.
fn return_path(path: &str) -> &str {
    let mut bytes = path.bytes();
    let local = bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/'))
        && path.len() <= MAX_RETURN_PATH_BYTES
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if local { path } else { "/" }
}

/// What the service sent the browser back with (RFC 6749 sections 4.1.2 and 4.1.2.1).
#[derive(Debug, PartialEq, Eq)]
pub struct Callback {
    /// The `state` it was sent off with.
    pub state: String,
    /// The code, or that there is none.
    pub code: Result<Code, ErrorCode>,
}

/// An authorization code.
#[derive(PartialEq, Eq)]
pub struct Code(pub String);

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

/// The service's `error`, bounded, for the log.
#[derive(Debug, PartialEq, Eq)]
pub struct ErrorCode(pub String);

/// Why a browser's return was not accepted; for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackError {
    /// Parameters absent or there twice.
    Malformed,
    /// `iss` is absent or another's: an answer of another server (RFC 9207 section 2.4).
    Issuer,
    /// This browser did not begin such a log-in, or it was long ago and the cookie is gone.
    StateUnknown,
    /// It took too long.
    TooLate,
}

impl CallbackError {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Issuer => "issuer",
            Self::StateUnknown => "state_unknown",
            Self::TooLate => "too_late",
        }
    }
}

impl Callback {
    /// Reads the query. The `iss` parameter is required.
    pub fn parse(url: &Url, issuer: &str) -> Result<Self, CallbackError> {
        let param = |name: &str| -> Result<Option<String>, CallbackError> {
            let mut values = url.query_pairs().filter(|(known, _)| known == name);
            match (values.next(), values.next()) {
                (value, None) => Ok(value.map(|(_, value)| value.into_owned())),
                _ => Err(CallbackError::Malformed),
            }
        };
        let state = param("state")?.ok_or(CallbackError::Malformed)?;
        if param("iss")?.as_deref() != Some(issuer) {
            return Err(CallbackError::Issuer);
        }
        let code = match (param("code")?, param("error")?) {
            (Some(code), None) => Ok(Code(code)),
            (None, Some(error)) => Err(ErrorCode(error_code(&error))),
            _ => return Err(CallbackError::Malformed),
        };
        Ok(Self { state, code })
    }
}

/// What the token endpoint answers (RFC 6749 section 5.1). Nothing of it is verified.
#[derive(Deserialize)]
pub struct UnverifiedTokens {
    /// The access token.
    pub access_token: String,
    /// The ID token, as we asked for `openid`.
    pub id_token: String,
    token_type: String,
}

impl UnverifiedTokens {
    /// Reads the body of a 200; `None` if these are no bearer tokens that a cookie can hold.
    #[must_use]
    pub fn parse(json: &[u8]) -> Option<Self> {
        let tokens: Self = serde_json::from_slice(json).ok()?;
        let is_bearer = tokens.token_type.eq_ignore_ascii_case("bearer");
        let fits = [&tokens.access_token, &tokens.id_token]
            .iter()
            .all(|token| token.len() <= cookie::MAX_VALUE_BYTES);
        (is_bearer && fits).then_some(tokens)
    }
}

/// The form that ends the session (OIDC RP-Initiated Logout section 2).
#[must_use]
pub fn logout_request(id_token: &str, config: &Config) -> String {
    Form::new(String::new())
        .append_pair("id_token_hint", id_token)
        .append_pair("client_id", &config.client_id)
        .finish()
}

/// The ID token that logging in has left, if there is one.
#[must_use]
pub fn id_token(inbound: &Inbound) -> Option<String> {
    inbound
        .all("cookie")
        .flat_map(cookie::pairs)
        .find(|(name, value)| *name == cookie::ID_TOKEN && !value.is_empty())
        .map(|(_, value)| value.to_owned())
}

/// Whether a request comes from a page of this origin. Browsers send `Origin` with every POST.
#[must_use]
pub fn is_same_origin(inbound: &Inbound, config: &Config) -> bool {
    inbound.only("origin") == Some(config.audience.as_str())
}

fn error_code(text: &str) -> String {
    let known = text.bytes().take(64).filter(u8::is_ascii_graphic);
    known.map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::inbound::example;
    use proptest::prelude::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn random(seed: u8) -> [u8; 64] {
        std::array::from_fn(|index| u8::try_from(index).unwrap_or_default() ^ seed)
    }

    fn begun(path: &str) -> LoginState {
        LoginState::begin(&example("GET", path, &[]), &random(0), NOW)
    }

    fn with_cookies(logins: &[LoginState]) -> Inbound {
        let pairs: Vec<String> = logins
            .iter()
            .map(|login| {
                let set = login.set_cookie().expect("a cookie");
                set.split(';').next().unwrap_or_default().to_owned()
            })
            .collect();
        example(
            "GET",
            "/.portcullis/callback",
            &[("cookie", &pairs.join("; "))],
        )
    }

    #[test]
    fn the_browser_is_sent_with_pkce_and_a_state() {
        let login = begun("/a?b=1");
        let endpoint = Url::parse("https://id.example/authorize?tenant=1").expect("a URL");
        let url = login.authorization_url(&endpoint, &config::example());
        assert_eq!(
            url.as_str(),
            "https://id.example/authorize?tenant=1&response_type=code&client_id=gateway\
             &redirect_uri=https%3A%2F%2Fapp.example%2F.portcullis%2Fcallback\
             &scope=openid+profile&state=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\
             &resource=https%3A%2F%2Fapp.example\
             &code_challenge=zwkx4Wi0nph1A8rxivb-JTtrPYKoEAjD6OHuZ8fI3FU\
             &code_challenge_method=S256"
        );
        assert!(!url.as_str().contains(&login.code_verifier));
        let set = login.set_cookie().expect("a cookie");
        assert!(
            set.starts_with("__Host-portcullis-login-AAECAwQF="),
            "{set}"
        );
        assert!(set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"));
    }

    #[test]
    fn a_log_in_is_resumed_by_the_browser_that_began_it_and_in_time() {
        let (one, two) = (
            begun("/one"),
            LoginState::begin(&example("GET", "/two", &[]), &random(1), NOW),
        );
        let inbound = with_cookies(&[one.clone(), two.clone()]);
        let resumed = LoginState::resume(&inbound, &two.state, NOW).expect("resumes");
        assert_eq!(
            resumed.return_url(&config::example()),
            "https://app.example/two"
        );
        let late = NOW.plus_secs(LOGIN_TTL_SECS);
        assert_eq!(
            LoginState::resume(&inbound, &one.state, late),
            Err(CallbackError::TooLate)
        );
        let elsewhere = with_cookies(&[two]);
        let same_start = format!("{}x", one.state.get(..8).expect("long"));
        for (inbound, state) in [
            (&elsewhere, one.state.as_str()),
            (&inbound, same_start.as_str()),
            (&inbound, "short"),
            (&inbound, "ééééé"),
            (&inbound, ""),
        ] {
            let resumed = LoginState::resume(inbound, state, NOW);
            assert_eq!(resumed, Err(CallbackError::StateUnknown), "{state}");
        }
    }

    #[test]
    fn abandoned_log_ins_are_forgotten_before_cookies_grow_too_long() {
        let logins: Vec<LoginState> = (0..12)
            .map(|seed| {
                let begun_at = NOW.plus_secs(u64::from(seed));
                LoginState::begin(&example("GET", "/", &[]), &random(seed), begun_at)
            })
            .collect();
        let cleared = clear_abandoned(&with_cookies(&logins), NOW.plus_secs(12));
        assert_eq!(cleared.len(), 12 + 1 - MAX_PARALLEL);
        let newest = logins
            .last()
            .and_then(LoginState::clear_cookie)
            .expect("a cookie");
        assert!(!cleared.contains(&newest));
        let all_old = clear_abandoned(&with_cookies(&logins), NOW.plus_secs(700));
        assert_eq!(all_old.len(), 12);
        let broken = example("GET", "/", &[("cookie", "__Host-portcullis-login-x=?")]);
        assert_eq!(clear_abandoned(&broken, NOW).len(), 1);
        let hostile = example("GET", "/", &[("cookie", "__Host-portcullis-login-\r\nX=?")]);
        assert!(clear_abandoned(&hostile, NOW).is_empty());
    }

    #[test]
    fn only_paths_of_this_host_are_returned_to() {
        for path in ["/", "/a", "/a/b?c=d&e=//f", "/%2f%2fevil.example"] {
            assert_eq!(return_path(path), path);
        }
        let long = format!("/{}", "a".repeat(MAX_RETURN_PATH_BYTES));
        for path in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "/a\r\nSet-Cookie: x",
            " /a",
            "/é",
            "javascript:alert(1)",
            &long,
        ] {
            assert_eq!(return_path(path), "/", "{path}");
        }
    }

    fn callback(query: &str) -> Result<Callback, CallbackError> {
        let url = format!("https://app.example/.portcullis/callback?{query}");
        Callback::parse(&Url::parse(&url).expect("a URL"), "https://id.example")
    }

    #[test]
    fn a_return_carries_state_issuer_and_either_code_or_error() {
        let iss = "iss=https%3A%2F%2Fid.example";
        let good = callback(&format!("code=c&state=s&{iss}")).expect("parses");
        assert_eq!(
            (good.state.as_str(), good.code),
            ("s", Ok(Code("c".to_owned())))
        );
        let failed = callback(&format!("error=access_denied&state=s&{iss}")).expect("parses");
        assert_eq!(failed.code, Err(ErrorCode("access_denied".to_owned())));
        for (query, expected) in [
            (format!("code=c&{iss}"), CallbackError::Malformed),
            (format!("state=s&{iss}"), CallbackError::Malformed),
            (
                format!("code=c&code=d&state=s&{iss}"),
                CallbackError::Malformed,
            ),
            (
                format!("code=c&error=e&state=s&{iss}"),
                CallbackError::Malformed,
            ),
            (
                format!("code=c&state=s&{iss}&{iss}"),
                CallbackError::Malformed,
            ),
            ("code=c&state=s".to_owned(), CallbackError::Issuer),
            (
                "code=c&state=s&iss=https%3A%2F%2Fevil.example".to_owned(),
                CallbackError::Issuer,
            ),
        ] {
            assert_eq!(callback(&query), Err(expected), "{query}");
        }
    }

    #[test]
    fn only_bearer_tokens_that_fit_a_cookie_are_taken() {
        let reply = |token_type: &str, token: &str| {
            let json = serde_json::json!({
                "access_token": token, "id_token": "i", "token_type": token_type, "expires_in": 300,
            });
            UnverifiedTokens::parse(json.to_string().as_bytes()).is_some()
        };
        assert!(reply("Bearer", "t") && reply("bearer", "t"));
        assert!(!reply("DPoP", "t"));
        assert!(!reply("Bearer", &"t".repeat(4000)));
        assert!(UnverifiedTokens::parse(b"{}").is_none());
    }

    #[test]
    fn logging_out_needs_our_own_origin() {
        let from = |headers: &[(&str, &str)]| {
            is_same_origin(&example("POST", "/", headers), &config::example())
        };
        assert!(from(&[("origin", "https://app.example")]));
        for headers in [
            vec![],
            vec![("origin", "null")],
            vec![("origin", "https://app.example.evil.example")],
            vec![
                ("origin", "https://app.example"),
                ("origin", "https://evil.example"),
            ],
        ] {
            assert!(!from(&headers), "{headers:?}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let login = begun("/");
        let shown = format!("{login:?} {:?}", Code("secret".to_owned()));
        assert!(!shown.contains(&login.code_verifier) && !shown.contains("secret"));
    }

    proptest! {
        #[test]
        fn whatever_was_asked_for_the_browser_stays_on_this_host(path: String) {
            let login = LoginState {
                return_path: path,
                ..begun("/")
            };
            let url = Url::parse(&login.return_url(&config::example())).expect("a URL");
            prop_assert_eq!(url.origin().ascii_serialization(), "https://app.example");
        }

        #[test]
        fn arbitrary_cookies_never_panic(value: String, state: String) {
            let header = format!("__Host-portcullis-login-AAECAwQF={value}");
            let inbound = example("GET", "/", &[("cookie", &header)]);
            let _ = LoginState::resume(&inbound, &state, NOW);
            let _ = clear_abandoned(&inbound, NOW);
        }
    }
}
