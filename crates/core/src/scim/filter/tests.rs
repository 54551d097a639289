use super::super::path::tests::attr_path;
use super::super::schema::{GROUP, ResourceType, USER};
use super::plan::{Index, Lookup, Plan};
use super::*;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Boolean),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?".prop_map(Literal::Number),
        any::<String>().prop_map(Literal::Text),
    ]
}

fn test_of(path: impl Strategy<Value = AttrPath>) -> impl Strategy<Value = Filter> {
    let comparison = prop::sample::select(&Comparison::ALL[..]);
    (path, prop::option::of((comparison, literal()))).prop_map(|(path, compared)| match compared {
        None => Filter::Present(path),
        Some((comparison, literal)) => Filter::Compare(path, comparison, literal),
    })
}

fn logic(leaf: BoxedStrategy<Filter>) -> BoxedStrategy<Filter> {
    leaf.prop_recursive(4, 20, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::all),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::any),
            inner.prop_map(|inner| Filter::Not(Box::new(inner))),
        ]
    })
    .boxed()
}

pub fn filter_within() -> BoxedStrategy<Filter> {
    logic(test_of("[$]?[a-z][a-zA-Z0-9_-]{0,4}".prop_map(|name| AttrPath::plain(&name))).boxed())
}

fn filter() -> BoxedStrategy<Filter> {
    let within = (attr_path(), filter_within()).prop_map(|(path, inner)| {
        let path = AttrPath { sub: None, ..path };
        Filter::Within(path, Box::new(inner))
    });
    logic(prop_oneof![3 => test_of(attr_path()), 1 => within].boxed())
}

proptest! {
    #[test]
    fn a_printed_filter_is_read_back(filter in filter()) {
        let printed = filter.to_string();
        prop_assume!(printed.len() <= MAX_FILTER_BYTES);
        prop_assert_eq!(Filter::parse(&printed), Ok(filter), "{}", printed);
    }

    #[test]
    fn arbitrary_text_never_panics_and_what_is_read_is_printed_as_it_means(
        text in prop_oneof![any::<String>(), likely()],
    ) {
        if let Ok(filter) = Filter::parse(&text) {
            prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter.clone()));
            for of in [&USER, &GROUP] {
                if let Ok(ready) = Ready::new(&filter, of) {
                    let _ = (ready.plan(), ready.matches(&alice()));
                }
            }
        }
    }

    #[test]
    fn any_name_can_be_asked_for(name: String) {
        let filter = format!("userName eq {}", json!(name));
        let ready = Filter::parse(&filter).and_then(|filter| Ready::new(&filter, &USER));
        let Ok(Plan::Lookups { lookups, exact: true }) = ready.map(|ready| ready.plan()) else {
            panic!("{filter} is looked up");
        };
        prop_assert_eq!(&lookups[0].value, &name);
    }

    #[test]
    fn what_a_plan_looks_up_is_all_that_matches(text in likely(), swap: bool) {
        let person = if swap { alice() } else { bob() };
        let Ok(ready) = Filter::parse(&text).and_then(|filter| Ready::new(&filter, &USER)) else {
            return Ok(());
        };
        if let Plan::Lookups { lookups, exact } = ready.plan() {
            let found = lookups.iter().any(|one| leads_to(one, &person));
            let matches = ready.matches(&person);
            prop_assert!(found || !matches, "{} is missed", text);
            prop_assert!(!exact || found == matches, "{} is not exact", text);
        }
    }
}

/// A filter for groups, by their members or not.
fn by_members() -> BoxedStrategy<String> {
    const ATOMS: [&str; 9] = [
        "members.value eq \"a\"",
        "members eq \"b\"",
        "members[value eq \"c\" and type eq \"User\"]",
        "members[value eq \"a\" or value eq \"b\"]",
        "members[not (value eq \"a\")]",
        "members.value ne \"a\"",
        "members[type eq \"User\"]",
        "members pr",
        "displayName eq \"g\"",
    ];
    let atom = prop::sample::select(&ATOMS[..]).prop_map(str::to_owned);
    let nested = atom.prop_recursive(3, 8, 2, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            two.clone()
                .prop_map(|(one, other)| format!("({one} and {other})")),
            two.prop_map(|(one, other)| format!("({one} or {other})")),
            inner.prop_map(|inner| format!("not ({inner})")),
        ]
    });
    nested.boxed()
}

