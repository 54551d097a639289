//! Filters and PATCH as npm `scim2-parse-filter` and `scim-patch` understand them, on cases made up
//! here. No stack is needed: the rules are `crates/core`'s.
//!
//! The libraries know no schema. Where they and the RFC differ, the differences below say so with an example of
//! each, and cases are made up around those.

use portcullis_core::scim::filter::{Filter, Ready};
use portcullis_core::scim::patch;
use portcullis_core::scim::resource::created;
use portcullis_core::scim::schema::USER;
use portcullis_e2e::stack::{checkout, node};
use portcullis_e2e::{Failure, Result};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const CASES: usize = 3000;

/// Numbers that only look random, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % sides.max(1)
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        let at = self.roll(of.len());
        of.get(at).cloned()
    }

    fn word(&mut self) -> &'static str {
        const WORDS: [&str; 8] = ["a", "ab", "abc", "b", "ba", "c", "o'c", "a b"];
        self.one_of(&WORDS).unwrap_or("a")
    }

    fn kind(&mut self) -> &'static str {
        self.one_of(&["work", "home", "other"]).unwrap_or("work")
    }

    /// Addresses, each of another kind.
    fn emails(&mut self, most: usize) -> Value {
        let kinds = ["work", "home", "other"].into_iter().take(most);
        let chosen = kinds.filter(|_| self.roll(2) == 0).collect::<Vec<_>>();
        let each = chosen.into_iter().map(|kind| {
            let value = self.word();
            json!({"value": value, "type": kind})
        });
        each.collect()
    }

    fn resource(&mut self, most_emails: usize) -> Value {
        let mut user = Map::new();
        user.insert("userName".into(), json!(self.word()));
        user.insert("active".into(), json!(self.roll(2) == 0));
        for name in ["title", "nickName", "externalId"] {
            if self.roll(2) == 0 {
                user.insert(name.into(), json!(self.word()));
            }
        }
        if self.roll(2) == 0 {
            let name = json!({"givenName": self.word(), "familyName": self.word()});
            user.insert("name".into(), name);
        }
        let emails = self.emails(most_emails);
        if emails.as_array().is_some_and(|emails| !emails.is_empty()) {
            user.insert("emails".into(), emails);
        }
        if self.roll(2) == 0 {
            user.insert(ENTERPRISE.into(), json!({"department": self.word()}));
        }
        Value::Object(user)
    }

    fn comparison(&mut self) -> &'static str {
        const ALL: [&str; 9] = ["eq", "co", "sw", "ew", "gt", "ge", "lt", "le", "EQ"];
        self.one_of(&ALL).unwrap_or("eq")
    }

    fn test(&mut self) -> String {
        let (comparison, word) = (self.comparison(), json!(self.word()));
        match self.roll(10) {
            0 => format!("userName ne {word}"),
            1 => format!("active eq {}", self.roll(2) == 0),
            2 => format!("title {comparison} {word}"),
            3 => format!("name.givenName {comparison} {word}"),
            4 => format!("emails.value {comparison} {word}"),
            5 => format!("emails.type {comparison} \"{}\"", self.kind()),
            6 => format!(
                "emails[type eq \"{}\" and value {comparison} {word}]",
                self.kind()
            ),
            7 => format!(
                "emails[not (type eq \"{}\") or value eq {word}]",
                self.kind()
            ),
            8 => format!("{ENTERPRISE}:department {comparison} {word}"),
            _ => {
                let names = ["title", "name", "nickName", "emails", "externalId"];
                format!("{} PR", self.one_of(&names).unwrap_or("title"))
            }
        }
    }

    fn filter(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.test();
        }
        let (one, other) = (self.filter(depth - 1), self.filter(depth - 1));
        match self.roll(6) {
            0 | 1 => format!("{one} and {other}"),
            2 | 3 => format!("{one} or {other}"),
            4 => format!("not ({one}) and ({other})"),
            _ => format!("({one}) or {other}"),
        }
    }

    fn operation(&mut self) -> Value {
        let word = json!(self.word());
        let put = self
            .one_of(&["add", "replace", "Add", "Replace"])
            .unwrap_or("add");
        let kind = self.kind();
        match self.roll(12) {
            0 => json!({"op": put, "path": "title", "value": word}),
            1 => json!({"op": put, "path": "name.givenName", "value": word}),
            2 => json!({"op": put, "path": "name", "value": {"familyName": word}}),
            3 => json!({"op": put, "path": "emails", "value": self.emails(3)}),
            4 => {
                json!({"op": put, "path": format!("emails[type eq \"{kind}\"].value"), "value": word})
            }
            5 => json!({"op": put, "path": format!("{ENTERPRISE}:department"), "value": word}),
            6 => json!({"op": put, "value": {"nickName": word, "name.familyName": "z"}}),
            7 => json!({"op": put, "path": "active", "value": self.roll(2) == 0}),
            8 => {
                let paths = ["title", "name", "name.givenName", "emails", "externalId"];
                json!({"op": "remove", "path": self.one_of(&paths)})
            }
            9 => json!({"op": "Remove", "path": format!("emails[type eq \"{kind}\"]")}),
            10 => json!({"op": "remove", "path": format!("{ENTERPRISE}:department")}),
            _ => json!({"op": "remove", "path": "emails", "value": self.emails(2)}),
        }
    }
}

