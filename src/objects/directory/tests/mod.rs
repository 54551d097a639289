//! What SCIM changes mean for subjects, with storage failing both ways at every call.

mod bulk;
mod groups;
mod interleavings;
mod jobs;
mod many;
mod policy;
mod registry;
mod scim;
mod secrets;
mod upstream;

use super::command::{About, Pending, SubjectCommand};
use super::service::DirectoryService;
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::outbox::Producer;
use portcullis_core::audit::event::RequestFacts;
use portcullis_core::id::{ProducerId, SubjectKey};
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{ChangeUser, CreateUser, DirectoryCall, UserChange, UserReply};
use portcullis_core::scim::change::GroupPolicy;
use portcullis_core::scim::matching::{Matching, MatchingAttribute};
use portcullis_core::scim::rules::Rules;
use portcullis_core::scim::user::UserId;
use portcullis_core::session::revoke::Cause;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire::{self, Call};

const NAMING_KEY: [u8; 32] = [1; 32];
const ALICE: UserId = UserId::from_bytes([1; 16]);

/// A connection's usual ones, where the value is the same in any case.
const RULES: Rules = Rules {
    matching: Matching {
        attribute: MatchingAttribute::UserName,
        folds_case: true,
    },
    group_changes: GroupPolicy::Automatic,
};

fn directory() -> DirectoryService<HostSql> {
    DirectoryService::new(HostSql::new(), NAMING_KEY)
}

fn subject(name: &str) -> SubjectKey {
    SubjectKey::derive(&NAMING_KEY, "demo", name)
}

fn ask<C>(directory: &DirectoryService<HostSql>, call: C) -> Option<C::Reply>
where
    C: Call<Request = portcullis_core::scim::call::DirectoryRequest>,
{
    let call = DirectoryCall {
        connection: "demo".into(),
        base: "http://s".into(),
        rules: RULES,
        request: RequestFacts::default(),
        operation: call.into_request(),
        secret: None,
    };
    let answer = directory.answer(call, UnixMillis(1), ProducerId::from_bytes([2; 16]));
    answer
        .ok()
        .map(|answer| wire::decode(&answer.bytes).expect("decodes"))
}

fn create(directory: &DirectoryService<HostSql>, id: UserId, body: &str) -> Option<UserReply> {
    ask(
        directory,
        CreateUser {
            id,
            body: body.into(),
        },
    )
}

