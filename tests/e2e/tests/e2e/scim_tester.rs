//! `scim2-tester`, which checks servers against RFC 7643 and RFC 7644, finds nothing wrong with this one.

use portcullis_e2e::Result;
use portcullis_e2e::api::bearer;
use portcullis_e2e::python::python;
use portcullis_e2e::scim::Scim;
use portcullis_e2e::stack::Stack;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write as _};

/// What it says of the service that is nevertheless as the RFCs have it.
struct Exception {
    check: &'static str,
    resource: &'static str,
    /// Whether that, and nothing else, is why.
    is_why: fn(&str) -> bool,
    /// The section by which the service is right.
    section: &'static str,
}

const EXCEPTIONS: [Exception; 2] = [
    Exception {
        check: "check_add_attribute",
        resource: "Group",
        is_why: members_have_names_besides,
        section: DISPLAY,
    },
    Exception {
        check: "check_replace_attribute",
        resource: "Group",
        is_why: members_have_names_besides,
        section: DISPLAY,
    },
];

const DISPLAY: &str = "RFC 7643 sections 2.4, 7 and 8.4: `display` of a member is read-only in the schema, so it is the \
     service that gives it, as in the RFC's example, and no client";

/// Members come back with their `display`, which is read-only, and are otherwise those that were sent.
fn members_have_names_besides(reason: &str) -> bool {
    let after = |name: &str| reason.split(name).nth(1)?.lines().next();
    let (Some(patched), Some(returned)) = (after("Patched value: "), after("Returned value: "))
    else {
        return false;
    };
    let mut parts = returned.split("display='");
    let mut nameless = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.split_once('\'').map_or("", |(_, rest)| rest);
        nameless.push_str("display=None");
        nameless.push_str(rest);
    }
    reason.starts_with("Attribute 'members' was not") && nameless == patched && returned != patched
}

/// Statuses of its results that are no failures; `SKIPPED` is one, for what is skipped is not tested.
const GOOD: [&str; 3] = ["SUCCESS", "COMPLIANT", "ACCEPTABLE"];

impl Exception {
    fn covers(&self, result: &Value) -> bool {
        result["check"] == self.check
            && result["resource"] == self.resource
            && result["reason"].as_str().is_some_and(self.is_why)
    }
}

/// Every result, in order. Of a service that nobody else asks: a list is expected to have on its first page what was
/// just made.
fn results(stack: &Stack) -> Result<Vec<Value>> {
    let script = "scim2-tester/check.py";
    let base = format!("{}/scim/v2", stack.at.service);
    let lines = python("PORTCULLIS_PYTHON_PACKAGES", script, &[&base, bearer::SCIM])?;
    lines
        .lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

/// How many results of each status there are, by what was asked about.
fn summary(results: &[Value]) -> Result<String> {
    let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for result in results {
        let about = result["resource"].as_str().unwrap_or("the service");
        let status = result["status"].as_str().unwrap_or_default();
        *counts.entry(about).or_default().entry(status).or_default() += 1;
    }
    let mut summary = format!("scim2-tester: {} results", results.len());
    for (about, statuses) in counts {
        write!(summary, "\n  {about}:")?;
        for (status, count) in statuses {
            write!(summary, " {count} {status}")?;
        }
    }
    Ok(summary)
}

#[test]
fn scim2_tester_finds_nothing_that_an_rfc_does_not_allow() -> Result {
    let stack = Stack::start()?;
    let results = results(&stack)?;
    // To the terminal also if the test passes.
    writeln!(io::stderr(), "{}", summary(&results)?)?;
    let is_good = |result: &&Value| GOOD.iter().any(|good| result["status"] == *good);
    let excused = |result: &Value| EXCEPTIONS.iter().any(|one| one.covers(result));
    let bad: Vec<_> = results
        .iter()
        .filter(|result| !is_good(result) && !excused(result))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let tested: BTreeSet<_> = results
        .iter()
        .filter_map(|result| result["resource"].as_str())
        .collect();
    let types = Scim::new(&stack.at)
        .request("GET", "/ResourceTypes")
        .send()?;
    let types = types.expect(200)?.json()?;
    let types = types["Resources"].as_array().into_iter().flatten();
    assert_eq!(
        tested,
        types.filter_map(|one| one["name"].as_str()).collect()
    );
    for exception in EXCEPTIONS
        .iter()
        .filter(|one| tested.contains(one.resource))
    {
        let is_needed = results.iter().any(|result| exception.covers(result));
        assert!(
            is_needed,
            "nothing needs the exception by {}",
            exception.section
        );
    }
    Ok(())
}