/// Has the libraries answer.
fn ask(filters: &[Value], patches: &[Value]) -> Result<(Vec<Value>, Vec<Value>)> {
    let checkout = checkout()?;
    let mut oracle = Command::new(node(&checkout)?)
        .arg(checkout.join("tests/e2e/clients/scim_oracles.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let cases = json!({"filters": filters, "patches": patches}).to_string();
    let input = oracle.stdin.take();
    // The script reads all before it writes anything.
    input
        .ok_or_else(|| Failure::new("no input"))?
        .write_all(cases.as_bytes())?;
    let output = oracle.wait_with_output()?;
    if !output.status.success() {
        return Err(Failure::new(format!("it ended with {}", output.status)));
    }
    let answers: Value = serde_json::from_slice(&output.stdout)?;
    let list = |name: &str| answers[name].as_array().cloned().unwrap_or_default();
    Ok((list("filters"), list("patches")))
}

/// What we make of the same.
fn our_matches(filter: &str, resources: &[Value]) -> Value {
    let ready = Filter::parse(filter).and_then(|filter| Ready::new(&filter, &USER));
    match ready {
        Err(error) => json!({"refused": error.detail()}),
        Ok(ready) => {
            let objects = resources.iter().filter_map(Value::as_object);
            objects.map(|one| json!(ready.matches(one))).collect()
        }
    }
}

fn our_patched(resource: &Value, operations: &Value) -> Value {
    let patched = created(&USER, resource).and_then(|before| {
        let operations = patch::operations(&json!({"Operations": operations}))?;
        patch::apply(&USER, &before.attributes, &operations)
    });
    match patched {
        Err(error) => json!({"refused": error.detail()}),
        Ok(patched) => Value::Object(patched.after),
    }
}

/// Without what is no value (RFC 7643 section 2.5) and values that became the same (section 2.4), which the
/// library leaves where they were.
fn without_empties(value: Value) -> Value {
    let is_empty = |value: &Value| {
        value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(Map::is_empty)
    };
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, without_empties(value)))
            .filter(|(_, value)| !is_empty(value))
            .collect(),
        Value::Array(list) => {
            let mut kept = Vec::new();
            for value in list.into_iter().map(without_empties) {
                if !is_empty(&value) && !kept.contains(&value) {
                    kept.push(value);
                }
            }
            Value::Array(kept)
        }
        other => other,
    }
}

