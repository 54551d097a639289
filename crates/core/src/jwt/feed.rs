//! Statements about pages of the [feed](crate::feed::page): the service's signature on them.

use super::TokenError;
use super::jwks::KeySet;
use super::jwks::pending::Pending;
use super::unverified::{UnverifiedToken, text};
use crate::feed::page::{SignedPage, Statement, TYP, VerifiedPage};
use serde_json::Value;

/// Takes a page for the service's as soon as its statement's signature has been checked, and if the
/// statement fits the page.
///
/// [`TokenError::UnknownKey`] alone may be mended by fetching the keys again.
pub fn begin_page<'p>(
    page: &'p SignedPage,
    keys: &KeySet,
    issuer: &'p str,
) -> Result<Pending<'p, VerifiedPage>, TokenError> {
    let statement = UnverifiedToken::parse(&page.statement)?;
    if !statement.is_of_type(TYP) {
        return Err(TokenError::Type);
    }
    Ok(Pending::new(keys.pending(statement)?, move |signed| {
        let claims = signed.into_map();
        if text(&claims, "iss") != Some(issuer) {
            return Err(TokenError::Issuer);
        }
        let statement: Statement =
            serde_json::from_value(Value::Object(claims)).map_err(|_| TokenError::Claims)?;
        statement.of(&page.entries)
    }))
}
