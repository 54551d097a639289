//! What a list is asked by: the parameters of a GET (RFC 7644 section 3.4.2), or the body of a POST to
//! `/.search` (section 3.4.3), which keeps what is asked for out of URLs.
//!
//! [`Asked`] is as it came and can travel; [`Query`] is checked against the schema of a type. A number that is
//! none is `invalidValue`; one beyond what is allowed becomes what is ([`Page`]).

use super::ScimError;
use super::filter::{Filter, Ready};
use super::resource::list::{Page, Sorting};
use super::resource::render::Projection;
use super::schema::ResourceType;
use super::value::get;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The schema of a body.
const SEARCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// What is asked, as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// `filter`.
    pub filter: Option<String>,
    /// `sortBy`.
    pub sort_by: Option<String>,
    /// `sortOrder`.
    pub sort_order: Option<String>,
    /// `startIndex`.
    pub start_index: Option<String>,
    /// `count`.
    pub count: Option<String>,
    /// `attributes`, separated by commas.
    pub attributes: Option<String>,
    /// `excludedAttributes`, separated by commas.
    pub excluded_attributes: Option<String>,
}

/// What is asked, of resources of one type.
#[derive(Clone, Debug)]
pub struct Query {
    /// Which resources; `None`: all.
    pub filter: Option<Ready>,
    /// In which order; `None`: the store's own.
    pub sorting: Option<Sorting>,
    /// Which part of the list.
    pub page: Page,
    /// What of each.
    pub projection: Projection,
}

impl Asked {
    /// From the parameters of a GET. Names are as the RFC spells them.
    pub fn from_parameters<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Self {
        let text = |name: &str| parameter(name).map(str::to_owned);
        Self {
            filter: text("filter"),
            sort_by: text("sortBy"),
            sort_order: text("sortOrder"),
            start_index: text("startIndex"),
            count: text("count"),
            attributes: text("attributes"),
            excluded_attributes: text("excludedAttributes"),
        }
    }

    /// From the body of a POST to `/.search`.
    pub fn from_body(body: &Value) -> Result<Self, ScimError> {
        let Value::Object(body) = body else {
            return Err(ScimError::InvalidSyntax(
                "the body is no JSON object".into(),
            ));
        };
        if let Some(schemas) = get(body, "schemas") {
            let mut urns = schemas.as_array().into_iter().flatten();
            let is_it = |urn: &Value| urn.as_str().is_some_and(is_search_schema);
            if !urns.any(is_it) {
                return Err(ScimError::InvalidValue("schemas".into()));
            }
        }
        Ok(Self {
            filter: text(body, "filter")?,
            sort_by: text(body, "sortBy")?,
            sort_order: text(body, "sortOrder")?,
            start_index: number(body, "startIndex")?,
            count: number(body, "count")?,
            attributes: names(body, "attributes")?,
            excluded_attributes: names(body, "excludedAttributes")?,
        })
    }

    /// Checks it, for resources of a type. `max` is the most that are answered.
    pub fn checked(&self, of: &ResourceType, max: u32) -> Result<Query, ScimError> {
        self.checked_among(of, &[], max)
    }