#[test]
fn filters_find_what_a_library_finds() -> Result {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut cases = Vec::new();
    for case in 0..CASES {
        let filter = dice.filter(case % 4);
        // Of several values, the library takes one for this condition and one for that.
        let most = if filter.contains('[') { 1 } else { 3 };
        let resources: Vec<Value> = (0..6).map(|_| dice.resource(most)).collect();
        cases.push((filter, resources));
    }
    let asked: Vec<Value> = cases.iter().map(|case| json!(case)).collect();
    let (answers, _) = ask(&asked, &[])?;
    assert_eq!(answers.len(), CASES);
    let mut found = 0;
    for ((filter, resources), theirs) in cases.iter().zip(answers) {
        assert_eq!(
            our_matches(filter, resources),
            theirs,
            "{filter} of {resources:?}"
        );
        found += theirs
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| **one == json!(true))
            .count();
    }
    assert!(
        (CASES..5 * CASES).contains(&found),
        "{found} is too clear a case"
    );
    Ok(())
}

#[test]
fn what_we_read_as_a_filter_a_library_reads() -> Result {
    const WORDS: [&str; 18] = [
        "userName ",
        "title ",
        "emails",
        "[",
        "]",
        "(",
        ")",
        "not (",
        " and ",
        " or ",
        "eq ",
        "pr",
        "\"a\"",
        "\"a\\\"b\"",
        "true",
        "null",
        " ",
        "type eq \"work\"",
    ];
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let mut texts = Vec::new();
    while texts.len() < CASES {
        let length = 3 + dice.roll(9);
        let text: String = (0..length).filter_map(|_| dice.one_of(&WORDS)).collect();
        if Filter::parse(&text).is_ok() {
            texts.push(text);
        }
    }
    let asked: Vec<Value> = texts.iter().map(|text| json!([text, []])).collect();
    let (answers, _) = ask(&asked, &[])?;
    for (text, theirs) in texts.iter().zip(answers) {
        assert_eq!(theirs, json!([]), "{text}");
    }
    Ok(())
}

#[test]
fn patches_make_what_a_library_makes() -> Result {
    let mut dice = Dice(0x0f0f_1234_5678_9abc);
    let mut cases = Vec::new();
    for case in 0..CASES {
        let resource = dice.resource(3);
        let operations: Value = (0..=case % 4).map(|_| dice.operation()).collect();
        cases.push((resource, operations));
    }
    let asked: Vec<Value> = cases.iter().map(|case| json!(case)).collect();
    let (_, answers) = ask(&[], &asked)?;
    assert_eq!(answers.len(), CASES);
    let (mut changed, mut refused) = (0, 0);
    for ((resource, operations), theirs) in cases.iter().zip(answers) {
        let ours = our_patched(resource, operations);
        if ours.get("refused").is_some() {
            // Of these operations only a removal that finds nothing can fail, and does; the library fails
            // only where there is no list at all.
            assert!(
                ours["refused"].to_string().contains("leads to nothing"),
                "{operations}: {ours}"
            );
            refused += 1;
            continue;
        }
        // Of no list the library removes nothing, and says so as an error.
        if theirs["refused"].to_string().contains("only for array") {
            refused += 1;
            continue;
        }
        let theirs = without_empties(theirs);
        assert_eq!(ours, theirs, "{operations} of {resource}");
        changed += usize::from(ours != *resource);
    }
    assert!(changed > CASES / 2, "only {changed} changed anything");
    assert!(refused < CASES / 4, "{refused} were refused");
    Ok(())
}

/// A difference between us and a library: a filter, what it is asked of, and both answers.
struct FilterDifference {
    why: &'static str,
    filter: &'static str,
    of: fn() -> Value,
    ours: Option<bool>,
    theirs: Option<bool>,
}

fn ada() -> Value {
    json!({"userName": "Ada", "active": true, "externalId": "x", "title": "",
        "emails": [{"value": "w", "type": "work"}, {"value": "h", "type": "home"}],
        "meta": {"created": "2026-01-01T00:00:00Z"}})
}

