//! `exp`, `iat` and `nbf` (RFC 7519 sections 4.1.4 to 4.1.6), strictly.

use super::{CLOCK_SKEW_SECS, TokenError};
use crate::time::UnixMillis;
use serde_json::{Map, Value};

/// Times that have been held against the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When the token was issued.
    pub issued_at: UnixMillis,
    /// When it expires, in the future.
    pub expires_at: UnixMillis,
}

/// Requires `exp` and `iat`, and that the token is in force at `now`.
///
/// A date that is not a number is an error and never an absent date: verifiers that took `"exp":
/// "1"` for "never expires" have accepted expired tokens.
pub fn in_force(claims: &Map<String, Value>, now: UnixMillis) -> Result<Times, TokenError> {
    let expires_at = numeric_date(claims, "exp")?.ok_or(TokenError::Claims)?;
    let issued_at = numeric_date(claims, "iat")?.ok_or(TokenError::Claims)?;
    let not_before = numeric_date(claims, "nbf")?.unwrap_or(issued_at);
    if now >= expires_at {
        return Err(TokenError::Expired);
    }
    if issued_at.max(not_before) > now.plus_secs(CLOCK_SKEW_SECS) {
        return Err(TokenError::NotYetValid);
    }
    Ok(Times {
        issued_at,
        expires_at,
    })
}

/// A `NumericDate`, to the second; `None` if there is none, an error if it is anything else.
pub fn numeric_date(
    claims: &Map<String, Value>,
    name: &str,
) -> Result<Option<UnixMillis>, TokenError> {
    /// The year 9999: beyond it a number is a unit mistaken, or an attack on arithmetic.
    const LATEST_SECS: f64 = 253_402_300_799.0;

    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let secs = value.as_f64().ok_or(TokenError::Claims)?;
    if !(0.0..=LATEST_SECS).contains(&secs) {
        return Err(TokenError::Claims);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in range, and fractions of a second are dropped"
    )]
    let whole = secs as u64;
    Ok(Some(UnixMillis(0).plus_secs(whole)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, with, without};
    use super::*;
    use serde_json::json;

    fn check(claims: &Value) -> Result<Times, TokenError> {
        in_force(claims.as_object().expect("an object"), NOW)
    }

    fn claims() -> Value {
        json!({ "exp": NOW.secs() + 10, "iat": NOW.secs() - 10 })
    }

    #[test]
    fn expiry_has_no_leeway() {
        assert!(check(&claims()).is_ok());
        assert!(check(&with(&claims(), "exp", NOW.secs() + 1)).is_ok());
        for exp in [NOW.secs(), NOW.secs() - 1, 0] {
            let claims = with(&claims(), "exp", exp);
            assert_eq!(check(&claims), Err(TokenError::Expired), "{exp}");
        }
    }

    #[test]
    fn the_future_begins_after_the_skew() {
        for name in ["iat", "nbf"] {
            assert!(check(&with(&claims(), name, NOW.secs() + 60)).is_ok());
            let late = with(&claims(), name, NOW.secs() + 61);
            assert_eq!(check(&late), Err(TokenError::NotYetValid), "{name}");
        }
    }

    #[test]
    fn a_date_that_is_not_a_number_is_not_an_absent_date() {
        let text = (NOW.secs() + 10).to_string();
        for name in ["exp", "iat", "nbf"] {
            for value in [
                json!(text),
                json!(null),
                json!([1]),
                json!(-1),
                json!(1e300),
            ] {
                let claims = with(&claims(), name, value);
                assert_eq!(check(&claims), Err(TokenError::Claims), "{claims}");
            }
        }
        for name in ["exp", "iat"] {
            let claims = without(&claims(), name);
            assert_eq!(check(&claims), Err(TokenError::Claims), "{claims}");
        }
    }

    #[test]
    fn fractions_are_dropped() {
        let claims = with(&claims(), "exp", 1_800_000_000.9);
        assert_eq!(check(&claims), Err(TokenError::Expired));
    }
}
