//! Lists of resources: their order (RFC 7644 section 3.4.2.3), their pages (section 3.4.2.4) and their
//! envelope.
//!
//! Text is ordered as the attribute's `caseExact` says. Of a list the primary value counts, or else the
//! first. What has no value comes last, and first if the order is descending.

use super::super::ScimError;
use super::super::filter::ready::{cased, place_among, values};
use super::super::path::{AttrPath, shown};
use super::super::schema::{Kind, Place, ResourceType, Returned};
use super::super::value::{get, is_present, truth};
use super::coerce::is_primary;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;

/// The schema of a list.
pub const LIST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// An order of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sorting {
    place: Place,
    descending: bool,
}

/// What a resource is ordered by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortKey {
    /// A truth value.
    Truth(bool),
    /// A text, folded unless its case matters. Instants are written so that their order is their texts'.
    Text(String),
    /// No value.
    Absent,
}

impl Sorting {
    /// From `sortBy` and `sortOrder`.
    pub fn new(of: &ResourceType, by: &str, order: Option<&str>) -> Result<Self, ScimError> {
        Self::among(of, &[], by, order)
    }

    /// The same where resources of these types are listed together: what only another type has is absent.
    pub fn among(
        of: &ResourceType,
        types: &[&'static ResourceType],
        by: &str,
        order: Option<&str>,
    ) -> Result<Self, ScimError> {
        let invalid = || ScimError::InvalidValue(shown(by));
        let path = AttrPath::parse(by).ok_or_else(invalid)?;
        let mut place = place_among(&path, of, types).ok_or_else(invalid)?;
        // Nobody finds out what they may not read by what comes before what.
        if place.attribute.returned == Returned::Never {
            return Err(invalid());
        }
        if place.leaf().kind == Kind::Complex {
            place.sub = Some(place.attribute.sub("value").ok_or_else(invalid)?);
        }
        let descending = match order {
            None => false,
            Some(order) if order.eq_ignore_ascii_case("ascending") => false,
            Some(order) if order.eq_ignore_ascii_case("descending") => true,
            Some(_) => return Err(ScimError::InvalidValue("sortOrder".into())),
        };
        Ok(Self { place, descending })
    }

    /// By what it sorts.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the greatest comes first.
    #[must_use]
    pub const fn is_descending(&self) -> bool {
        self.descending
    }

    /// What `resource` is ordered by.
    #[must_use]
    pub fn key(&self, resource: &Map<String, Value>) -> SortKey {
        let whole = Place {
            sub: None,
            ..self.place
        };
        let all = values(&whole, resource);
        let chosen = all.iter().find(|one| is_primary(one)).or(all.first());
        let value = match (chosen, self.place.sub) {
            (Some(value), Some(sub)) => value.as_object().and_then(|value| get(value, sub.name)),
            (chosen, _) => chosen.copied(),
        };
        let leaf = self.place.leaf();
        match value.filter(|value| is_present(value)) {
            None => SortKey::Absent,
            Some(value) if leaf.kind == Kind::Boolean => {
                truth(value).map_or(SortKey::Absent, SortKey::Truth)
            }
            Some(value) => value
                .as_str()
                .map_or(SortKey::Absent, |text| SortKey::Text(cased(leaf, text))),
        }
    }

    /// Which key comes first.
    #[must_use]
    pub fn compare(&self, one: &SortKey, other: &SortKey) -> Ordering {
        let order = one.cmp(other);
        if self.descending {
            order.reverse()
        } else {
            order
        }
    }
}

/// Which part of a list is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The first, counted from 1.
    pub start_index: u32,
    /// How many at most.
    pub count: u32,
}

impl Page {
    /// From `startIndex` and `count` as they came. What is below the least is the least, and what is above
    /// `max` is `max`.
    pub fn new(
        start_index: Option<&str>,
        count: Option<&str>,
        max: u32,
    ) -> Result<Self, ScimError> {
        let number = |name: &str, text: Option<&str>, default: u32| match text {
            None => Ok(default),
            Some(text) => text
                .parse::<i64>()
                .map(|number| u32::try_from(number.max(0)).unwrap_or(u32::MAX))
                .map_err(|_| ScimError::InvalidValue(name.to_owned())),
        };
        Ok(Self {
            start_index: number("startIndex", start_index, 1)?.max(1),
            count: number("count", count, max)?.min(max),
        })
    }