/// Where the RFC says something else than `scim2-parse-filter`. `None`: refused.
const FILTER_DIFFERENCES: [FilterDifference; 12] = [
    FilterDifference {
        why: "RFC 7644 section 3.4.2.2: in brackets one and the same value must be such and so",
        filter: "emails[type eq \"work\" and value eq \"h\"]",
        of: ada,
        ours: Some(false),
        theirs: Some(true),
    },
    FilterDifference {
        why: "RFC 7643 section 2.2: userName is not case-exact",
        filter: "userName eq \"ada\"",
        of: ada,
        ours: Some(true),
        theirs: Some(false),
    },
    FilterDifference {
        why: "RFC 7644 section 3.4.2.2: pr needs a non-empty value",
        filter: "title pr",
        of: ada,
        ours: Some(false),
        theirs: Some(true),
    },
    FilterDifference {
        why: "RFC 7643 section 2.5: null is the same as unassigned",
        filter: "nickName eq null",
        of: ada,
        ours: Some(true),
        theirs: Some(false),
    },
    FilterDifference {
        why: "RFC 7644 section 3.4.2.2: what is unassigned is not equal",
        filter: "nickName ne \"a\"",
        of: ada,
        ours: Some(true),
        theirs: Some(false),
    },
    FilterDifference {
        why: "RFC 7644 section 3.4.2.2: of a multi-valued complex attribute, value is compared",
        filter: "emails eq \"w\"",
        of: ada,
        ours: Some(true),
        theirs: Some(false),
    },
    FilterDifference {
        why: "Not in the RFC; one and the same value must be such and so",
        filter: "emails[type eq \"work\"].value eq \"h\"",
        of: ada,
        ours: Some(false),
        theirs: Some(true),
    },
    FilterDifference {
        why: "RFC 7644 section 3.4.2.2: dates are compared as instants",
        filter: "meta.created eq \"2026-01-01T01:00:00+01:00\"",
        of: ada,
        ours: Some(true),
        theirs: Some(false),
    },
    FilterDifference {
        why: "RFC 7644 section 3.4.2.2: truth values have no order",
        filter: "active gt false",
        of: ada,
        ours: None,
        theirs: Some(true),
    },
    FilterDifference {
        why: "RFC 7644 section 3.4.2.2, figure 1: not has parentheses",
        filter: "not userName pr",
        of: ada,
        ours: None,
        theirs: Some(false),
    },
    FilterDifference {
        why: "RFC 7644 section 3.12: an attribute that no schema knows is invalidFilter",
        filter: "nonsense pr",
        of: ada,
        ours: None,
        theirs: Some(false),
    },
    FilterDifference {
        why: "RFC 7159 section 7: texts are JSON's, with its escapes",
        filter: "externalId eq \"\\u0078\"",
        of: ada,
        ours: Some(true),
        theirs: Some(false),
    },
];

#[test]
fn where_a_filter_library_differs_the_rfc_says_why() -> Result {
    let asked: Vec<Value> = FILTER_DIFFERENCES
        .iter()
        .map(|one| json!([one.filter, [(one.of)()]]))
        .collect();
    let (answers, _) = ask(&asked, &[])?;
    for (one, theirs) in FILTER_DIFFERENCES.iter().zip(answers) {
        let ours = our_matches(one.filter, &[(one.of)()]);
        let found = |answer: &Value| answer[0].as_bool();
        assert_eq!(found(&ours), one.ours, "{}: {ours}", one.why);
        assert_eq!(found(&theirs), one.theirs, "{}: {theirs}", one.why);
    }
    Ok(())
}