fn set(directory: &DirectoryService<HostSql>, attribute: &str, value: &str) -> Option<UserReply> {
    let body =
        format!(r#"{{"Operations":[{{"op":"replace","path":"{attribute}","value":{value}}}]}}"#);
    let change = UserChange::Patch(body);
    let changed = ask(directory, changing(ALICE, change))?;
    Some(changed.map(Option::unwrap_or_default))
}

fn delete(directory: &DirectoryService<HostSql>, id: UserId) -> Option<Result<(), ScimError>> {
    let deleted = ask(directory, changing(id, UserChange::Delete))?;
    Some(deleted.map(|nothing| assert_eq!(nothing, None)))
}

/// That change, whatever the version.
fn changing(id: UserId, change: UserChange) -> ChangeUser {
    ChangeUser {
        id,
        change,
        if_match: None,
        if_none_match: None,
    }
}

fn with_alice() -> DirectoryService<HostSql> {
    let directory = directory();
    let created = create(&directory, ALICE, r#"{"userName":"alice"}"#);
    assert!(matches!(created, Some(Ok(_))));
    directory
}

fn commands(directory: &DirectoryService<HostSql>) -> Vec<(SubjectKey, SubjectCommand)> {
    let pending = directory.pending(None).expect("reads");
    let versions: Vec<u64> = pending.iter().map(|p| p.version).collect();
    assert!(versions.is_sorted());
    pending
        .iter()
        .map(
            |Pending {
                 subject, command, ..
             }| (*subject, *command),
        )
        .collect()
}

#[test]
fn every_end_of_access_disables_the_subject() {
    let deactivated = with_alice();
    set(&deactivated, "active", "false");
    assert_eq!(
        commands(&deactivated),
        [(
            subject("alice"),
            SubjectCommand::Disable(Cause::ScimDeactivated)
        )]
    );
    let deleted = with_alice();
    assert_eq!(delete(&deleted, ALICE), Some(Ok(())));
    assert_eq!(
        commands(&deleted),
        [(
            subject("alice"),
            SubjectCommand::Disable(Cause::ScimDeleted)
        )]
    );
    let born_inactive = directory();
    create(
        &born_inactive,
        ALICE,
        r#"{"userName":"alice","active":false}"#,
    );
    assert_eq!(
        commands(&born_inactive),
        [(
            subject("alice"),
            SubjectCommand::Disable(Cause::ScimDeactivated)
        )]
    );
}

#[test]
fn a_renamed_user_loses_the_old_subject_and_deactivation_covers_both() {
    let directory = with_alice();
    set(&directory, "userName", r#""alicia""#);
    assert_eq!(
        commands(&directory),
        [
            (
                subject("alice"),
                SubjectCommand::Disable(Cause::ScimRenamed)
            ),
            // Whoever was in under the new name was somebody else.
            (
                subject("alicia"),
                SubjectCommand::End(Cause::ScimReassigned)
            ),
        ]
    );
    set(&directory, "active", "false");
    assert_eq!(
        commands(&directory)[2..],
        [(
            subject("alicia"),
            SubjectCommand::Disable(Cause::ScimDeactivated)
        )]
    );
    set(&directory, "active", "true");
    assert_eq!(
        commands(&directory)[3..],
        [(subject("alicia"), SubjectCommand::Reactivate)]
    );
}

#[test]
fn a_name_that_only_looks_alike_is_another_person() {
    let directory = directory();
    let alike = UserId::from_bytes([3; 16]);
    // With the sign for Kelvin, of which Unicode's lower case is the letter.
    for (id, name) in [(ALICE, "kate"), (alike, "\u{212a}ate")] {
        let created = create(&directory, id, &format!(r#"{{"userName":"{name}"}}"#));
        assert!(matches!(created, Some(Ok(_))), "{created:?}");
    }
    assert_eq!(delete(&directory, alike), Some(Ok(())));
    assert_eq!(
        commands(&directory),
        [(
            subject("\u{212a}ate"),
            SubjectCommand::Disable(Cause::ScimDeleted)
        )]
    );
}

#[test]
fn a_change_of_case_is_the_same_person() {
    let directory = with_alice();
    set(&directory, "userName", r#""Alice""#);
    assert_eq!(commands(&directory), []);
}

#[test]
fn a_name_given_to_someone_else_starts_afresh() {
    let directory = with_alice();
    assert_eq!(delete(&directory, ALICE), Some(Ok(())));
    create(
        &directory,
        UserId::from_bytes([2; 16]),
        r#"{"userName":"ALICE"}"#,
    );
    assert_eq!(
        commands(&directory),
        [
            (
                subject("alice"),
                SubjectCommand::Disable(Cause::ScimDeleted)
            ),
            (subject("alice"), SubjectCommand::Reactivate),
        ]
    );
}

#[test]
fn a_reassigned_name_waits_for_the_kill_of_its_last_owner() {
    let directory = with_alice();
    assert_eq!(delete(&directory, ALICE), Some(Ok(())));
    let heir = UserId::from_bytes([2; 16]);
    create(&directory, heir, r#"{"userName":"alice"}"#);
    let waits_for: Vec<_> = directory
        .pending(Some(About::User(heir)))
        .expect("reads")
        .iter()
        .map(|p| p.command)
        .collect();
    assert_eq!(
        waits_for,
        [
            SubjectCommand::Disable(Cause::ScimDeleted),
            SubjectCommand::Reactivate
        ]
    );
}

#[test]
fn what_happens_to_a_names_last_owner_does_not_touch_the_next() {
    let directory = with_alice();
    set(&directory, "userName", r#""alicia""#);
    let heir = UserId::from_bytes([2; 16]);
    create(&directory, heir, r#"{"userName":"alice"}"#);
    let before = commands(&directory);
    set(&directory, "displayName", r#""x""#);
    set(&directory, "active", "false");
    assert_eq!(
        commands(&directory)[before.len()..],
        [(
            subject("alicia"),
            SubjectCommand::Disable(Cause::ScimDeactivated)
        )]
    );
}

#[test]
fn an_answer_about_a_user_waits_for_earlier_commands_even_if_it_is_a_refusal() {
    let directory = with_alice();
    set(&directory, "active", "false");
    let concerns = |operation| {
        let call = DirectoryCall {
            connection: "demo".into(),
            base: "http://s".into(),
            rules: RULES,
            request: RequestFacts::default(),
            operation,
            secret: None,
        };
        let answer = directory.answer(call, UnixMillis(1), ProducerId::from_bytes([2; 16]));
        let user = answer.expect("answers").concerns.expect("a user");
        directory.pending(Some(user)).expect("reads").len()
    };
    let body = r#"{"userName":"ALICE"}"#.to_owned();
    let other = UserId::from_bytes([2; 16]);
    assert_eq!(concerns(CreateUser { id: other, body }.into_request()), 1);
    assert_eq!(
        concerns(changing(ALICE, UserChange::Delete).into_request()),
        1
    );
    assert_eq!(
        concerns(changing(ALICE, UserChange::Delete).into_request()),
        1
    );
}

#[test]
fn versions_go_on_above_those_before_a_restore() {
    // What is left after a restore to before the first change: nothing, and a later clock.
    let restored = DirectoryService::new(HostSql::new(), NAMING_KEY);
    let call = DirectoryCall {
        connection: "demo".into(),
        base: "http://s".into(),
        rules: RULES,
        request: RequestFacts::default(),
        operation: CreateUser {
            id: ALICE,
            body: r#"{"userName":"alice","active":false}"#.into(),
        }
        .into_request(),
        secret: None,
    };
    restored
        .answer(call, UnixMillis(1_000), ProducerId::from_bytes([2; 16]))
        .expect("answers");
    assert!(restored.pending(None).expect("reads")[0].version >= 1_000);
}

#[test]
fn names_are_unique_whatever_their_case() {
    let directory = with_alice();
    let other = UserId::from_bytes([2; 16]);
    let refused = Some(Err(ScimError::Uniqueness));
    assert_eq!(
        create(&directory, other, r#"{"userName":"ALICE"}"#),
        refused
    );
    create(&directory, other, r#"{"userName":"bob"}"#);
    assert_eq!(set(&directory, "userName", r#""BOB""#), refused);
}

#[test]
fn the_unknown_is_not_found_and_nothing_changes() {
    let directory = directory();
    assert_eq!(
        set(&directory, "active", "false"),
        Some(Err(ScimError::NotFound))
    );
    assert_eq!(delete(&directory, ALICE), Some(Err(ScimError::NotFound)));
    assert_eq!(commands(&directory), []);
    assert_eq!(directory.waiting(), Ok(vec![]));
}

#[test]
fn a_deactivation_with_its_command_and_event_is_stored_whole_or_not_at_all() {
    let calls = {
        let directory = with_alice();
        let before = directory.sql().calls();
        set(&directory, "active", "false");
        directory.sql().calls() - before
    };
    assert!(calls >= 8, "the change made {calls} storage calls");
    for nth in 0..calls {
        for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
            let directory = with_alice();
            directory.sql().fail_nth(nth, fault);
            assert_eq!(set(&directory, "active", "false"), None, "call {nth}");
            assert!(!directory.sql().heal());
            let (stored, events) = (
                commands(&directory).len(),
                directory.waiting().expect("reads").len(),
            );
            assert!(
                matches!((stored, events), (0, 1) | (1, 2)),
                "call {nth}, {fault:?}"
            );
            // The provider's retry ends where the first try would have.
            assert!(matches!(set(&directory, "active", "false"), Some(Ok(_))));
            assert_eq!(commands(&directory).len(), 1);
        }
    }
}