proptest! {
    #[test]
    fn a_filter_finds_the_same_if_it_sees_no_more_than_it_needs(
        text in by_members(), members in prop::collection::btree_set("[a-d]", 0..5),
    ) {
        let ready = ready(&text, &GROUP).expect("is checked");
        let group = |of: &dyn Fn(&str) -> bool| {
            let seen = members.iter().filter(|id| of(id));
            let seen: Vec<Value> = seen.map(|id| json!({"value": id, "type": "User"})).collect();
            let group = json!({"displayName": "g", "members": seen});
            ready.matches(group.as_object().expect("an object"))
        };
        let attribute = GROUP.attribute("members").expect("there");
        let needed = match ready.needs(attribute) {
            Needs::Nothing => group(&|_| false),
            Needs::These(these) => group(&|id| these.contains(id)),
            Needs::All => group(&|_| true),
        };
        prop_assert_eq!(needed, group(&|_| true), "{}", text);
    }
}

#[test]
fn a_filter_that_names_members_needs_no_others() {
    let members = GROUP.attribute("members").expect("there");
    let needs = |text: &str| ready(text, &GROUP).expect(text).needs(members);
    let these = |ids: &[&str]| Needs::These(ids.iter().map(|id| (*id).to_owned()).collect());
    assert_eq!(needs("id eq \"g\" and members eq \"a\""), these(&["a"]));
    assert_eq!(
        needs("not (members[value eq \"a\"]) or members.value eq \"b\""),
        these(&["a", "b"])
    );
    assert_eq!(needs("displayName pr"), Needs::Nothing);
    assert_eq!(needs("members[not (value eq \"a\")]"), Needs::All);
}

#[test]
fn what_only_another_type_has_is_without_value() {
    let types: [&'static ResourceType; 2] = [&USER, &GROUP];
    let finds = |text: &str, of: &'static ResourceType, resource: &Value| {
        let ready = Ready::among(&Filter::parse(text).expect(text), of, &types).expect(text);
        ready.matches(resource.as_object().expect("an object"))
    };
    let user = json!({"userName": "a", "displayName": "d", "meta": {"resourceType": "User"}});
    let group = json!({"displayName": "d", "meta": {"resourceType": "Group"}});
    for (text, of_user, of_group) in [
        ("userName eq \"a\"", true, false),
        ("userName pr", true, false),
        ("userName eq null", false, true),
        ("displayName eq \"D\"", true, true),
        ("members pr or userName pr", true, false),
        ("meta.resourceType eq \"Group\"", false, true),
    ] {
        assert_eq!(finds(text, &USER, &user), of_user, "{text}");
        assert_eq!(finds(text, &GROUP, &group), of_group, "{text}");
    }
    let unknown = Filter::parse("nonsense pr").expect("parses");
    assert!(Ready::among(&unknown, &USER, &types).is_err());
}

