//! The gateway's cookies (RFC 6265).
//!
//! All carry the `__Host-` prefix: a browser accepts them only with `Secure`, for the whole host
//! and from that host itself, so that no sibling domain can plant one.

/// What the names of all of ours begin with.
const OURS: &str = "__Host-portcullis";
/// Cloudflare Access' own, which is a credential too.
const ACCESS: &str = "cf_authorization";
/// The access token.
pub const ACCESS_TOKEN: &str = "__Host-portcullis";
/// The ID token, for logging out.
pub const ID_TOKEN: &str = "__Host-portcullis-id";
/// The state of a log-in that is under way; the beginning of its `state` follows.
pub const LOGIN_PREFIX: &str = "__Host-portcullis-login-";
/// The longest value that browsers keep with all attributes (RFC 6265 section 6.1 has 4096 bytes
/// for the whole cookie).
pub const MAX_VALUE_BYTES: usize = 3900;

/// The cookies in a `Cookie` header, in order.
pub fn pairs(header: &str) -> impl Iterator<Item = (&str, &str)> {
    header
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
}

/// The `Cookie` header without cookies of ours, or `None` if nothing is left. An access proxy's goes the same
/// way.
///
/// A pair is dropped if our name occurs anywhere in it and in any case: two header lines may have
/// been joined by a comma, and servers differ in how they read what is malformed.
#[must_use]
pub fn without_ours(header: &str) -> Option<String> {
    let theirs: Vec<&str> = header
        .split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty() && !mentions_ours(pair))
        .collect();
    (!theirs.is_empty()).then(|| theirs.join("; "))
}

/// Whether a `Set-Cookie` header sets, or looks as if it set, a cookie of ours.
#[must_use]
pub fn sets_ours(set_cookie: &str) -> bool {
    let name = set_cookie.split(['=', ';']).next().unwrap_or_default();
    mentions_ours(name)
}

/// A `Set-Cookie` value for one of ours. `SameSite=Lax`: it comes along when someone follows a link
/// to here, and not with a form or script of another site.
#[must_use]
pub fn set(name: &str, value: &str, max_age_secs: u64) -> String {
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={max_age_secs}")
}

/// A `Set-Cookie` value that removes one of ours.
#[must_use]
pub fn clear(name: &str) -> String {
    set(name, "", 0)
}

fn mentions_ours(text: &str) -> bool {
    // There and back: `ſ` is an `S` to whoever compares in capitals.
    let text = text.to_uppercase().to_lowercase();
    text.contains(&OURS.to_ascii_lowercase()) || text.contains(ACCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn others_stay_and_ours_go() {
        let header = "a=1; __Host-portcullis=tok; b=x=y;__Host-portcullis-id=i ; __host-Portcullis-login-x=l";
        assert_eq!(without_ours(header).as_deref(), Some("a=1; b=x=y"));
        assert_eq!(without_ours("__Host-portcullis=tok"), None);
        assert_eq!(without_ours(" ; "), None);
        assert_eq!(
            without_ours("a=1, __Host-portcullis=tok; b=2").as_deref(),
            Some("b=2")
        );
        assert_eq!(without_ours("__Ho\u{17f}t-portcullis=tok"), None);
    }

    #[test]
    fn the_origin_cannot_set_ours() {
        assert!(sets_ours("__Host-portcullis=x; Path=/"));
        assert!(sets_ours(" __host-portcullis-id = x"));
        assert!(!sets_ours("session=__Host-portcullis"));
    }

    #[test]
    fn attributes_are_those_the_prefix_needs() {
        assert_eq!(
            set(ACCESS_TOKEN, "v", 5),
            "__Host-portcullis=v; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=5"
        );
        assert!(clear(ID_TOKEN).starts_with("__Host-portcullis-id=; "));
    }

    proptest! {
        #[test]
        fn nothing_of_ours_survives(
            parts in prop::collection::vec("([a-z]{1,3}|__Host-portcullis(-id)?)=[a-z]{0,3}[;,] ?", 0..8),
        ) {
            let left = without_ours(&parts.concat()).unwrap_or_default();
            prop_assert!(!left.to_ascii_lowercase().contains("portcullis"));
        }
    }
}
