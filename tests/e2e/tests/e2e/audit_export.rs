//! An auditor takes the log away with the command line, and verifies it without the service.

use portcullis_e2e::audit_log::Log;
use portcullis_e2e::cli::{portcullis, portcullis_alone};
use portcullis_e2e::people::Person;
use portcullis_e2e::scratch::Scratch;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Somebody whose log-in and kill are in the log, and the index of the kill.
pub fn somebody_killed() -> Result<(Person, String, u64)> {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    person
        .api
        .revoke(&json!({ "subject": &tokens.subject }))?
        .expect(200)?;
    let story = ["session.login", "token.issued", "kill"];
    let kill = person.api.expect_story(&tokens.subject, &story)?.pop();
    let index = kill.and_then(|kill| kill["index"].as_u64());
    let index = index.ok_or_else(|| Failure::new("the kill has no index"))?;
    // Checkpoints are a little older than the log.
    Log::new(person.endpoints()).head_beyond(index)?;
    Ok((person, tokens.subject, index))
}

#[test]
fn what_an_auditor_takes_away_verifies_offline_and_bent_it_does_not() -> Result {
    let (person, subject, index) = somebody_killed()?;
    let at = person.endpoints();
    let key = Log::new(at).key()?.to_vkey();
    let dir = Scratch::new("export")?;
    let shown = dir.shown();
    let formats = ["--format", "csv", "--format", "ocsf"];
    let args = [&["audit", "export", &shown, "--key", &key], &formats[..]].concat();
    portcullis(at, &args)?.expect(0)?;
    let verify = || portcullis_alone(&["audit", "verify", &dir.shown(), "--key", &key, "--json"]);
    let ran = verify()?;
    let ran = ran.expect(0)?;
    let told: Value = serde_json::from_str(&ran.stdout)?;
    assert_eq!(told["good"], true, "{ran:?}");
    assert_eq!(told["manifest"]["kind"], "whole", "{ran:?}");
    let lines = fs::read_to_string(dir.path.join("events.ndjson"))?;
    let found: Vec<Value> = lines
        .lines()
        .map(serde_json::from_str)
        .collect::<std::result::Result<_, _>>()?;
    let kill = found
        .iter()
        .find(|line| line["subject"] == subject.as_str() && line["action"] == "kill");
    let why = || format!("the kill of {subject} is not among these:\n{lines}");
    let kill = kill.ok_or_else(|| Failure::new(why()))?;
    assert_eq!(kill["index"], index);

    // Somebody would rather not have killed them.
    let place = format!("events.ndjson:{} (index {index}, byte ", index + 1);
    let text = |lines: &[&str]| {
        lines
            .iter()
            .fold(String::new(), |text, line| text + line + "\n")
    };
    let original: Vec<&str> = lines.lines().collect();
    let at_kill = usize::try_from(index)?;
    let mut changed = original.clone();
    let other = original[at_kill].replace(&subject, "sub_AQEBAQEBAQEBAQEBAQEBAQ");
    changed[at_kill] = &other;
    bent(
        &dir.path,
        &text(&changed),
        &key,
        &place,
        "is not the one that the log has",
    )?;
    let mut gone = original.clone();
    gone.remove(at_kill);
    bent(&dir.path, &text(&gone), &key, "", "missing")?;
    let mut swapped = original.clone();
    swapped.swap(at_kill - 1, at_kill);
    bent(&dir.path, &text(&swapped), &key, &place, "it says index")?;
    let mut twice = original.clone();
    twice.insert(at_kill, original[at_kill]);
    bent(
        &dir.path,
        &text(&twice),
        &key,
        "",
        "the line does not belong here",
    )?;
    bent(
        &dir.path,
        &text(&original[..at_kill]),
        &key,
        "",
        "lines are missing",
    )?;
    fs::write(dir.path.join("events.ndjson"), &lines)?;
    verify()?.expect(0)?;

    // Each other file, with a bit that flipped.
    for name in [
        "checkpoint",
        "manifest.json",
        "proofs.json",
        "events.csv",
        "events.ocsf.ndjson",
    ] {
        let good = fs::read(dir.path.join(name))?;
        let mut bytes = good.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(dir.path.join(name), bytes)?;
        let ran = verify()?;
        let ran = ran.expect(1)?;
        let told: Value = serde_json::from_str(&ran.stdout)?;
        let files = told["faults"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|fault| &fault["file"]);
        assert!(
            files.into_iter().any(|file| file == name),
            "{name}: {ran:?}"
        );
        fs::write(dir.path.join(name), good)?;
    }
    verify()?.expect(0).map(drop)
}

/// Puts other lines into the export, and has it verified.
#[track_caller]
fn bent(dir: &Path, lines: &str, key: &str, place: &str, what: &str) -> Result {
    fs::write(dir.join("events.ndjson"), lines)?;
    let ran = portcullis_alone(&["audit", "verify", &dir.display().to_string(), "--key", key])?;
    let ran = ran.expect(1)?;
    assert!(
        ran.stderr
            .lines()
            .any(|line| line.starts_with(place) && line.contains(what)),
        "{ran:?}"
    );
    assert!(
        ran.stdout.contains("It rests on the checkpoint of"),
        "{ran:?}"
    );
    Ok(())
}

#[test]
fn an_export_of_one_person_by_name_has_their_lines_and_each_is_proven() -> Result {
    let (person, subject, _) = somebody_killed()?;
    let (at, dir) = (person.endpoints(), Scratch::new("export")?);
    let key = Log::new(at).key()?.to_vkey();
    let claim = person.claim();
    let args = [
        "audit",
        "export",
        &dir.shown(),
        "--key",
        &key,
        "--subject",
        &claim,
        "--json",
    ];
    let ran = portcullis(at, &args)?;
    let ran = ran.expect(0)?;
    let manifest: Value = serde_json::from_str(&ran.stdout)?;
    assert_eq!(manifest["filter"]["subject"], subject.as_str());
    let lines = fs::read_to_string(dir.path.join("events.ndjson"))?;
    let mut actions = Vec::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line)?;
        assert_eq!(line["subject"], subject.as_str());
        actions.push(line["action"].as_str().unwrap_or_default().to_owned());
    }
    actions.retain(|action| action != "audit.read");
    assert_eq!(actions, ["session.login", "token.issued", "kill"]);
    let ran = portcullis_alone(&["audit", "verify", &dir.shown(), "--key", &key])?;
    let ran = ran.expect(0)?;
    assert!(
        ran.stdout.contains("that no other fits is not shown"),
        "{ran:?}"
    );
    Ok(())
}

#[test]
fn a_query_and_a_tail_show_what_happened() -> Result {
    let (person, subject, _) = somebody_killed()?;
    let at = person.endpoints();
    let claim = person.claim();
    let ran = portcullis(
        at,
        &[
            "audit",
            "query",
            "--subject",
            &claim,
            "--action",
            "kill",
            "--json",
        ],
    )?;
    let ran = ran.expect(0)?;
    let kill: Value = serde_json::from_str(&ran.stdout)?;
    assert_eq!(
        (&kill["action"], &kill["subject"]),
        (&json!("kill"), &json!(subject))
    );
    let ran = portcullis(at, &["audit", "tail", "--subject", &claim, "--for", "2"])?;
    let ran = ran.expect(0)?;
    assert!(
        ran.stdout.contains("kill") && !ran.stdout.contains("audit.read"),
        "{ran:?}"
    );
    Ok(())
}