    /// How many come before.
    #[must_use]
    pub const fn skipped(&self) -> u32 {
        self.start_index.saturating_sub(1)
    }
}

/// The envelope.
#[must_use]
pub fn response(total: u64, page: Page, resources: &[Value]) -> Value {
    json!({
        "schemas": [LIST_SCHEMA],
        "totalResults": total,
        "startIndex": page.start_index,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

/// The same of resources that are JSON texts already.
#[must_use]
pub fn response_of_texts(total: u64, page: Page, resources: &[String]) -> String {
    format!(
        r#"{{"schemas":["{LIST_SCHEMA}"],"totalResults":{total},"startIndex":{},"itemsPerPage":{},"Resources":[{}]}}"#,
        page.start_index,
        resources.len(),
        resources.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::schema::USER;
    use super::*;

    fn sorted(by: &str, order: Option<&str>, of: &Value) -> Vec<i64> {
        let sorting = Sorting::new(&USER, by, order).expect(by);
        let resources = of.as_array().expect("a list").iter().enumerate();
        let mut keys: Vec<(SortKey, i64)> = resources
            .map(|(at, one)| {
                let key = sorting.key(one.as_object().expect("an object"));
                (key, i64::try_from(at).expect("few"))
            })
            .collect();
        keys.sort_by(|one, other| sorting.compare(&one.0, &other.0));
        keys.into_iter().map(|(_, at)| at).collect()
    }

    #[test]
    fn the_order_follows_the_case_rule_and_the_absent_come_last() {
        let of = json!([
            {"userName": "b", "externalId": "b"},
            {"externalId": "B"},
            {"userName": "C", "externalId": "a"},
            {"userName": "A"},
        ]);
        assert_eq!(sorted("userName", None, &of), [3, 0, 2, 1]);
        assert_eq!(sorted("USERNAME", Some("Descending"), &of), [1, 2, 0, 3]);
        assert_eq!(sorted("externalId", Some("ascending"), &of), [1, 2, 0, 3]);
    }

    #[test]
    fn of_a_list_the_primary_value_counts_or_the_first() {
        let of = json!([
            {"emails": [{"value": "z"}, {"value": "b", "primary": true}]},
            {"emails": [{"value": "c"}, {"value": "a"}]},
            {"emails": [{"type": "work"}]},
            {"emails": [{"value": "A"}]},
        ]);
        assert_eq!(sorted("emails", None, &of), [3, 0, 1, 2]);
        assert_eq!(sorted("emails.value", None, &of), [3, 0, 1, 2]);
        let of = json!([{"active": true}, {"active": false}, {}]);
        assert_eq!(sorted("active", None, &of), [1, 0, 2]);
    }

    #[test]
    fn what_cannot_be_sorted_by_is_refused() {
        for by in ["", "nonsense", "name", "emails[type pr]", "meta"] {
            assert!(Sorting::new(&USER, by, None).is_err(), "{by}");
        }
        assert!(Sorting::new(&USER, "userName", Some("sideways")).is_err());
    }

    #[test]
    fn a_page_is_within_what_is_allowed() {
        let page =
            |start, count| Page::new(start, count, 100).map(|page| (page.start_index, page.count));
        assert_eq!(page(None, None), Ok((1, 100)));
        assert_eq!(page(Some("0"), Some("0")), Ok((1, 0)));
        assert_eq!(page(Some("-7"), Some("-1")), Ok((1, 0)));
        assert_eq!(page(Some("11"), Some("1000")), Ok((11, 100)));
        assert_eq!(page(Some("99999999999"), None), Ok((u32::MAX, 100)));
        assert!(page(Some("x"), None).is_err());
        assert!(page(None, Some("1.5")).is_err());
        let skipped = Page::new(Some("11"), None, 5).expect("a page").skipped();
        assert_eq!(skipped, 10);
    }

    #[test]
    fn the_envelope_says_what_of_how_many_it_has() {
        let page = Page {
            start_index: 3,
            count: 10,
        };
        let expected = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": 4, "startIndex": 3, "itemsPerPage": 2, "Resources": [1, 2],
        });
        assert_eq!(response(4, page, &[json!(1), json!(2)]), expected);
        let text = response_of_texts(4, page, &["1".to_owned(), "2".to_owned()]);
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(expected));
    }
}
