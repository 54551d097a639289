//! Codes and refresh tokens.

use portcullis_core::id::{SessionId, SubjectKey};
use portcullis_core::oauth::opaque::{AuthorizationCode, RefreshSecret, RefreshToken, checksum};
use portcullis_core::oauth::{is_s256_challenge, s256_challenge};

const KEY: [u8; 32] = [1; 32];
const SUBJECT: SubjectKey = SubjectKey::from_bytes([2; 16]);

/// As it comes, with the checksum that it lacks, and as `POSITION CHARACTERS` written over good ones.
/// A credential is read as it was made, in no other spelling and as no other kind.
pub fn opaque_token(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        let _ = is_s256_challenge(text);
        if let Some(challenge) = s256_challenge(text) {
            assert!(is_s256_challenge(&challenge));
        }
        for text in [text, &format!("{text}.{}", checksum(text))] {
            assert!(AuthorizationCode::parse(&KEY, text).is_none());
            assert!(RefreshToken::parse(&KEY, text).is_none());
        }
    }
    let code = AuthorizationCode::new(&KEY, SUBJECT, &[3; 24]);
    let secret = RefreshSecret::new([4; 24]);
    let refresh = RefreshToken::new(SUBJECT, SessionId::from_bytes([5; 16]), secret).to_text(&KEY);
    for good in [code.as_text(), &refresh] {
        if let Some(text) = written_over(good, data) {
            exact(good, &text);
            let body = text
                .rsplit_once('.')
                .map_or(text.as_str(), |(body, _)| body);
            exact(good, &format!("{body}.{}", checksum(body)));
        }
    }
}

fn exact(good: &str, text: &str) {
    let code = AuthorizationCode::parse(&KEY, text);
    let refresh = RefreshToken::parse(&KEY, text);
    assert!(code.is_none() || refresh.is_none(), "two kinds at once");
    assert_eq!(code.is_some() || refresh.is_some(), text == good);
    if let Some(code) = code {
        assert!(code.subject == SUBJECT && code.as_text() == text);
    }
    if let Some(refresh) = refresh {
        assert!(refresh.subject == SUBJECT && refresh.to_text(&KEY) == text);
    }
}

/// `good` with all but the first byte of `patch` in place of what stands at the position which that byte
/// names.
fn written_over(good: &str, patch: &[u8]) -> Option<String> {
    let (&position, patch) = patch.split_first()?;
    let mut bytes = good.as_bytes().to_vec();
    let at = usize::from(position).min(bytes.len());
    let end = (at + patch.len()).min(bytes.len());
    bytes.splice(at..end, patch.iter().copied());
    String::from_utf8(bytes).ok()
}