/// Where the RFC says something else than `scim-patch`: why, a resource, an operation, what we make of it and
/// what the library does; null: refused.
fn patch_differences() -> Vec<(&'static str, Value, Value, Value, Value)> {
    let emails =
        || json!([{"value": "w", "type": "work", "primary": true}, {"value": "h", "type": "home"}]);
    let of = |emails: Value| json!({"userName": "a", "active": true, "emails": emails});
    let base = || json!({"userName": "a", "active": true});
    vec![
        (
            "RFC 7644 section 3.5.2: a value that becomes primary takes that from the others",
            of(emails()),
            json!({"op": "replace", "path": "emails[type eq \"home\"].primary", "value": true}),
            of(
                json!([{"value": "w", "type": "work", "primary": false}, {"value": "h", "type": "home", "primary": true}]),
            ),
            of(
                json!([{"value": "w", "type": "work", "primary": true}, {"value": "h", "type": "home", "primary": true}]),
            ),
        ),
        (
            "RFC 7644 section 3.5.2.3: values that a filter finds are replaced, not merged",
            of(emails()),
            json!({"op": "replace", "path": "emails[type eq \"work\"]", "value": {"value": "x"}}),
            of(json!([{"value": "x"}, {"value": "h", "type": "home"}])),
            of(
                json!([{"value": "x", "type": "work", "primary": true}, {"value": "h", "type": "home"}]),
            ),
        ),
        (
            "RFC 7644 section 3.12: a filter that finds nothing is noTarget",
            of(emails()),
            json!({"op": "remove", "path": "emails[type eq \"other\"]"}),
            Value::Null,
            of(emails()),
        ),
        (
            "RFC 7643 section 4.1.2: emails is a list, also with one value",
            base(),
            json!({"op": "add", "path": "emails", "value": {"value": "x"}}),
            of(json!([{"value": "x"}])),
            of(json!({"value": "x"})),
        ),
        (
            "RFC 7643 section 4.1.1: active is a boolean",
            base(),
            json!({"op": "replace", "path": "active", "value": "False"}),
            json!({"userName": "a", "active": false}),
            json!({"userName": "a", "active": "False"}),
        ),
        (
            "RFC 7643 section 2.1: names are the same in any case",
            base(),
            json!({"op": "replace", "path": "USERNAME", "value": "b"}),
            json!({"userName": "b", "active": true}),
            json!({"userName": "a", "USERNAME": "b", "active": true}),
        ),
        (
            "RFC 7644 section 3.5.2.2: what is required cannot be removed",
            base(),
            json!({"op": "remove", "path": "userName"}),
            Value::Null,
            json!({"active": true}),
        ),
        (
            "RFC 7644 section 3.5.2: what is read-only cannot be changed",
            base(),
            json!({"op": "add", "path": "id", "value": "x"}),
            Value::Null,
            json!({"userName": "a", "active": true, "id": "x"}),
        ),
        (
            "Not in the RFC: of nothing, nothing is removed by value",
            base(),
            json!({"op": "remove", "path": "emails", "value": [{"value": "x"}]}),
            base(),
            Value::Null,
        ),
        (
            "RFC 7643 section 2.4: the same value is not there twice",
            of(json!([{"value": "x", "type": "work"}, {"value": "y", "type": "work"}])),
            json!({"op": "replace", "path": "emails[type eq \"work\"].value", "value": "z"}),
            of(json!([{"value": "z", "type": "work"}])),
            of(json!([{"value": "z", "type": "work"}, {"value": "z", "type": "work"}])),
        ),
        (
            "RFC 7643 section 2.5: null unassigns",
            json!({"userName": "a", "active": true, "title": "t"}),
            json!({"op": "replace", "path": "title", "value": null}),
            base(),
            json!({"userName": "a", "active": true, "title": null}),
        ),
        (
            "Not in the RFC: what a filter with several conditions would find is made, too",
            base(),
            json!({"op": "add", "path": "emails[type eq \"work\" and primary eq true].value", "value": "x"}),
            of(json!([{"value": "x", "type": "work", "primary": true}])),
            Value::Null,
        ),
    ]
}

#[test]
fn where_a_patch_library_differs_the_rfc_says_why() -> Result {
    let differences = patch_differences();
    let asked: Vec<Value> = differences
        .iter()
        .map(|(_, resource, operation, ..)| json!([resource, [operation]]))
        .collect();
    let (_, answers) = ask(&[], &asked)?;
    for ((why, resource, operation, ours, theirs), answer) in differences.iter().zip(answers) {
        let or_refused = |answer: Value| match answer.get("refused") {
            Some(_) => Value::Null,
            None => answer,
        };
        let made = or_refused(our_patched(resource, &json!([operation])));
        assert_eq!(&made, ours, "{why}");
        assert_eq!(&or_refused(answer), theirs, "{why}");
        assert_ne!(ours, theirs, "{why}");
    }
    Ok(())
}
