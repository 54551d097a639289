//! Which connection somebody is sent to.
//!
//! One connection is no choice. With several, an address says which (its domain is one connection's), a
//! browser that must not show anything goes where it logged in last, and everybody else is asked.

use super::Connection;

/// Where to send a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice<'c> {
    /// There.
    To(&'c Connection),
    /// The person says where.
    Ask,
    /// Nobody can log in.
    Nowhere,
}

/// Chooses among `connections`, of which those that are not enabled do not count. `address` is what the
/// person or their application says they are called, `last` the connection that this browser used last,
/// which counts only if nothing may be shown.
#[must_use]
pub fn choose<'c>(
    connections: &'c [&'c Connection],
    address: Option<&str>,
    last: Option<&str>,
) -> Choice<'c> {
    let enabled = || {
        connections
            .iter()
            .filter(|one| one.enabled && one.logs_in())
    };
    let mut all = enabled();
    match (all.next(), all.next()) {
        (None, _) => return Choice::Nowhere,
        (Some(only), None) => return Choice::To(only),
        (Some(_), Some(_)) => {}
    }
    let by_address = address.and_then(|address| of_address(enabled().copied(), address));
    let by_browser = || last.and_then(|last| enabled().find(|one| one.id == last).copied());
    by_address
        .or_else(by_browser)
        .map_or(Choice::Ask, Choice::To)
}

/// The connection that the address's domain belongs to. A domain that several claim is nobody's.
pub fn of_address<'c>(
    connections: impl Iterator<Item = &'c Connection>,
    address: &str,
) -> Option<&'c Connection> {
    let (_, domain) = address.trim().rsplit_once('@')?;
    let domain = domain.to_ascii_lowercase();
    let mut claiming = connections.filter(|one| one.email_domains.contains(&domain));
    match (claiming.next(), claiming.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::with;
    use super::*;
    use serde_json::json;

    fn all() -> [Connection; 3] {
        [
            with(&json!({"id": "a", "email_domains": ["a.example", "both.example"]})),
            with(&json!({"id": "b", "email_domains": ["b.example", "both.example"]})),
            with(&json!({"id": "off", "enabled": false, "email_domains": ["off.example"]})),
        ]
    }

    fn chosen(address: Option<&str>, last: Option<&str>) -> Option<String> {
        let all = all();
        let refs: Vec<&Connection> = all.iter().collect();
        match choose(&refs, address, last) {
            Choice::To(one) => Some(one.id.clone()),
            Choice::Ask | Choice::Nowhere => None,
        }
    }

    #[test]
    fn one_connection_is_no_choice_and_none_is_none() {
        let [a, _, off] = all();
        assert_eq!(choose(&[&a, &off], None, None), Choice::To(&a));
        assert_eq!(choose(&[&off], None, None), Choice::Nowhere);
        let only_tokens = with(&json!({
            "jwks_uri": "https://idp.example/k", "tokens": {"audiences": ["x"]},
        }));
        assert_eq!(choose(&[&only_tokens], None, None), Choice::Nowhere);
        assert_eq!(choose(&[&a, &only_tokens], None, None), Choice::To(&a));
        assert_eq!(choose(&[], Some("x@a.example"), None), Choice::Nowhere);
    }

    #[test]
    fn an_address_says_where_in_any_case_and_only_by_its_last_part() {
        assert_eq!(chosen(Some("x@a.example"), None).as_deref(), Some("a"));
        assert_eq!(chosen(Some(" X@B.Example "), None).as_deref(), Some("b"));
        for other in [
            "a.example",
            "x@a.example@c.example",
            "x@sub.a.example",
            "x@xa.example",
            "@",
            "",
        ] {
            assert_eq!(chosen(Some(other), None), None, "{other}");
        }
    }

    #[test]
    fn a_domain_of_several_or_of_a_disabled_one_is_asked_for() {
        assert_eq!(chosen(Some("x@both.example"), None), None);
        assert_eq!(chosen(Some("x@off.example"), None), None);
    }

    #[test]
    fn where_the_browser_was_last_counts_after_the_address() {
        assert_eq!(chosen(None, Some("b")).as_deref(), Some("b"));
        assert_eq!(chosen(Some("x@a.example"), Some("b")).as_deref(), Some("a"));
        assert_eq!(chosen(None, Some("off")), None);
        assert_eq!(chosen(None, Some("gone")), None);
    }
}
