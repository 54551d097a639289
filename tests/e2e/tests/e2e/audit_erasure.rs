//! What is personal in the log: sealed in its line, read by who asks for it, erased for good, while the log stays what it is.

use portcullis_core::audit::log::edge::Edge;
use portcullis_core::audit::log::{Head, leaf_hash};
use portcullis_core::audit::sealed::{LeafKey, SealedLine};
use portcullis_e2e::api::bearer;
use portcullis_e2e::app::random_text;
use portcullis_e2e::audit_log::Log;
use portcullis_e2e::cli::{portcullis, portcullis_alone, portcullis_of_admin};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};

const AGENT: &str = "portcullis-e2e";

fn erase(person: &Person, body: &Value) -> Result<Response> {
    let url = format!("{}/v1/audit/erasures", person.endpoints().service);
    let request = Request::new("POST", url).bearer(bearer::ADMIN);
    request.body("application/json", body.to_string()).send()
}

/// Somebody who has logged in, by their key, and the lines of that.
fn somebody() -> Result<(Person, String, Vec<Value>)> {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let story = ["session.login", "token.issued"];
    let lines = person.api.expect_story(&tokens.subject, &story)?;
    Ok((person, tokens.subject, lines))
}

fn index(line: &Value) -> Result<u64> {
    let index = line["index"].as_u64();
    index.ok_or_else(|| Failure::new(format!("{line} has no index")))
}

/// The root of the tree over these lines.
fn reckoned(entries: &[Vec<u8>]) -> Head {
    let mut edge = Edge::empty();
    for entry in entries {
        edge.append(leaf_hash(entry), &mut Vec::new());
    }
    edge.head()
}

#[test]
fn what_is_personal_is_sealed_and_read_by_who_asks_for_it_which_is_logged() -> Result {
    let (person, subject, lines) = somebody()?;
    for line in &lines {
        assert!(line["sealed"].is_string(), "{line}");
        assert!(!line.to_string().contains(AGENT), "{line}");
    }
    let query = format!("subject={subject}&action=session.login");
    let page = person.api.audit(&query)?.expect(200)?.json()?;
    assert_eq!(page.get("personal"), None, "{page}");
    let page = person.api.audit(&format!("{query}&personal=true"))?;
    let page = page.expect(200)?.json()?;
    let sealed = &page["personal"][index(&lines[0])?.to_string()];
    assert!(sealed["user_agent"].to_string().contains(AGENT), "{page}");
    let read = format!("subject={subject}&action=audit.read");
    let reads = person.api.events(&read)?;
    let personal = reads
        .iter()
        .filter(|read| read["reason"] == "personal_fields");
    assert_eq!(personal.count(), 1, "{reads:?}");
    let page = person.api.audit(&format!("{query}&personal=yes"))?;
    page.expect(400)?;
    Ok(())
}

#[test]
fn who_is_erased_can_be_read_by_nobody_and_the_log_stays_what_it_is() -> Result {
    let (person, subject, lines) = somebody()?;
    let last = lines.last().map_or(Ok(0), index)?;
    let log = Log::new(person.endpoints());
    let before = log.head_beyond(last)?;
    let claim = person.claim();
    let asked = erase(&person, &json!({"subject": &claim, "dry_run": true}))?;
    let asked = asked.expect(200)?.json()?;
    assert_eq!(asked["subject"], subject.as_str());
    assert_eq!(
        (&asked["keys"], &asked["erased"]),
        (&json!(1), &json!(false))
    );
    assert!(asked["since"].is_string(), "{asked}");
    assert!(asked["lines"]["count"].as_u64() >= Some(2), "{asked}");

    let body = json!({"subject": &claim, "reason": "asked for"});
    let erased = erase(&person, &body)?.expect(200)?.json()?;
    assert_eq!(
        (&erased["keys"], &erased["erased"]),
        (&json!(1), &json!(true))
    );
    assert!(
        erased["complete_at"].as_str() > erased["erased_at"].as_str(),
        "{erased}"
    );
    let query = format!("subject={subject}&personal=true");
    let page = person.api.audit(&query)?.expect(200)?.json()?;
    for line in &lines {
        let sealed = page["personal"].get(index(line)?.to_string());
        assert_eq!(sealed, Some(&Value::Null), "{page}");
    }
    let said = person
        .api
        .events(&format!("subject={subject}&action=audit.erased"))?;
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0]["reason"], "asked for");
    assert_eq!(said[0]["actor"], json!({"type": "operator", "id": "admin"}));
    // The same lines, the same tree.
    let entries = log.entries(before.size)?;
    assert_eq!(reckoned(&entries), before);
    for line in &lines {
        let at = usize::try_from(index(line)?)?;
        let entry: Value = serde_json::from_slice(&entries[at])?;
        assert_eq!(&entry, line);
    }

    // Again is the same.
    let again = erase(&person, &body)?.expect(200)?.json()?;
    assert_eq!(
        (&again["keys"], &again["erased"]),
        (&json!(0), &json!(false))
    );
    assert_eq!(again["complete_at"], erased["complete_at"]);
    // Who comes back is under another key.
    person.app.log_in(person.name)?;
    let story = [
        "session.login",
        "token.issued",
        "audit.erased",
        "session.login",
        "token.issued",
    ];
    let story = person.api.expect_story(&subject, &story)?;
    let page = person.api.audit(&query)?.expect(200)?.json()?;
    let sealed = |at: usize| Ok::<_, Failure>(&page["personal"][index(&story[at])?.to_string()]);
    assert_eq!(sealed(0)?, &Value::Null);
    let agent = sealed(3)?["user_agent"].to_string();
    assert!(agent.contains(AGENT), "{page}");
    Ok(())
}

