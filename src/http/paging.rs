//! The parameters that listings have alike. What cannot be read is refused by its name.

use crate::error::Problem;
use std::collections::BTreeMap;

/// A parameter that may be left out.
pub fn parameter<T>(
    query: &BTreeMap<String, String>,
    name: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let text = query.get(name);
    text.map(|text| read(text).ok_or_else(|| unreadable(name)))
        .transpose()
}

/// How many there may be on a page: `usual` if `limit` is left out, and `most` at most.
pub fn limit(query: &BTreeMap<String, String>, usual: u32, most: u32) -> Result<u32, Problem> {
    let within = |text: &str| text.parse().ok().filter(|limit| (1..=most).contains(limit));
    Ok(parameter(query, "limit", within)?.unwrap_or(usual))
}

/// A parameter of that name cannot be read.
pub fn unreadable(name: &str) -> Problem {
    Problem::bad_request(format!("{name} cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_within_its_bounds_or_refused() {
        let limit = |text: Option<&str>| {
            let query = text.map(|text| ("limit".to_owned(), text.to_owned()));
            limit(&query.into_iter().collect(), 50, 100)
                .map_err(|problem| problem.detail().to_owned())
        };
        assert_eq!(limit(None), Ok(50));
        assert_eq!(limit(Some("1")), Ok(1));
        assert_eq!(limit(Some("100")), Ok(100));
        for text in ["", "0", "101", "-1", "x", "99999999999"] {
            assert_eq!(
                limit(Some(text)),
                Err("limit cannot be read".to_owned()),
                "{text}"
            );
        }
    }
}
