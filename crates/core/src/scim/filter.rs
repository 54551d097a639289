//! The one filter that every provider sends before it creates a user: `userName eq "value"`.

use super::ScimError;

/// The value of a `userName eq` filter (RFC 7644 section 3.4.2.2).
pub fn user_name_eq(filter: &str) -> Result<String, ScimError> {
    let rest = strip_word(filter.trim(), "userName").and_then(|rest| strip_word(rest, "eq"));
    let value = rest.ok_or(ScimError::InvalidFilter)?;
    // A comparison value is a JSON string, escapes included.
    serde_json::from_str(value).map_err(|_| ScimError::InvalidFilter)
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (first, rest) = text.split_once(' ')?;
    first.eq_ignore_ascii_case(word).then(|| rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_that_comparison_is_a_filter() {
        assert_eq!(user_name_eq(r#"userName eq "a\"b""#), Ok("a\"b".to_owned()));
        assert_eq!(user_name_eq(r#" USERNAME  EQ  "a" "#), Ok("a".to_owned()));
        for bad in [
            "",
            "userName",
            "userName eq",
            "userName eq a",
            r#"userName eq "a" or active pr"#,
            r#"externalId eq "a""#,
        ] {
            assert_eq!(user_name_eq(bad), Err(ScimError::InvalidFilter), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_name_can_be_asked_for(name: String) {
            let filter = format!("userName eq {}", serde_json::to_string(&name).unwrap());
            prop_assert_eq!(user_name_eq(&filter), Ok(name));
        }
    }
}
