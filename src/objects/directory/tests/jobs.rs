//! What the change of a group does: a job, with a command for every member that it means something for, stored
//! with it and carried out one by one.

use super::policy::{logs_in, seats};
use super::{NAMING_KEY, RULES, ask, commands, create, directory, subject};
use crate::objects::directory::command::About;
use crate::objects::directory::command::SubjectCommand::{
    self, Disable, End, Provision, ProvisionAndEnd,
};
use crate::objects::directory::delivery::{Walk, wait_ms};
use crate::objects::directory::service::{Context, DirectoryService};
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::event::RequestFacts;
use portcullis_core::id::{ProducerId, SubjectKey};
use portcullis_core::registry::SeenLogin;
use portcullis_core::scim::change::{GroupChange, GroupPolicy};
use portcullis_core::scim::group::GroupId;
use portcullis_core::scim::job::{FindJob, Job, JobId, JobKind, KEPT_SECS, ListJobs};
use portcullis_core::scim::patch::members::MemberDifference;
use portcullis_core::scim::rules::Rules;
use portcullis_core::scim::user::UserId;
use portcullis_core::session::call::SubjectRequest;
use portcullis_core::session::revoke::Cause;
use portcullis_core::time::UnixMillis;
use std::collections::BTreeSet;

type Directory = DirectoryService<HostSql>;

pub const STAFF: GroupId = GroupId::from_bytes([9; 16]);