    /// The same where resources of these types are asked for at once: for each of them.
    pub fn checked_of(
        &self,
        types: &[&'static ResourceType],
        max: u32,
    ) -> Result<Vec<Query>, ScimError> {
        let each = types.iter().map(|of| self.checked_among(of, types, max));
        each.collect()
    }

    fn checked_among(
        &self,
        of: &ResourceType,
        types: &[&'static ResourceType],
        max: u32,
    ) -> Result<Query, ScimError> {
        let filter = self.filter.as_deref().map(|filter| {
            let filter = Filter::parse(filter)?;
            Ready::among(&filter, of, types)
        });
        let order = self.sort_order.as_deref();
        let sorting = self
            .sort_by
            .as_deref()
            .map(|by| Sorting::among(of, types, by, order));
        let excluded = self.excluded_attributes.as_deref();
        Ok(Query {
            filter: filter.transpose()?,
            sorting: sorting.transpose()?,
            page: Page::new(self.start_index.as_deref(), self.count.as_deref(), max)?,
            projection: Projection::new(of, self.attributes.as_deref(), excluded)?,
        })
    }
}

fn is_search_schema(urn: &str) -> bool {
    urn.eq_ignore_ascii_case(SEARCH_SCHEMA)
}

fn invalid(name: &str) -> ScimError {
    ScimError::InvalidValue(name.to_owned())
}

fn text(body: &Map<String, Value>, name: &str) -> Result<Option<String>, ScimError> {
    match get(body, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(name)),
    }
}

fn number(body: &Map<String, Value>, name: &str) -> Result<Option<String>, ScimError> {
    match get(body, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(invalid(name)),
    }
}

/// A list of names, or the text that a parameter would be.
fn names(body: &Map<String, Value>, name: &str) -> Result<Option<String>, ScimError> {
    let Some(Value::Array(list)) = get(body, name) else {
        return text(body, name);
    };
    let each: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
    Ok(Some(each.ok_or_else(|| invalid(name))?.join(",")))
}

#[cfg(test)]
mod tests {
    use super::super::filter::plan::Plan;
    use super::super::resource::tests::json_value;
    use super::super::schema::{GROUP, USER};
    use super::*;
    use crate::wire;
    use proptest::prelude::*;
    use serde_json::json;

    fn parameters(pairs: &[(&str, &'static str)]) -> Asked {
        Asked::from_parameters(|name| {
            let mut found = pairs.iter().filter(|(known, _)| *known == name);
            found.next().map(|(_, value)| *value)
        })
    }

    #[test]
    fn a_search_asks_the_same_as_parameters() {
        let by_url = parameters(&[
            ("filter", "userName eq \"a\""),
            ("sortBy", "name.familyName"),
            ("sortOrder", "descending"),
            ("startIndex", "3"),
            ("count", "10"),
            ("attributes", "userName,emails.value"),
        ]);
        let body = json!({
            "schemas": [SEARCH_SCHEMA],
            "filter": "userName eq \"a\"",
            "sortBy": "name.familyName",
            "sortOrder": "descending",
            "startIndex": 3,
            "count": 10,
            "attributes": ["userName", "emails.value"],
        });
        assert_eq!(Asked::from_body(&body), Ok(by_url.clone()));
        let query = by_url.checked(&USER, 100).expect("is right");
        assert!(query.sorting.is_some_and(|sorting| sorting.is_descending()));
        assert_eq!((query.page.start_index, query.page.count), (3, 10));
        let plan = query.filter.map(|filter| filter.plan());
        assert!(matches!(plan, Some(Plan::Lookups { exact: true, .. })));
    }

    #[test]
    fn without_anything_all_is_asked_for() {
        for asked in [Asked::default(), parameters(&[])] {
            let query = asked.checked(&GROUP, 50).expect("is right");
            assert!(query.filter.is_none() && query.sorting.is_none());
            assert_eq!((query.page.start_index, query.page.count), (1, 50));
            assert_eq!(query.projection, Projection::default());
        }
        assert_eq!(Asked::from_body(&json!({})), Ok(Asked::default()));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for pairs in [
            [("filter", "")],
            [("filter", "members pr")],
            [("sortBy", "nonsense")],
            [("startIndex", "x")],
            [("count", "1.5")],
            [("attributes", "a b")],
        ] {
            assert!(parameters(&pairs).checked(&USER, 10).is_err(), "{pairs:?}");
        }
        for body in [
            json!([]),
            json!({"schemas": ["urn:x"]}),
            json!({"filter": 1}),
            json!({"count": "10"}),
            json!({"attributes": [1]}),
            json!({"sortBy": ["userName"]}),
        ] {
            assert!(Asked::from_body(&body).is_err(), "{body}");
        }
    }

    #[test]
    fn golden_bytes() {
        let asked = parameters(&[("filter", "f"), ("count", "1")]);
        let expected = vec![1, 1, 1, b'f', 0, 0, 0, 1, 1, b'1', 0, 0];
        assert_eq!(wire::encode(&asked), Ok(expected));
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body in json_value(), filter: String, by: String) {
            let _ = Asked::from_body(&body);
            let asked = Asked { filter: Some(filter), sort_by: Some(by), ..Asked::default() };
            let _ = asked.checked(&USER, 10);
        }
    }
}
