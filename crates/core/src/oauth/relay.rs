//! What of an authorization request goes on to the identity provider, and whether the log-in that
//! comes back is what was asked for.
//!
//! People prove themselves there and nowhere else, so `prompt`, `max_age`, `acr_values` and `login_hint`
//! are passed on. A browser carries them, and whoever holds the browser can take them out: only the
//! ID token says what has happened. `prompt=consent` is ours and stays here.

use super::authorize::{AuthorizationRequest, ErrorCode, Prompt};
use crate::time::UnixMillis;

/// How far the provider's clock may be behind ours, in seconds, for a log-in to count as new.
pub const AUTH_TIME_SKEW_SECS: u64 = 10;

/// What an ID token says of the log-in.
#[derive(Clone, Copy, Debug)]
pub struct LoginFacts<'a> {
    /// `auth_time`.
    pub auth_time: Option<UnixMillis>,
    /// `acr`.
    pub acr: Option<&'a str>,
}

impl AuthorizationRequest {
    /// The parameters that the identity provider gets besides the usual ones.
    #[must_use]
    pub fn relayed(&self) -> Vec<(&'static str, String)> {
        let prompts: Vec<&str> = self
            .prompt
            .iter()
            .filter(|prompt| **prompt != Prompt::Consent)
            .map(|prompt| prompt.as_str())
            .collect();
        // With `max_age` an ID token must say `auth_time` (OIDC Core section 2): without it a new
        // log-in could not be told from an old one.
        let max_age = match self.max_age_secs {
            None if self.prompts(Prompt::Login) => Some(0),
            other => other,
        };
        [
            ("prompt", Some(prompts.join(" "))),
            ("max_age", max_age.map(|secs| secs.to_string())),
            ("acr_values", Some(self.acr_values.join(" "))),
            ("login_hint", self.login_hint.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|v| !v.is_empty())?)))
        .collect()
    }

    /// Whether a SAML provider is to have the person prove themselves again. It cannot be told how old a
    /// log-in may be, so wherever the client says how old, the answer is to be new; but not where nothing
    /// may be shown.
    #[must_use]
    pub fn must_be_asked_again(&self) -> bool {
        let is_to_be_new = self.prompts(Prompt::Login) || self.max_age_secs.is_some();
        is_to_be_new && !self.prompts(Prompt::None)
    }

    /// Whether the log-in is as new and as strong as was asked; `begun_at` is when the browser set
    /// out. From then `max_age` counts too: else whoever takes a while to log in could never have
    /// done so within `max_age=0`.
    pub fn is_satisfied_by(
        &self,
        login: LoginFacts<'_>,
        begun_at: UnixMillis,
    ) -> Result<(), ErrorCode> {
        let is_since = |earliest: u64| {
            login
                .auth_time
                .is_some_and(|at| at.secs() >= earliest.saturating_sub(AUTH_TIME_SKEW_SECS))
        };
        if self.prompts(Prompt::Login) && !is_since(begun_at.secs()) {
            return Err(ErrorCode::LoginRequired);
        }
        if let Some(max_age) = self.max_age_secs
            && !is_since(begun_at.secs().saturating_sub(max_age.into()))
        {
            return Err(ErrorCode::LoginRequired);
        }
        let is_strong = self.acr_values.is_empty()
            || login
                .acr
                .is_some_and(|acr| self.acr_values.iter().any(|asked| asked == acr));
        if is_strong {
            Ok(())
        } else {
            Err(ErrorCode::UnmetAuthenticationRequirements)
        }
    }
}

