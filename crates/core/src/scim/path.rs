//! Paths to attributes (RFC 7644 sections 3.5.2 and 3.10): `name.givenName`,
//! `urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department`, and in a PATCH
//! `emails[type eq "work"].value`.
//!
//! Here is what a path says; whether there is such an attribute, the schema knows
//! ([`super::schema::ResourceType::resolve`]).

use super::ScimError;
use super::filter::{Filter, parse_within};
use std::fmt;

/// The longest path.
pub const MAX_PATH_BYTES: usize = 1024;

/// An attribute, or a part of one, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttrPath {
    /// What stands before the last colon.
    pub urn: Option<String>,
    /// The attribute's name.
    pub name: String,
    /// The sub-attribute's name.
    pub sub: Option<String>,
}

impl AttrPath {
    /// Reads one; `None` if that is no path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_PATH_BYTES {
            return None;
        }
        let (urn, rest) = match text.rsplit_once(':') {
            Some((urn, rest)) if is_urn(urn) => (Some(urn.to_owned()), rest),
            Some(_) => return None,
            None => (None, text),
        };
        let (name, sub) = match rest.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (rest, None),
        };
        let are_names = is_name(name) && sub.is_none_or(is_name);
        are_names.then(|| Self {
            urn,
            name: name.to_owned(),
            sub: sub.map(str::to_owned),
        })
    }

    /// A plain name.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        Self {
            urn: None,
            name: name.to_owned(),
            sub: None,
        }
    }
}

impl fmt::Display for AttrPath {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        if let Some(urn) = &self.urn {
            write!(to, "{urn}:")?;
        }
        to.write_str(&self.name)?;
        match &self.sub {
            Some(sub) => write!(to, ".{sub}"),
            None => Ok(()),
        }
    }
}

/// What an operation of a PATCH is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// The attribute.
    pub attribute: AttrPath,
    /// Which of its values; `None`: all.
    pub filter: Option<Filter>,
    /// Which part of those, where a filter stands between.
    pub sub: Option<String>,
}

impl Path {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        let invalid = || ScimError::InvalidPath(shown(text));
        if text.len() > MAX_PATH_BYTES {
            return Err(invalid());
        }
        let Some((attribute, rest)) = text.split_once('[') else {
            return Ok(Self {
                attribute: AttrPath::parse(text).ok_or_else(invalid)?,
                filter: None,
                sub: None,
            });
        };
        let attribute = AttrPath::parse(attribute)
            .filter(|path| path.sub.is_none())
            .ok_or_else(invalid)?;
        let (filter, rest) = parse_within(rest).map_err(|_| invalid())?;
        let sub = match rest.strip_prefix('.') {
            Some(sub) if is_name(sub) => Some(sub.to_owned()),
            None if rest.is_empty() => None,
            _ => return Err(invalid()),
        };
        Ok(Self {
            attribute,
            filter: Some(filter),
            sub,
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{}", self.attribute)?;
        if let Some(filter) = &self.filter {
            write!(to, "[{filter}]")?;
        }
        match &self.sub {
            Some(sub) => write!(to, ".{sub}"),
            None => Ok(()),
        }
    }
}

/// What of a caller's text an error repeats.
pub(super) fn shown(text: &str) -> String {
    let kept = crate::text::truncated(text, 100);
    if kept.is_empty() {
        "(none)".to_owned()
    } else {
        kept
    }
}

/// A name of an attribute: ALPHA, then letters, digits, `-` and `_` (RFC 7643 section 2.1); `$ref`
/// is one, too.
pub(super) fn is_name(text: &str) -> bool {
    let rest = text.strip_prefix('$').unwrap_or(text);
    rest.starts_with(|first: char| first.is_ascii_alphabetic()) && rest.chars().all(is_in_name)
}

pub(super) fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

fn is_urn(text: &str) -> bool {
    let is_urn = text
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("urn:"));
    is_urn
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ":.-_/%+".contains(c))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::filter::tests::filter_within;
    use super::*;
    use proptest::prelude::*;

    pub fn attr_path() -> impl Strategy<Value = AttrPath> {
        let urn = prop::option::of("urn:[a-z]{1,5}:[A-Za-z0-9:]{0,8}2\\.0:[A-Z][a-z]{1,5}");
        let name = || "[$]?[a-zA-Z][a-zA-Z0-9_-]{0,6}";
        (urn, name(), prop::option::of(name())).prop_map(|(urn, name, sub)| AttrPath {
            urn,
            name,
            sub,
        })
    }

    #[test]
    fn the_parts_of_a_path_are_told_apart() {
        let path = AttrPath::parse("urn:ietf:params:scim:schemas:core:2.0:User:name.givenName");
        let path = path.expect("parses");
        assert_eq!(
            path.urn.as_deref(),
            Some("urn:ietf:params:scim:schemas:core:2.0:User")
        );
        assert_eq!(
            (path.name.as_str(), path.sub.as_deref()),
            ("name", Some("givenName"))
        );
        let path = Path::parse(r#"emails[type eq "a].b" and primary eq true].value"#);
        let path = path.expect("parses");
        assert_eq!(path.attribute, AttrPath::plain("emails"));
        assert_eq!(path.sub.as_deref(), Some("value"));
        assert!(path.filter.is_some());
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a.b.c",
            "a b",
            "1a",
            "$",
            "a[",
            "a[]",
            "a[b eq 1",
            "a[b eq 1]]",
            "a[b eq 1].",
            "a[b eq 1]c",
            "a.b[c eq 1]",
            "a[b[c eq 1]]",
            "http://x:y",
            "urn:x y:z",
            ":a",
        ] {
            let refused = matches!(Path::parse(text), Err(ScimError::InvalidPath(_)));
            assert!(refused, "{text}");
        }
        assert!(Path::parse(&"a".repeat(MAX_PATH_BYTES + 1)).is_err());
    }

    proptest! {
        #[test]
        fn a_printed_path_is_read_back(
            attribute in attr_path(), filter in prop::option::of(filter_within()),
            sub in "[a-z]{1,6}",
        ) {
            let is_filtered = filter.is_some();
            let attribute = AttrPath {
                sub: attribute.sub.filter(|_| !is_filtered),
                ..attribute
            };
            let path = Path { attribute, filter, sub: is_filtered.then_some(sub) };
            prop_assume!(path.to_string().len() <= MAX_PATH_BYTES);
            prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
        }

        #[test]
        fn arbitrary_text_never_panics_and_what_is_read_is_printed_as_it_means(text: String) {
            if let Ok(path) = Path::parse(&text) {
                prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
            }
        }
    }
}