fn id(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

pub fn difference(added: &[u8], removed: &[u8]) -> MemberDifference {
    let set = |ids: &[u8]| ids.iter().map(|n| id(*n).to_text()).collect();
    MemberDifference {
        added: set(added),
        removed: set(removed),
    }
}

/// Changes the group as a request would: in one transaction.
pub fn change(
    directory: &Directory,
    policy: GroupPolicy,
    change: &GroupChange,
    now: UnixMillis,
) -> Result<Option<JobId>, SqlError> {
    let request = RequestFacts::default();
    let context = Context {
        connection: "demo",
        base: "",
        is_in_transaction: false,
        job: std::cell::Cell::new(None),
        rules: Rules {
            group_changes: policy,
            ..RULES
        },
        request: &request,
        now,
        new_producer: ProducerId::from_bytes([2; 16]),
    };
    let sql = directory.sql();
    let row = |statement: &str, user: &str| {
        let user = UserId::from_text(user).expect("an id");
        let values = [STAFF.as_bytes().into(), user.as_bytes().into()];
        sql.exec(statement, &values)
    };
    sql.transaction(|| {
        let job = directory.group_changes(&context, STAFF, change)?;
        match change {
            GroupChange::Deleted => {
                for statement in [
                    "DELETE FROM member WHERE grp = ?",
                    "DELETE FROM scim_group WHERE id = ?",
                ] {
                    sql.exec(statement, &[STAFF.as_bytes().into()])?;
                }
            }
            GroupChange::Members(difference) | GroupChange::Renamed(difference) => {
                if matches!(change, GroupChange::Renamed(_)) {
                    let renamed =
                        "UPDATE scim_group SET display_name = 'Crew', folded_name = 'crew'";
                    sql.exec(renamed, &[])?;
                }
                for user in &difference.removed {
                    row("DELETE FROM member WHERE grp = ? AND user = ?", user)?;
                }
                for user in &difference.added {
                    row(
                        "INSERT OR IGNORE INTO member (grp, user) VALUES (?, ?)",
                        user,
                    )?;
                }
            }
        }
        Ok(job)
    })
}

/// The group, with nobody in it.
pub fn make_group(directory: &Directory) {
    let made = "INSERT INTO scim_group (id, display_name, folded_name, attributes, created, modified, version) \
         VALUES (?, 'Staff', 'staff', '{}', 1, 1, 1)";
    directory
        .sql()
        .exec(made, &[STAFF.as_bytes().into()])
        .expect("writes");
}

/// Users `u1` to `u4`, of whom 1 to 3 are in the group, 2 is not active and 1 and 4 have logged in.
fn with_group() -> Directory {
    let directory = directory();
    for n in 1..=4u8 {
        let body = format!(r#"{{"userName":"u{n}","active":{}}}"#, n != 2);
        create(&directory, id(n), &body)
            .expect("answers")
            .expect("is created");
    }
    make_group(&directory);
    for name in ["u1", "u4"] {
        logs_in(&directory, RULES, name);
    }
    let members = GroupChange::Members(difference(&[1, 2, 3], &[]));
    change(&directory, GroupPolicy::Automatic, &members, UnixMillis(1)).expect("stores");
    confirm_all(&directory);
    directory
}

fn confirm_all(directory: &Directory) {
    for pending in directory.pending(None).expect("reads") {
        directory
            .confirm(pending.version, UnixMillis(5))
            .expect("stores");
    }
}

pub fn job(directory: &Directory, id: JobId) -> Option<Job> {
    ask(directory, FindJob { id }).expect("answers")
}

fn sorted(mut commands: Vec<(SubjectKey, SubjectCommand)>) -> Vec<(SubjectKey, SubjectCommand)> {
    commands.sort_by_key(|(subject, _)| *subject);
    commands
}

fn groups_told(directory: &Directory, name: &str) -> Vec<String> {
    match logs_in(directory, RULES, name) {
        SeenLogin::Provisioned(says) => says.groups,
        other => panic!("{other:?}"),
    }
}

#[test]
fn by_policy_members_are_killed_told_or_both_and_who_is_out_is_left_alone() {
    use GroupPolicy::{Automatic, Nothing, ReauthenticateOnGroupChange as Reauthenticate};
    let lost = Cause::ScimGroupLost;
    let changed = Cause::ScimGroupsChanged;
    let one = |n: u8, command| (subject(&format!("u{n}")), command);
    let swap = || GroupChange::Members(difference(&[4], &[1, 2]));
    let renamed = || GroupChange::Renamed(difference(&[4], &[3]));
    for (of, policy, expected) in [
        (
            swap(),
            Automatic,
            vec![one(1, ProvisionAndEnd(lost)), one(4, Provision)],
        ),
        (
            swap(),
            Reauthenticate,
            vec![
                one(1, ProvisionAndEnd(changed)),
                one(4, ProvisionAndEnd(changed)),
            ],
        ),
        (swap(), Nothing, vec![one(1, Provision), one(4, Provision)]),
        (
            renamed(),
            Automatic,
            vec![
                one(1, ProvisionAndEnd(lost)),
                one(3, End(lost)),
                one(4, Provision),
            ],
        ),
        (
            renamed(),
            Reauthenticate,
            vec![
                one(1, ProvisionAndEnd(changed)),
                one(3, End(changed)),
                one(4, ProvisionAndEnd(changed)),
            ],
        ),
        (
            renamed(),
            Nothing,
            vec![one(1, Provision), one(4, Provision)],
        ),
        (
            GroupChange::Deleted,
            Automatic,
            vec![one(1, ProvisionAndEnd(lost)), one(3, End(lost))],
        ),
        (GroupChange::Deleted, Nothing, vec![one(1, Provision)]),
    ] {
        let directory = with_group();
        let id = change(&directory, policy, &of, UnixMillis(1)).expect("stores");
        let id = id.expect("a job");
        assert_eq!(
            sorted(commands(&directory)),
            sorted(expected.clone()),
            "{of:?} {policy:?}"
        );
        let job = job(&directory, id).expect("there");
        let total = expected.len() as u64;
        assert_eq!((job.total, job.done, job.failing), (total, 0, 0));
        assert_eq!((job.group, job.group_name.as_str()), (STAFF, "Staff"));
        assert_eq!(job.what, JobKind::from(&of));
        let cause = match policy {
            Automatic => Some("scim_group_lost"),
            Reauthenticate => Some("scim_groups_changed"),
            Nothing => None,
        };
        assert_eq!(job.cause.as_deref(), cause);
    }
}

#[test]
fn what_means_nothing_for_anybody_is_no_job() {
    let directory = with_group();
    for of in [
        GroupChange::Members(difference(&[], &[])),
        // Not active; and not known.
        GroupChange::Members(difference(&[], &[2])),
        GroupChange::Members(difference(&[7], &[8])),
    ] {
        let none = change(&directory, GroupPolicy::Automatic, &of, UnixMillis(1));
        assert_eq!(none, Ok(None), "{of:?}");
    }
    assert_eq!(commands(&directory), []);
}

#[test]
fn a_job_is_done_when_each_of_its_subjects_has_committed() {
    let directory = with_group();
    let now = UnixMillis(50);
    let id = change(
        &directory,
        GroupPolicy::Automatic,
        &GroupChange::Deleted,
        now,
    );
    let id = id.expect("stores").expect("a job");
    let pending = directory.pending(None).expect("reads");
    assert_eq!(pending.len(), 2);
    directory
        .failed(pending[0].version, UnixMillis(60))
        .expect("stores");
    directory
        .confirm(pending[1].version, UnixMillis(70))
        .expect("stores");
    let half = job(&directory, id).expect("there");
    assert_eq!(
        (half.total, half.done, half.failing, half.finished),
        (2, 1, 1, None)
    );
    // A restart loses nothing of it.
    let directory = DirectoryService::new(directory.into_sql(), NAMING_KEY);
    assert_eq!(job(&directory, id), Some(half));
    directory
        .confirm(pending[0].version, UnixMillis(80))
        .expect("stores");
    // Whatever else is confirmed later.
    directory
        .confirm(pending[0].version, UnixMillis(90))
        .expect("stores");
    let whole = job(&directory, id).expect("there");
    assert_eq!(
        (whole.done, whole.failing, whole.finished),
        (2, 0, Some(UnixMillis(80)))
    );
    // For so long it is kept, and then forgotten with the next one.
    for (later, is_kept) in [(KEPT_SECS * 1000 - 1, true), (KEPT_SECS * 1000, false)] {
        make_group(&directory);
        let again = GroupChange::Members(difference(&[1], &[]));
        change(
            &directory,
            GroupPolicy::Automatic,
            &again,
            UnixMillis(80 + later),
        )
        .expect("stores");
        change(
            &directory,
            GroupPolicy::Automatic,
            &GroupChange::Deleted,
            UnixMillis(80 + later),
        )
        .expect("stores");
        assert_eq!(job(&directory, id).is_some(), is_kept);
    }
}

#[test]
fn jobs_are_listed_newest_first_in_pages() {
    let directory = with_group();
    let mut made = Vec::new();
    for n in 0..5 {
        let of = match n % 2 {
            0 => GroupChange::Members(difference(&[], &[1])),
            _ => GroupChange::Members(difference(&[1], &[])),
        };
        let id = change(&directory, GroupPolicy::Automatic, &of, UnixMillis(1));
        made.push(id.expect("stores").expect("a job"));
    }
    made.reverse();
    let mut list = ListJobs {
        before: None,
        limit: 2,
    };
    let mut listed = Vec::new();
    loop {
        let page = ask(&directory, list).expect("answers");
        assert!(page.jobs.len() <= 2);
        listed.extend(page.jobs.iter().map(|job| job.id));
        match page.next {
            None => break,
            next => list.before = next,
        }
    }
    // The first is of those who came in when the group was made.
    assert_eq!(listed[..5], made);
    assert_eq!(listed.len(), 6);
}

#[test]
fn somebody_who_is_deactivated_meanwhile_waits_for_nobody_else() {
    let directory = with_group();
    change(
        &directory,
        GroupPolicy::Automatic,
        &GroupChange::Deleted,
        UnixMillis(1),
    )
    .expect("stores");
    super::set(&directory, "active", "false");
    let pending = directory.pending(Some(About::User(id(1)))).expect("reads");
    let told: Vec<_> = pending
        .iter()
        .map(|one| (one.subject, one.command))
        .collect();
    assert_eq!(
        told,
        [
            (subject("u1"), ProvisionAndEnd(Cause::ScimGroupLost)),
            (subject("u1"), Disable(Cause::ScimDeactivated)),
        ]
    );
    assert_eq!(seats(&directory), 1);
}

#[test]
fn what_is_pushed_is_how_it_is_when_it_is_sent_and_a_log_in_is_told_the_same() {
    let directory = with_group();
    assert_eq!(groups_told(&directory, "u1"), ["Staff"]);
    let renamed = GroupChange::Renamed(difference(&[], &[]));
    change(&directory, GroupPolicy::Nothing, &renamed, UnixMillis(1)).expect("stores");
    assert_eq!(groups_told(&directory, "u1"), ["Crew"]);
    change(
        &directory,
        GroupPolicy::Nothing,
        &GroupChange::Deleted,
        UnixMillis(1),
    )
    .expect("stores");
    assert_eq!(groups_told(&directory, "u1"), [""; 0]);
    for pending in directory.pending(None).expect("reads") {
        let requests = directory.requests(&pending, "demo").expect("reads");
        let [SubjectRequest::Provision(push)] = &requests[..] else {
            panic!("{requests:?}")
        };
        assert_eq!(
            (push.0.version, push.0.groups.as_slice()),
            (pending.version, &[][..])
        );
    }
    // Who loses something is told it before they are ended.
    let directory = with_group();
    change(
        &directory,
        GroupPolicy::Automatic,
        &GroupChange::Deleted,
        UnixMillis(1),
    )
    .expect("stores");
    let pending = directory.pending(None).expect("reads");
    let told = pending
        .iter()
        .find(|one| one.command.provisions())
        .expect("u1");
    let requests = directory.requests(told, "demo").expect("reads");
    assert!(matches!(
        &requests[..],
        [SubjectRequest::Provision(_), SubjectRequest::Revoke(_)]
    ));
}

#[test]
fn a_change_of_a_group_with_its_commands_is_stored_whole_or_not_at_all() {
    for of in [
        GroupChange::Deleted,
        GroupChange::Renamed(difference(&[4], &[1])),
        GroupChange::Members(difference(&[4], &[1, 3])),
    ] {
        let expected = {
            let directory = with_group();
            change(&directory, GroupPolicy::Automatic, &of, UnixMillis(7)).expect("stores");
            commands(&directory)
        };
        for nth in 0.. {
            let mut unused = false;
            for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
                let directory = with_group();
                directory.sql().fail_nth(nth, fault);
                let done = change(&directory, GroupPolicy::Automatic, &of, UnixMillis(7));
                unused |= directory.sql().heal();
                let list = ListJobs {
                    before: None,
                    limit: 9,
                };
                let jobs = ask(&directory, list).expect("answers").jobs.len();
                let stored = commands(&directory);
                assert!(
                    (stored.is_empty() && jobs == 1) || (stored == expected && jobs == 2),
                    "call {nth}, {fault:?}"
                );
                assert!(done.is_err() || jobs == 2);
            }
            if unused {
                assert!(nth >= 8, "the change made {nth} storage calls");
                break;
            }
        }
    }
}

#[test]
fn a_confirmation_is_stored_whole_or_not_at_all() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let directory = with_group();
            let of = GroupChange::Members(difference(&[], &[3]));
            let id = change(&directory, GroupPolicy::Automatic, &of, UnixMillis(7));
            let id = id.expect("stores").expect("a job");
            let version = directory.pending(None).expect("reads")[0].version;
            directory.sql().fail_nth(nth, fault);
            let confirmed = directory.confirm(version, UnixMillis(9));
            let unused = directory.sql().heal();
            let job_then = job(&directory, id).expect("there");
            let is_done = commands(&directory).is_empty();
            assert_eq!(
                job_then.finished.is_some(),
                is_done,
                "call {nth}, {fault:?}"
            );
            assert!(confirmed.is_err() || is_done);
            directory.confirm(version, UnixMillis(9)).expect("stores");
            assert!(job(&directory, id).expect("there").finished.is_some());
            if unused {
                break;
            }
        }
    }
}

