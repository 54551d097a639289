//! Removing a group that many are in: whoever loses it logs in again, so it ends the sessions of all its members,
//! and is answered before it has. Measured from the request until the strict check has denied each of them.

use super::denial::{self, Person};
use super::directory::{Directory, id_in, written};
use crate::connection::Connection;
use crate::load::CONNECTIONS;
use crate::report::Report;
use crate::work::{work_through, work_through_on};
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::ops::Range;
use std::time::{Duration, Instant};

/// How many are in every other group.
const USUAL_MEMBERS: usize = 10;
/// How many members a request brings.
const AT_A_TIME: usize = 500;
/// By when the last must be denied, in seconds.
const TARGET_SECS: f64 = 20.0;
/// After so long the measurement has failed.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long somebody who is not denied yet is left alone: questions take the time that members are told in.
const PAUSE: Duration = Duration::from_millis(20);

const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// How long it took, in seconds.
pub struct Removal {
    members: usize,
    acknowledged: f64,
    denied: f64,
}

/// Makes so many groups of a few users each.
pub fn seed(directory: &Directory, groups: usize) -> Result {
    let url = directory.at("/Groups")?;
    let mut next = 0..groups;
    work_through(url.authority(), |_, _| {
        Ok(next.next().map(|group| {
            let first = group * USUAL_MEMBERS;
            let members = members(directory, first..first + USUAL_MEMBERS);
            let name = format!("Group {group}");
            let body = json!({ "schemas": [GROUP], "displayName": name, "members": members });
            written("POST", &url, Some(&body))
        }))
    })
    .map(drop)
}

/// Makes a group of these users, logs them in, removes the group, and asks until each is denied.
pub fn measure(directory: &Directory, users: Range<usize>) -> Result<Removal> {
    let id = make(directory, users.clone())?;
    eprintln!("its members log in");
    let people = denial::log_in(directory, users)?;
    eprintln!("it is removed");
    remove(directory, &id, &people)
}

fn make(directory: &Directory, users: Range<usize>) -> Result<String> {
    let url = directory.at("/Groups")?;
    let empty = json!({ "schemas": [GROUP], "displayName": "Everybody who leaves" });
    let mut id = String::new();
    let mut request = Some(written("POST", &url, Some(&empty)));
    work_through_on(url.authority(), 1, |_, answer| {
        if let Some(answer) = answer {
            id = id_in(answer)?;
        }
        Ok(request.take())
    })?;
    let url = directory.at(&format!("/Groups/{id}"))?;
    let mut starts = users.clone().step_by(AT_A_TIME);
    work_through_on(url.authority(), 1, |_, _| {
        Ok(starts.next().map(|start| {
            let some = members(directory, start..(start + AT_A_TIME).min(users.end));
            let add = json!({ "op": "add", "path": "members", "value": some });
            let body = json!({ "schemas": [PATCH_OP], "Operations": [add] });
            written("PATCH", &url, Some(&body))
        }))
    })?;
    Ok(id)
}

fn members(directory: &Directory, users: Range<usize>) -> Value {
    let members = users.map(|user| json!({ "value": directory.id(user) }));
    members.collect()
}

/// Asks about one member after the other, about each until denied.
fn remove(directory: &Directory, id: &str, people: &[Person]) -> Result<Removal> {
    let checks = people
        .iter()
        .map(|person| denial::check(directory, person))
        .collect::<Result<Vec<_>>>()?;
    let url = directory.at(&format!("/Groups/{id}"))?;
    // Who is asked about before it: each must be in.
    let mut before = checks.iter();
    work_through_on(url.authority(), CONNECTIONS, |_, answer| {
        if let Some(answer) = answer
            && denial::is_denied(answer)?
        {
            return Err(Failure::new("somebody is out before the group is"));
        }
        Ok(before.next().cloned())
    })?;
    let mut provider = [Connection::open(url.authority())?];
    let begun = Instant::now();
    let answer = denial::asked(&mut provider, &written("DELETE", &url, None))?;
    if !(200..300).contains(&answer.status) {
        return Err(Failure::new(format!(
            "expected success, got {} with {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        )));
    }
    let acknowledged = begun.elapsed().as_secs_f64();
    let mut gateway = [Connection::open(url.authority())?];
    for check in &checks {
        while !denial::is_denied(&denial::asked(&mut gateway, check)?)? {
            if begun.elapsed() > PATIENCE {
                return Err(Failure::new("somebody is not denied"));
            }
            std::thread::sleep(PAUSE);
        }
    }
    Ok(Removal {
        members: people.len(),
        acknowledged,
        denied: begun.elapsed().as_secs_f64(),
    })
}

impl Removal {
    pub fn report(&self, report: &mut Report) {
        let members = self.members;
        let note = format!("DELETE of a group of {members} who are all logged in, to its answer");
        report.row("group_acknowledged_s", self.acknowledged, "s", &note);
        let note = "from the request until each of them is denied strictly";
        report.at_most("group_denied_s", self.denied, "s", TARGET_SECS, note);
    }
}