/// What the client is told when the provider answers with `error` (OIDC Core section 3.1.2.6). Of what is
/// between the provider and us it learns nothing.
#[must_use]
pub fn upstream_error(error: Option<&str>) -> ErrorCode {
    let passed_on = [
        ErrorCode::AccessDenied,
        ErrorCode::TemporarilyUnavailable,
        ErrorCode::LoginRequired,
        ErrorCode::InteractionRequired,
        ErrorCode::ConsentRequired,
        ErrorCode::AccountSelectionRequired,
        ErrorCode::UnmetAuthenticationRequirements,
    ];
    passed_on
        .into_iter()
        .find(|code| Some(code.as_str()) == error)
        .unwrap_or(ErrorCode::ServerError)
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;
    use proptest::prelude::*;

    const BEGUN: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn a_saml_provider_asks_again_where_a_log_in_must_be_new_and_something_may_be_shown() {
        for (parameters, asks) in [
            (&[][..], false),
            (&[("prompt", "select_account")], false),
            (&[("prompt", "login")], true),
            (&[("max_age", "0")], true),
            (&[("max_age", "3600")], true),
            (&[("prompt", "none")], false),
            (&[("prompt", "none"), ("max_age", "0")], false),
        ] {
            let asked = request(parameters).must_be_asked_again();
            assert_eq!(asked, asks, "{parameters:?}");
        }
    }

    fn judged(
        parameters: &[(&str, &str)],
        auth_time: Option<u64>,
        acr: Option<&str>,
    ) -> Result<(), ErrorCode> {
        let login = LoginFacts {
            auth_time: auth_time.map(|secs| UnixMillis(secs * 1000)),
            acr,
        };
        request(parameters).is_satisfied_by(login, BEGUN)
    }

    #[test]
    fn what_the_provider_must_know_is_passed_on_and_consent_is_not() {
        let sent = |parameters: &[(&str, &str)]| request(parameters).relayed();
        assert_eq!(sent(&[]), []);
        assert_eq!(sent(&[("prompt", "consent")]), []);
        assert_eq!(
            sent(&[
                ("prompt", "none"),
                ("max_age", "60"),
                ("login_hint", "alice")
            ]),
            [
                ("prompt", "none".to_owned()),
                ("max_age", "60".to_owned()),
                ("login_hint", "alice".to_owned()),
            ]
        );
        assert_eq!(
            sent(&[("prompt", "consent login"), ("acr_values", "a  b")]),
            [
                ("prompt", "login".to_owned()),
                ("max_age", "0".to_owned()),
                ("acr_values", "a b".to_owned()),
            ]
        );
    }

    #[test]
    fn a_log_in_from_before_or_of_no_date_does_not_answer_prompt_login() {
        let login: &[(&str, &str)] = &[("prompt", "login")];
        assert_eq!(judged(login, Some(1_800_000_000), None), Ok(()));
        assert_eq!(judged(login, Some(1_799_999_990), None), Ok(()));
        let refused = Err(ErrorCode::LoginRequired);
        assert_eq!(judged(login, Some(1_799_999_989), None), refused);
        assert_eq!(judged(login, None, None), refused);
        assert_eq!(judged(&[], None, None), Ok(()));
    }

    #[test]
    fn a_log_in_older_than_max_age_or_of_no_date_is_refused() {
        let minute: &[(&str, &str)] = &[("max_age", "60")];
        assert_eq!(judged(minute, Some(1_799_999_930), None), Ok(()));
        let refused = Err(ErrorCode::LoginRequired);
        assert_eq!(judged(minute, Some(1_799_999_929), None), refused);
        assert_eq!(judged(minute, None, None), refused);
        // However long the person took there, and however late the browser came back.
        let now: &[(&str, &str)] = &[("max_age", "0")];
        for since in [0, 15, 590] {
            assert_eq!(judged(now, Some(BEGUN.secs() + since), None), Ok(()));
        }
        assert_eq!(judged(now, Some(BEGUN.secs() - 11), None), refused);
        assert_eq!(judged(&[("max_age", "4294967295")], Some(0), None), Ok(()));
    }

    #[test]
    fn an_acr_that_was_not_asked_for_is_unmet() {
        let mfa: &[(&str, &str)] = &[("acr_values", "mfa hardware")];
        assert_eq!(judged(mfa, None, Some("hardware")), Ok(()));
        let unmet = Err(ErrorCode::UnmetAuthenticationRequirements);
        assert_eq!(judged(mfa, None, Some("pwd")), unmet);
        assert_eq!(judged(mfa, None, Some("mfa hardware")), unmet);
        assert_eq!(judged(mfa, None, None), unmet);
        assert_eq!(judged(&[], None, Some("pwd")), Ok(()));
    }

    #[test]
    fn the_providers_errors_that_concern_the_person_are_passed_on_and_no_others() {
        for error in [
            "access_denied",
            "login_required",
            "interaction_required",
            "consent_required",
            "account_selection_required",
            "temporarily_unavailable",
            "unmet_authentication_requirements",
        ] {
            assert_eq!(upstream_error(Some(error)).as_str(), error);
        }
        for error in [
            None,
            Some("invalid_request"),
            Some("invalid_scope"),
            Some("x"),
        ] {
            assert_eq!(upstream_error(error), ErrorCode::ServerError);
        }
    }

    proptest! {
        #[test]
        fn a_fresh_enough_log_in_is_one_within_max_age_and_skew(max_age: u32, age in 0u64..1_800_000_000) {
            let text = max_age.to_string();
            let at = BEGUN.secs().saturating_sub(age);
            let fresh = age <= u64::from(max_age) + AUTH_TIME_SKEW_SECS;
            let judged = judged(&[("max_age", &text)], Some(at), None);
            prop_assert_eq!(judged.is_ok(), fresh);
        }
    }
}