#[test]
fn what_is_no_erasure_is_refused_and_erases_nothing() -> Result {
    let (person, subject, _) = somebody()?;
    for body in [
        json!({}),
        json!({"dry_run": true}),
        json!({"subject": "nobody"}),
        json!({"subject": &subject, "unattributed_before": "2020-01-01"}),
        json!({"subject": &subject, "dry-run": true}),
        json!({"unattributed_before": "2020-13-01"}),
        json!({"unattributed_before": "2999-01-01"}),
        json!({"unattributed_before": "yesterday"}),
    ] {
        erase(&person, &body)?.expect(400)?;
    }
    let body = json!({"unattributed_before": "2020-01-01"});
    let nothing = erase(&person, &body)?.expect(200)?.json()?;
    assert_eq!(
        (&nothing["keys"], &nothing["erased"]),
        (&json!(0), &json!(false))
    );
    let asked = erase(&person, &json!({"subject": &subject, "dry_run": true}))?;
    assert_eq!(asked.expect(200)?.json()?["keys"], 1);
    Ok(())
}

#[test]
fn a_disclosed_key_opens_its_line_and_disclosing_is_logged() -> Result {
    let (person, _, lines) = somebody()?;
    let (first, last) = (index(&lines[0])?, index(&lines[1])?);
    let ask = |query: &str| {
        let service = &person.endpoints().service;
        let url = format!("{service}/v1/audit/disclosures?{query}");
        Request::get(url).bearer(bearer::AUDITOR).send()
    };
    let found = ask(&format!("from={first}&to={}", last + 1))?
        .expect(200)?
        .json()?;
    assert_eq!(found["next"], Value::Null);
    let keys = found["disclosures"].as_array().cloned().unwrap_or_default();
    for line in &lines {
        let key = keys.iter().find(|key| key["index"] == line["index"]);
        let key = key.and_then(|key| LeafKey::from_text(key["key"].as_str()?));
        let key = key.ok_or_else(|| Failure::new(format!("no key of {line}: {found}")))?;
        let sealed = SealedLine::parse(&line.to_string()).and_then(|line| line.disclosed(&key));
        assert!(sealed.is_some_and(|text| text.contains(AGENT)), "{line}");
    }
    let reads = person.api.events("action=audit.read")?;
    let detail = json!({"first_index": first, "end_index": last + 1});
    let is_said =
        |read: &Value| read["reason"] == "personal_fields_disclosed" && read["detail"] == detail;
    assert!(reads.iter().any(is_said), "{detail}");
    for wrong in [
        "from=1",
        "from=2&to=1",
        "from=a&to=2",
        "from=1&to=2&all=true",
    ] {
        ask(wrong)?.expect(400)?;
    }
    Ok(())
}

#[test]
fn an_export_keeps_what_was_disclosed_and_verifies_before_and_after_an_erasure() -> Result {
    let (person, subject, lines) = somebody()?;
    let at = person.endpoints();
    let log = Log::new(at);
    log.head_beyond(lines.last().map_or(Ok(0), index)?)?;
    let key = log.key()?.to_vkey();
    let export = || -> Result<(String, Value)> {
        let dir = std::env::temp_dir().join(format!("portcullis-erasure-{}", random_text()?));
        let shown = dir.display().to_string();
        let args = [
            "audit",
            "export",
            &shown,
            "--key",
            &key,
            "--subject",
            &subject,
        ];
        let ran = portcullis(at, &[&args[..], &["--personal"]].concat())?;
        if ran.code != Some(0) {
            return Err(Failure::new(format!("{ran:?}")));
        }
        let ran = portcullis_alone(&["audit", "verify", &shown, "--key", &key, "--json"])?;
        if ran.code != Some(0) {
            return Err(Failure::new(format!("{ran:?}")));
        }
        Ok((shown, serde_json::from_str(&ran.stdout)?))
    };
    let (before, told) = export()?;
    assert!(told["opened"].as_u64() >= Some(2), "{told}");
    let ran = portcullis_of_admin(at, &["audit", "erase", &person.claim(), "--dry-run"])?;
    assert!(ran.stdout.starts_with("Would erase"), "{ran:?}");
    let ran = portcullis_of_admin(at, &["audit", "erase", &person.claim()])?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let ran = portcullis_of_admin(at, &["audit", "erase", &person.claim(), "--yes"])?;
    assert!(ran.stdout.starts_with("Erased"), "{ran:?}");
    let (after, told) = export()?;
    // Only what operators did with these lines is left to open.
    let lines = std::fs::read_to_string(format!("{after}/disclosures.ndjson"))?;
    assert_eq!(told["opened"], lines.lines().count());
    let first = index(&person.api.story(&subject)?[0])?;
    assert!(!lines.contains(&format!("\"index\":{first},")), "{lines}");
    let ran = portcullis_alone(&["audit", "verify", &before, "--key", &key])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for dir in [before, after] {
        std::fs::remove_dir_all(dir)?;
    }
    Ok(())
}

#[test]
fn only_an_administrator_erases_and_only_auditors_open() -> Result {
    let site = Site::any()?;
    let service = &site.endpoints().service;
    let body = json!({"subject": "demo:alice", "dry_run": true}).to_string();
    for (bearer, status) in [(bearer::AUDITOR, 403), ("nobody", 401)] {
        Request::new("POST", format!("{service}/v1/audit/erasures"))
            .bearer(bearer)
            .body("application/json", body.as_str())
            .send()?
            .expect(status)?;
    }
    for path in ["events?personal=true", "disclosures?from=0&to=1"] {
        Request::get(format!("{service}/v1/audit/{path}"))
            .bearer(bearer::SCIM)
            .send()?
            .expect(403)?;
    }
    Ok(())
}
