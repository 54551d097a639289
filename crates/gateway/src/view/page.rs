//! Opening a page: after this it is known to be the service's and whole.

use portcullis_core::feed::page::{SignedPage, VerifiedPage};
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::feed::begin_page;
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::unverified::UnverifiedToken;

/// A page, and who signed it.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The page.
    pub page: VerifiedPage,
    /// The key that signed its statement.
    pub kid: String,
}

/// Opens a page. [`TokenError::UnknownKey`] may be mended by fetching the keys again. A page that does not
/// name its key is refused: nobody could tell whether that was revoked.
pub fn open(page: &SignedPage, keys: &KeySet, issuer: &str) -> Result<Opened, TokenError> {
    let statement = UnverifiedToken::parse(&page.statement)?;
    let kid = statement.kid().ok_or(TokenError::UnknownKey)?.to_owned();
    // The signature is over the header as well, so what it names is what signed.
    let page = begin_page(page, keys, issuer)?.check()?;
    Ok(Opened { page, kid })
}