#[test]
fn a_walk_sends_one_at_a_time_to_a_subject_and_what_fails_waits_alone() {
    let directory = with_group();
    for of in [
        GroupChange::Members(difference(&[], &[1, 3])),
        GroupChange::Members(difference(&[1, 3], &[])),
        GroupChange::Members(difference(&[], &[1, 3])),
    ] {
        change(&directory, GroupPolicy::Automatic, &of, UnixMillis(1)).expect("stores");
    }
    let now = UnixMillis(1_000);
    let nobody = |_: &SubjectKey| false;
    assert_eq!(Walk::default().next(&directory, |_| true, now), Ok(None));
    let mut walk = Walk::default();
    let first = walk
        .next(&directory, nobody, now)
        .expect("reads")
        .expect("one");
    let second = walk
        .next(&directory, nobody, now)
        .expect("reads")
        .expect("one");
    assert_ne!(first.subject, second.subject);
    assert_eq!(walk.next(&directory, nobody, now), Ok(None));
    assert!(walk.leads_on());
    directory.failed(first.version, now).expect("stores");
    directory.confirm(second.version, now).expect("stores");
    walk.confirmed(&second);
    // The other subject goes on, the one that failed waits with all that it has.
    let mut sent = BTreeSet::new();
    loop {
        let mut walk = Walk::default();
        let mut got_on = false;
        while let Some(pending) = walk.next(&directory, nobody, now).expect("reads") {
            assert_ne!(pending.subject, first.subject);
            directory.confirm(pending.version, now).expect("stores");
            walk.confirmed(&pending);
            got_on |= sent.insert(pending.version);
        }
        if !got_on {
            break;
        }
    }
    assert_eq!(directory.next_due(), Ok(Some(UnixMillis(0))));
    let later = UnixMillis(now.0 + wait_ms(1));
    let again = Walk::default()
        .next(&directory, nobody, later)
        .expect("reads");
    assert_eq!(again, Some(first));
    // What was confirmed by a request since it was read is not sent.
    let mut walk = Walk::default();
    walk.next(&directory, nobody, later)
        .expect("reads")
        .expect("one");
    confirm_all(&directory);
    assert_eq!(walk.next(&directory, nobody, later), Ok(None));
}

#[test]
fn commands_for_a_hundred_thousand_members_are_stored_at_once() {
    let directory = with_group();
    let sql = directory.sql();
    let many = 100_000u64;
    for statement in [
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
         INSERT INTO member (grp, user) SELECT x'09090909090909090909090909090909', randomblob(16) FROM n",
        "INSERT INTO linked_subject (user, subject) SELECT user, randomblob(16) FROM member \
         WHERE ? > 0 AND user NOT IN (SELECT user FROM linked_subject)",
    ] {
        sql.exec(statement, &[many.into()]).expect("writes");
    }
    let before = sql.calls();
    let id = change(
        &directory,
        GroupPolicy::Automatic,
        &GroupChange::Deleted,
        UnixMillis(1),
    );
    assert!(
        sql.calls() - before < 20,
        "{} storage calls",
        sql.calls() - before
    );
    let job = job(&directory, id.expect("stores").expect("a job")).expect("there");
    assert_eq!(job.total, many + 2);
    // Versions go on behind the block.
    super::set(&directory, "active", "false");
    let last = directory
        .pending(Some(About::User(super::ALICE)))
        .expect("reads");
    assert_eq!(
        last.last().map(|one| one.version),
        Some(job.id.0 + job.total)
    );
}
