//! Versions of resources as entity tags, and the conditions that rest on them (RFC 7644 section 3.14,
//! RFC 7232 sections 3.1 and 3.2).
//!
//! Tags are weak: equal versions say the same, if not in the same bytes. `If-Match` is compared weakly, too, though
//! RFC 7232 would have it strongly: SCIM's own examples do, and no weak tag could match otherwise.

use super::super::ScimError;

/// A number that grows with each change of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u64);

impl Version {
    /// As in `ETag` and `meta.version`.
    #[must_use]
    pub fn to_etag(self) -> String {
        format!("W/\"{}\"", self.0)
    }

    /// Reads what [`Self::to_etag`] wrote.
    #[must_use]
    pub fn from_etag(etag: &str) -> Option<Self> {
        let number = etag.strip_prefix("W/\"")?.strip_suffix('"')?;
        number.parse().ok().map(Self)
    }
}

/// What a request asks to hold of the resource before anything is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Carry it out.
    Proceed,
    /// Answer 304: the caller has that version.
    NotModified,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Any,
    /// What stands between the quotes of each.
    These(Vec<String>),
}

impl Conditions {
    /// From the headers. One that cannot be read is refused: to ignore it would be to do what the
    /// caller did not want.
    pub fn new(if_match: Option<&str>, if_none_match: Option<&str>) -> Result<Self, ScimError> {
        let read = |name: &str, header: Option<&str>| match header {
            None => Ok(None),
            Some(text) => match tags(text) {
                Some(tags) => Ok(Some(tags)),
                None => Err(ScimError::InvalidSyntax(format!("{name} is malformed"))),
            },
        };
        Ok(Self {
            if_match: read("If-Match", if_match)?,
            if_none_match: read("If-None-Match", if_none_match)?,
        })
    }

    /// From the `version` of an operation in a Bulk request.
    pub fn of_version(version: Option<&str>) -> Result<Self, ScimError> {
        Self::new(version, None)
    }

    /// Whether they hold; `current` is the resource's version, if there is one.
    pub fn check(&self, current: Option<Version>, is_read: bool) -> Result<Verdict, ScimError> {
        let has = |tags: &Tags| match (tags, current) {
            (_, None) => false,
            (Tags::Any, Some(_)) => true,
            (Tags::These(tags), Some(current)) => {
                let current = current.0.to_string();
                tags.contains(&current)
            }
        };
        if self.if_match.as_ref().is_some_and(|tags| !has(tags)) {
            return Err(ScimError::PreconditionFailed);
        }
        match self.if_none_match.as_ref().is_some_and(has) {
            false => Ok(Verdict::Proceed),
            true if is_read => Ok(Verdict::NotModified),
            true => Err(ScimError::PreconditionFailed),
        }
    }
}

fn tags(header: &str) -> Option<Tags> {
    if header.trim() == "*" {
        return Some(Tags::Any);
    }
    let mut rest = header.trim();
    let mut tags = Vec::new();
    loop {
        let quoted = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
        let (tag, behind) = quoted.split_once('"')?;
        tags.push(tag.to_owned());
        rest = behind.trim_start();
        if rest.is_empty() {
            return Some(Tags::These(tags));
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Option<Version> = Some(Version(7));

    fn check(
        if_match: Option<&str>,
        if_none_match: Option<&str>,
        current: Option<Version>,
        is_read: bool,
    ) -> Result<Verdict, ScimError> {
        Conditions::new(if_match, if_none_match)?.check(current, is_read)
    }

    #[test]
    fn a_change_rests_on_the_version_it_names() {
        let failed = Err(ScimError::PreconditionFailed);
        for (header, verdict) in [
            ("W/\"7\"", Ok(Verdict::Proceed)),
            ("\"7\"", Ok(Verdict::Proceed)),
            ("*", Ok(Verdict::Proceed)),
            (" W/\"1\" ,W/\"7\"", Ok(Verdict::Proceed)),
            ("W/\"6\"", failed.clone()),
            ("W/\"07\"", failed.clone()),
            ("W/\"\"", failed.clone()),
        ] {
            assert_eq!(check(Some(header), None, NOW, false), verdict, "{header}");
        }
        assert_eq!(check(Some("*"), None, None, false), failed);
        assert_eq!(check(None, None, None, false), Ok(Verdict::Proceed));
    }

    #[test]
    fn who_has_the_version_is_told_so_and_changes_nothing() {
        let failed = Err(ScimError::PreconditionFailed);
        let known = Some("W/\"7\", W/\"8\"");
        assert_eq!(check(None, known, NOW, true), Ok(Verdict::NotModified));
        assert_eq!(check(None, known, NOW, false), failed);
        assert_eq!(check(None, Some("*"), NOW, false), failed);
        assert_eq!(check(None, Some("*"), None, false), Ok(Verdict::Proceed));
        assert_eq!(
            check(None, Some("W/\"6\""), NOW, true),
            Ok(Verdict::Proceed)
        );
    }

    #[test]
    fn a_malformed_condition_is_not_ignored() {
        for header in [
            "",
            "7",
            "W/7",
            "w/\"7\"",
            "\"7",
            "\"7\" \"8\"",
            "\"7\",",
            "*,\"7\"",
        ] {
            let refused = check(Some(header), None, NOW, false);
            assert!(
                matches!(refused, Err(ScimError::InvalidSyntax(_))),
                "{header}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_tag_is_read_back_and_arbitrary_headers_never_panic(number: u64, other: u64, text: String) {
            let tag = Version(number).to_etag();
            prop_assert_eq!(Version::from_etag(&tag), Some(Version(number)));
            let verdict = check(Some(&tag), None, Some(Version(other)), false);
            prop_assert_eq!(verdict.is_ok(), number == other);
            let _ = check(Some(&text), Some(&text), NOW, true);
        }
    }
}