/// Text that is nearly a filter.
fn likely() -> impl Strategy<Value = String> {
    const WORDS: [&str; 26] = [
        "userName ",
        "emails",
        "emails.value ",
        "value ",
        "type ",
        "active ",
        "id ",
        "externalId ",
        "eq ",
        "NE ",
        "co ",
        "pr",
        "gt ",
        "\"alice\" ",
        "\"work\"",
        "\"a@x.example\"",
        "true ",
        "null",
        " and ",
        " or ",
        "not ",
        "(",
        ")",
        "[",
        "]",
        " ",
    ];
    let tests = prop::sample::select(
        &[
            "userName eq \"ALICE\"",
            "externalId eq \"1\"",
            "externalId eq \"2\"",
            "emails.value eq \"a@x.example\"",
            "emails[type eq \"work\" and value eq \"A@x.example\"]",
            "emails[value eq \"a@x.example\" or value eq \"b\"]",
            "emails[type eq \"home\"].value eq \"a@x.example\"",
            "active eq true",
            "not (userName eq \"bob\")",
            "displayName eq \"alice\"",
        ][..],
    );
    let joined = (
        prop::collection::vec(tests, 1..5),
        prop::collection::vec(any::<bool>(), 5),
    );
    prop_oneof![
        prop::collection::vec(prop::sample::select(&WORDS[..]), 0..16)
            .prop_map(|words| words.concat()),
        joined.prop_map(|(tests, ands)| {
            let mut text = String::new();
            for (test, and) in tests.iter().zip(ands) {
                if !text.is_empty() {
                    text.push_str(if and { " and " } else { " or " });
                }
                text.push_str(test);
            }
            text
        }),
    ]
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn alice() -> Map<String, Value> {
    object(&json!({
        "id": "i1",
        "userName": "Alice",
        "externalId": "1",
        "displayName": "Alice",
        "active": true,
        "name": {"familyName": "O'Malley"},
        "emails": [
            {"value": "a@x.example", "type": "work", "primary": true},
            {"value": "alice@home.example", "type": "home"},
        ],
        "title": "",
        "x509Certificates": [{"value": "AAAA"}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":
            {"department": "Sales", "manager": {"value": "m1"}},
        "meta": {"lastModified": "2026-01-02T03:04:05.678Z"},
    }))
}

fn bob() -> Map<String, Value> {
    object(&json!({"id": "i2", "userName": "bob", "externalId": "2",
        "emails": [{"value": "b", "type": "work"}]}))
}

fn leads_to(lookup: &Lookup, person: &Map<String, Value>) -> bool {
    let is = |value: Option<&Value>| value.and_then(Value::as_str) == Some(lookup.value.as_str());
    let folds_to = |value: Option<&Value>| {
        let text = value.and_then(Value::as_str).map(str::to_lowercase);
        text.as_ref() == Some(&lookup.folded)
    };
    match lookup.index {
        Index::Id => is(person.get("id")),
        Index::UserName => folds_to(person.get("userName")),
        Index::ExternalId => is(person.get("externalId")),
        Index::DisplayName => folds_to(person.get("displayName")),
        Index::Email => person
            .get("emails")
            .and_then(Value::as_array)
            .is_some_and(|emails| emails.iter().any(|email| folds_to(email.get("value")))),
        Index::Member | Index::Group => false,
    }
}

fn ready(text: &str, of: &ResourceType) -> Result<Ready, ScimError> {
    Ready::new(&Filter::parse(text)?, of)
}

fn finds_alice(text: &str) -> bool {
    ready(text, &USER).expect(text).matches(&alice())
}

#[test]
fn not_binds_tighter_than_and_and_and_tighter_than_or() {
    let a = || Filter::Present(AttrPath::plain("a"));
    let b = || Filter::Present(AttrPath::plain("b"));
    let c = || Filter::Present(AttrPath::plain("c"));
    let not = |inner| Filter::Not(Box::new(inner));
    for (text, expected) in [
        (
            "a pr or b pr and c pr",
            Filter::any(vec![a(), Filter::all(vec![b(), c()])]),
        ),
        (
            "a pr and b pr or c pr",
            Filter::any(vec![Filter::all(vec![a(), b()]), c()]),
        ),
        (
            "(a pr or b pr) AND c pr",
            Filter::all(vec![Filter::any(vec![a(), b()]), c()]),
        ),
        ("NOT (a pr) and b PR", Filter::all(vec![not(a()), b()])),
        (
            "not(a pr or b pr) Or c pr",
            Filter::any(vec![not(Filter::any(vec![a(), b()])), c()]),
        ),
        ("a pr and (b pr and c pr)", Filter::all(vec![a(), b(), c()])),
    ] {
        assert_eq!(Filter::parse(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_filter_is_refused() {
    for text in [
        "",
        " ",
        "userName",
        "userName eq",
        "userName eq ",
        "userName eq a",
        "userName xx \"a\"",
        "userName eq \"a",
        "userName eq \"a\" and",
        "and userName pr pr",
        "(userName pr",
        "userName pr)",
        "userName pr or or active pr",
        "userName pr active pr",
        "userName pr andactive pr",
        "not userName pr",
        "emails[]",
        "emails[type pr",
        "emails[type pr]]",
        "emails[type pr].",
        "emails[type pr].value",
        "emails[a[b pr]]",
        "emails[emails.type pr]",
        "emails.type[value pr]",
        "userName eq {}",
        "userName eq [1]",
        "userName eq 01",
        "userName eq \r1",
        "userName eq \n\"a\"",
        "userName eq \"\\x\"",
        "\"a\" eq \"a\"",
        "a.b.c pr",
        "not [a pr]",
        "emails [a pr]",
    ] {
        let refused = Filter::parse(text);
        assert!(
            matches!(refused, Err(ScimError::FilterRefused(_))),
            "{text}: {refused:?}"
        );
    }
}

#[test]
fn an_attribute_may_be_called_like_an_operator() {
    for (text, name) in [("not pr", "not"), ("and pr", "and"), ("pr pr", "pr")] {
        let expected = Filter::Present(AttrPath::plain(name));
        assert_eq!(Filter::parse(text), Ok(expected), "{text}");
    }
}

#[test]
fn a_filter_is_bounded_in_length_depth_and_number() {
    let deep = |depth| format!("{}a pr{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&deep(20)).is_ok());
    assert!(Filter::parse(&deep(21)).is_err());
    assert!(Filter::parse(&"(".repeat(4000)).is_err());
    assert!(Filter::parse(&"not (".repeat(800)).is_err());
    let many = |count| vec!["a pr"; count].join(" or ");
    assert!(Filter::parse(&many(100)).is_ok());
    assert!(Filter::parse(&many(101)).is_err());
    assert!(Filter::parse(&format!("a eq \"{}\"", "x".repeat(4096))).is_err());
}

/// RFC 7644 section 3.4.2.2 has these, but for what they are compared with.
#[test]
fn the_examples_of_the_rfc_find_whom_they_should() {
    for (text, expected) in [
        ("userName eq \"alice\"", true),
        ("name.familyName co \"O'Malley\"", true),
        ("userName sw \"A\"", true),
        (
            "urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"J\"",
            false,
        ),
        ("title pr", false),
        ("meta.lastModified gt \"2011-05-13T04:42:34Z\"", true),
        (
            "meta.lastModified ge \"2026-01-02T04:04:05.678+01:00\"",
            true,
        ),
        ("meta.lastModified lt \"2026-01-02T03:04:05.678Z\"", false),
        ("title pr and userType eq \"Employee\"", false),
        ("title pr or active eq true", true),
        (
            "schemas eq \"urn:ietf:params:scim:schemas:core:2.0:User\"",
            false,
        ),
        (
            "active eq true and (emails co \"x.example\" or emails.value co \"example.org\")",
            true,
        ),
        ("active ne true and not (emails co \"example.com\")", false),
        ("emails[type eq \"work\" and value co \"@x\"]", true),
        ("emails[type eq \"home\" and value co \"@x\"]", false),
        (
            "emails[type eq \"work\" and value co \"@x\"] or ims[type eq \"xmpp\"]",
            true,
        ),
    ] {
        assert_eq!(finds_alice(text), expected, "{text}");
    }
}

#[test]
fn texts_are_compared_as_the_schema_says() {
    for (text, expected) in [
        ("userName eq \"ALICE\"", true),
        ("USERNAME EQ \"alice\"", true),
        ("id eq \"I1\"", false),
        ("id eq \"i1\"", true),
        ("externalId eq \"1\"", true),
        ("emails.value ew \"X.EXAMPLE\"", true),
        ("x509Certificates.value eq \"aaaa\"", false),
        ("x509Certificates.value eq \"AAAA\"", true),
        ("userName gt \"ALIBI\"", true),
        ("userName le \"ALIBI\"", false),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"sales\"",
            true,
        ),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq \"m1\"",
            true,
        ),
        ("emails[type eq \"WORK\"].value eq \"a@x.example\"", true),
        ("emails[type eq \"home\"].value eq \"a@x.example\"", false),
        ("emails.primary eq \"True\"", true),
    ] {
        assert_eq!(finds_alice(text), expected, "{text}");
    }
}

#[test]
fn what_is_absent_equals_null_and_nothing_else() {
    for (text, expected) in [
        ("nickName eq null", true),
        ("nickName ne null", false),
        ("nickName eq \"a\"", false),
        ("nickName ne \"a\"", true),
        ("nickName lt \"a\"", false),
        ("nickName co \"\"", false),
        ("title eq null", true),
        ("userName ne null", true),
        ("userName ne \"alice\"", false),
        // Of a list, one value is enough.
        ("emails.type ne \"work\"", true),
        ("emails.type ne \"other\"", true),
        ("not (emails.type eq \"work\")", false),
        ("ims pr", false),
        ("name pr", true),
        ("active pr", true),
    ] {
        assert_eq!(finds_alice(text), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_compared_is_refused() {
    for text in [
        "nonsense eq \"a\"",
        "userName.x pr",
        "name eq \"a\"",
        "active gt true",
        "active co \"t\"",
        "active eq \"perhaps\"",
        "x509Certificates.value gt \"a\"",
        "userName eq 1",
        "userName eq true",
        "userName gt null",
        "meta.created gt \"yesterday\"",
        "userName[value eq \"a\"]",
        "emails[nonsense pr]",
        "members pr",
        "password pr",
        "password sw \"a\"",
        "urn:ietf:params:scim:schemas:core:2.0:User pr",
    ] {
        let refused = ready(text, &USER);
        assert!(
            matches!(refused, Err(ScimError::FilterRefused(_))),
            "{text}: {refused:?}"
        );
    }
}

#[test]
fn an_index_answers_what_it_can() {
    let plan = |text: &str, of| match ready(text, of).expect(text).plan() {
        Plan::Scan => None,
        Plan::Lookups { lookups, exact } => {
            let entries = lookups.into_iter().map(|one| (one.index, one.folded));
            Some((entries.collect::<Vec<_>>(), exact))
        }
    };
    let one = |index, value: &str, exact| Some((vec![(index, value.to_owned())], exact));
    for (text, expected) in [
        ("userName eq \"Bob\"", one(Index::UserName, "bob", true)),
        ("id eq \"Ab\"", one(Index::Id, "Ab", true)),
        ("externalId eq \"Ab\"", one(Index::ExternalId, "Ab", true)),
        ("emails.value eq \"A@x\"", one(Index::Email, "a@x", true)),
        ("emails eq \"A@x\"", one(Index::Email, "a@x", true)),
        ("emails[value eq \"a\"]", one(Index::Email, "a", true)),
        (
            "emails[type eq \"work\"].value eq \"a\"",
            one(Index::Email, "a", false),
        ),
        (
            "emails[type eq \"work\" and value eq \"a\"]",
            one(Index::Email, "a", false),
        ),
        ("displayName eq \"D\"", one(Index::DisplayName, "d", true)),
        ("groups.value eq \"G\"", one(Index::Group, "G", true)),
        (
            "active eq true and userName eq \"b\"",
            one(Index::UserName, "b", false),
        ),
        (
            "displayName eq \"b\" and id eq \"i\"",
            one(Index::Id, "i", false),
        ),
        (
            "userName eq \"b\" and (displayName eq \"c\" or active eq true)",
            one(Index::UserName, "b", false),
        ),
        ("userName eq \"b\" or active eq true", None),
        ("userName ne \"b\"", None),
        ("userName sw \"b\"", None),
        ("not (userName eq \"b\")", None),
        ("userName eq null", None),
        ("emails[type eq \"work\"]", None),
    ] {
        assert_eq!(plan(text, &USER), expected, "{text}");
    }
    let either = (
        vec![
            (Index::UserName, "a".to_owned()),
            (Index::Email, "b".to_owned()),
        ],
        true,
    );
    assert_eq!(
        plan("userName eq \"a\" or emails.value eq \"b\"", &USER),
        Some(either)
    );
    assert_eq!(
        plan("members.value eq \"M\"", &GROUP),
        one(Index::Member, "M", true)
    );
    assert_eq!(
        plan("members eq \"M\"", &GROUP),
        one(Index::Member, "M", true)
    );
    assert_eq!(
        plan("displayName eq \"D\"", &GROUP),
        one(Index::DisplayName, "d", true)
    );
}
