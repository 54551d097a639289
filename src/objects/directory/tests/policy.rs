//! What a change of a user does, by a connection's rules: who is whom, who is ended, who holds a seat, and what
//! log-ins are told.

use super::{
    ALICE, NAMING_KEY, RULES, changing, commands, create, delete, directory, set, subject,
    with_alice,
};
use crate::objects::directory::command::SubjectCommand::{
    self, Disable, End, Provision, ProvisionAndEnd, Reactivate,
};
use crate::objects::directory::service::{Answer, DirectoryService};
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::outbox::Producer;
use crate::objects::sql::SqlError;
use portcullis_core::audit::event::RequestFacts;
use portcullis_core::id::{ProducerId, SubjectKey};
use portcullis_core::registry::{CountSeats, FindPerson, SeeLogin, SeenLogin};
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{ChangeReply, CreateUser, DirectoryCall, UserChange, UserReply};
use portcullis_core::scim::change::GroupPolicy;
use portcullis_core::scim::matching::{Matching, MatchingAttribute};
use portcullis_core::scim::rules::Rules;
use portcullis_core::scim::user::UserId;
use portcullis_core::session::revoke::Cause;
use portcullis_core::session::{Profile, Upstream};
use portcullis_core::time::UnixMillis;
use portcullis_core::wire::{self, Call};

type Directory = DirectoryService<HostSql>;

/// A change, and whether it came to what was expected.
type Step = dyn Fn(&Directory) -> Option<bool>;

const BOB: UserId = UserId::from_bytes([2; 16]);

const EXACT: Rules = rules(MatchingAttribute::UserName, false);
const BY_WORK: Rules = rules(MatchingAttribute::WorkEmail, true);

const fn rules(attribute: MatchingAttribute, folds_case: bool) -> Rules {
    Rules {
        matching: Matching {
            attribute,
            folds_case,
        },
        group_changes: GroupPolicy::Automatic,
    }
}

/// The answer to a call under these rules.
fn answer<C>(directory: &Directory, rules: Rules, call: C) -> Result<Answer, SqlError>
where
    C: Call<Request = portcullis_core::scim::call::DirectoryRequest>,
{
    let call = DirectoryCall {
        connection: "demo".into(),
        base: "http://s".into(),
        rules,
        request: RequestFacts::default(),
        operation: call.into_request(),
        secret: None,
    };
    directory.answer(call, UnixMillis(1), ProducerId::from_bytes([2; 16]))
}

/// Its reply.
fn under<C>(directory: &Directory, rules: Rules, call: C) -> C::Reply
where
    C: Call<Request = portcullis_core::scim::call::DirectoryRequest>,
{
    let answer = answer(directory, rules, call).expect("is answered");
    wire::decode(&answer.bytes).expect("decodes")
}

fn create_under(directory: &Directory, rules: Rules, id: UserId, body: &str) -> UserReply {
    let body = body.into();
    under(directory, rules, CreateUser { id, body })
}

fn patch(
    directory: &Directory,
    rules: Rules,
    id: UserId,
    attribute: &str,
    value: &str,
) -> ChangeReply {
    let body =
        format!(r#"{{"Operations":[{{"op":"replace","path":"{attribute}","value":{value}}}]}}"#);
    under(directory, rules, changing(id, UserChange::Patch(body)))
}

fn login(subject: SubjectKey, value: &str) -> SeeLogin {
    SeeLogin {
        subject,
        value: value.into(),
        upstream: Upstream::default(),
        flow_begun_at: UnixMillis(0),
        profile: Profile::default(),
        groups: vec![],
    }
}

/// `value` logs in, and is told that.
pub fn logs_in(directory: &Directory, rules: Rules, value: &str) -> SeenLogin {
    let subject = subject(&rules.matching.key(value));
    under(directory, rules, login(subject, value))
}

/// The roles that a log-in is told, if it is told any.
fn roles_told(directory: &Directory, value: &str) -> Option<Vec<String>> {
    match logs_in(directory, RULES, value) {
        SeenLogin::Provisioned(says) => Some(says.roles),
        _ => None,
    }
}

pub fn seats(directory: &Directory) -> u64 {
    under(directory, RULES, CountSeats)
}

fn of(name: &str, command: SubjectCommand) -> (SubjectKey, SubjectCommand) {
    (subject(name), command)
}

fn work(name: &str, address: &str) -> String {
    format!(r#"{{"userName":"{name}","emails":[{{"value":"{address}","type":"work"}}]}}"#)
}

#[test]
fn the_matching_value_decides_whom_a_user_is_and_case_does_where_the_connection_says_so() {
    let exact = directory();
    create_under(&exact, EXACT, ALICE, r#"{"userName":"Ada"}"#).expect("is created");
    logs_in(&exact, EXACT, "ada");
    logs_in(&exact, EXACT, "Ada");
    for name in ["Ada", "ada"] {
        let find = FindPerson {
            subject: subject(name),
        };
        let person = under(&exact, EXACT, find).expect("known");
        assert_eq!(
            (person.value.as_str(), person.scim.is_some()),
            (name, name == "Ada")
        );
    }
    patch(&exact, EXACT, ALICE, "active", "false").expect("is changed");
    assert_eq!(
        commands(&exact),
        [of("Ada", Disable(Cause::ScimDeactivated))]
    );

    let by_work = directory();
    create_under(&by_work, BY_WORK, ALICE, &work("u1", "Ada@X.example")).expect("is created");
    patch(&by_work, BY_WORK, ALICE, "active", "false").expect("is changed");
    let disabled = of("ada@x.example", Disable(Cause::ScimDeactivated));
    assert_eq!(commands(&by_work), [disabled]);
}

#[test]
fn a_value_is_one_users_at_a_time_and_many_may_be_nobody() {
    let directory = directory();
    create_under(&directory, BY_WORK, ALICE, &work("u1", "a@x.example")).expect("is created");
    let taken = create_under(&directory, BY_WORK, BOB, &work("u2", "A@X.example"));
    assert_eq!(taken, Err(ScimError::Uniqueness));
    for (n, name) in [(3, "u3"), (4, "u4")] {
        let body = format!(r#"{{"userName":"{name}"}}"#);
        create_under(&directory, BY_WORK, UserId::from_bytes([n; 16]), &body).expect("nobody");
    }
    let emails = r#"[{"value":"a@x.example","type":"work"}]"#;
    let third = UserId::from_bytes([3; 16]);
    let taken = patch(&directory, BY_WORK, third, "emails", emails);
    assert_eq!(taken, Err(ScimError::Uniqueness));
    assert_eq!(commands(&directory), []);
    // Given up by the one, it can become the other's.
    patch(&directory, BY_WORK, ALICE, "emails", "[]").expect("is changed");
    patch(&directory, BY_WORK, third, "emails", emails).expect("is changed");
    assert_eq!(
        commands(&directory),
        [
            of("a@x.example", Disable(Cause::ScimRenamed)),
            of("a@x.example", Reactivate)
        ]
    );
}

#[test]
fn what_went_on_under_a_value_ends_before_it_becomes_another_users() {
    let directory = with_alice();
    logs_in(&directory, RULES, "bob");
    set(&directory, "userName", r#""bob""#);
    assert_eq!(
        commands(&directory),
        [
            of("alice", Disable(Cause::ScimRenamed)),
            of("bob", ProvisionAndEnd(Cause::ScimReassigned)),
        ]
    );
    // Said again, it ends nothing again.
    set(&directory, "userName", r#""bob""#);
    assert_eq!(commands(&directory).len(), 2);
}

#[test]
fn somebody_who_logged_in_before_they_were_provisioned_stays_in() {
    let directory = directory();
    logs_in(&directory, RULES, "alice");
    create(&directory, ALICE, r#"{"userName":"alice"}"#);
    assert_eq!(commands(&directory), [of("alice", Provision)]);
}

#[test]
fn a_post_of_somebody_who_exists_with_active_false_puts_them_out_and_is_refused() {
    let directory = with_alice();
    let refused = Some(Err(ScimError::Uniqueness));
    let event_count = |directory: &Directory| directory.waiting().expect("reads").len();
    let before = event_count(&directory);
    let body = r#"{"userName":"ALICE","title":"t"}"#;
    assert_eq!(create(&directory, BOB, body), refused);
    assert_eq!(
        (commands(&directory), event_count(&directory)),
        (vec![], before)
    );
    let body = r#"{"userName":"ALICE","title":"t","active":"False"}"#;
    let call = CreateUser {
        id: BOB,
        body: body.into(),
    };
    let first = answer(&directory, RULES, call).expect("is answered");
    assert_eq!(
        wire::decode::<UserReply>(&first.bytes),
        Ok(Err(ScimError::Uniqueness))
    );
    let out = [of("alice", Disable(Cause::ScimDeactivated))];
    assert_eq!(commands(&directory), out);
    // The answer waits for it, and nothing but `active` has changed.
    let waits_for = directory.pending(first.concerns).expect("reads");
    assert_eq!(waits_for.len(), 1);
    let user = super::ask(
        &directory,
        portcullis_core::scim::call::GetUser { id: ALICE },
    );
    let user: serde_json::Value =
        serde_json::from_str(&user.expect("answers").expect("there")).expect("JSON");
    assert_eq!(
        (&user["active"], &user["userName"]),
        (&false.into(), &"alice".into())
    );
    assert!(user.get("title").is_none());
    // Again, it is out already.
    assert_eq!(create(&directory, BOB, body), refused);
    assert_eq!(commands(&directory), out);
    // Whoever only shares the address, or an id of the provider's, is not put out by it.
    let directory = super::directory();
    create_under(&directory, BY_WORK, ALICE, &work("u1", "a@x.example")).expect("is created");
    let body = r#"{"userName":"u2","externalId":"u1","active":false,"emails":[{"value":"a@x.example","type":"work"}]}"#;
    assert_eq!(
        create_under(&directory, BY_WORK, BOB, body),
        Err(ScimError::Uniqueness)
    );
    assert_eq!(commands(&directory), []);
}

#[test]
fn a_directory_keeps_to_the_matching_that_it_was_filled_under() {
    let directory = directory();
    // Nobody is provisioned yet.
    logs_in(&directory, EXACT, "x");
    create(&directory, ALICE, r#"{"userName":"alice"}"#);
    let events = directory.waiting().expect("reads").len();
    for other in [EXACT, BY_WORK] {
        let refused = create_under(&directory, other, BOB, r#"{"userName":"bob"}"#);
        assert_eq!(refused, Err(ScimError::OtherMatching));
        let refused = patch(&directory, other, ALICE, "active", "false");
        assert_eq!(refused, Err(ScimError::OtherMatching));
        assert!(answer(&directory, other, login(subject("alice"), "alice")).is_err());
        let call = changing(ALICE, UserChange::Delete);
        let warned = answer(&directory, other, call).expect("is answered");
        assert!(warned.warning.is_some() && !warned.changed);
    }
    assert_eq!(
        (
            commands(&directory),
            directory.waiting().expect("reads").len()
        ),
        (vec![], events)
    );
    // Also after the last of them has gone: what they stood for is kept out under it.
    assert_eq!(delete(&directory, ALICE), Some(Ok(())));
    let again = DirectoryService::new(directory.into_sql(), NAMING_KEY);
    let refused = create_under(&again, BY_WORK, BOB, r#"{"userName":"bob"}"#);
    assert_eq!(refused, Err(ScimError::OtherMatching));
    create(&again, BOB, r#"{"userName":"bob"}"#)
        .expect("answers")
        .expect("is created");
    // Another policy is no other matching.
    let nothing = Rules {
        group_changes: GroupPolicy::Nothing,
        ..RULES
    };
    patch(&again, nothing, BOB, "title", r#""t""#).expect("is changed");
}

#[test]
fn a_lost_role_ends_sessions_a_gained_one_is_told_and_by_nothing_both_are() {
    let gain = r#"[{"value":"reader"},{"value":"writer"}]"#;
    let lose = r#"[{"value":"reader"}]"#;
    for (policy, gained, lost) in [
        (
            GroupPolicy::Automatic,
            Provision,
            ProvisionAndEnd(Cause::ScimRoleLost),
        ),
        (
            GroupPolicy::ReauthenticateOnGroupChange,
            ProvisionAndEnd(Cause::ScimGroupsChanged),
            ProvisionAndEnd(Cause::ScimGroupsChanged),
        ),
        (GroupPolicy::Nothing, Provision, Provision),
    ] {
        let rules = Rules {
            group_changes: policy,
            ..RULES
        };
        let directory = with_alice();
        logs_in(&directory, rules, "alice");
        patch(&directory, rules, ALICE, "roles", gain).expect("is changed");
        assert_eq!(commands(&directory), [of("alice", gained)], "{policy:?}");
        let told = Some(vec!["reader".to_owned(), "writer".to_owned()]);
        assert_eq!(roles_told(&directory, "alice"), told);
        patch(&directory, rules, ALICE, "roles", lose).expect("is changed");
        assert_eq!(commands(&directory)[1..], [of("alice", lost)], "{policy:?}");
        assert_eq!(
            roles_told(&directory, "alice"),
            Some(vec!["reader".to_owned()])
        );
        patch(&directory, rules, ALICE, "title", r#""t""#).expect("is changed");
        assert_eq!(commands(&directory).len(), 2);
        // Deactivation is no change of groups, whatever the policy says of those.
        patch(&directory, rules, ALICE, "active", "false").expect("is changed");
        let out = [of("alice", Disable(Cause::ScimDeactivated))];
        assert_eq!(commands(&directory)[2..], out);
    }
    // Who never logged in has nothing to be told, and something to lose all the same: a token of the provider's own.
    let directory = with_alice();
    set(&directory, "roles", gain);
    set(&directory, "roles", lose);
    assert_eq!(
        commands(&directory),
        [of("alice", End(Cause::ScimRoleLost))]
    );
}

#[test]
fn who_is_let_in_again_is_told_what_changed_meanwhile() {
    let directory = with_alice();
    logs_in(&directory, RULES, "alice");
    set(&directory, "active", "false");
    set(&directory, "roles", r#"[{"value":"r"}]"#);
    set(&directory, "active", "true");
    assert_eq!(
        commands(&directory),
        [
            of("alice", Disable(Cause::ScimDeactivated)),
            of("alice", Provision),
            of("alice", Reactivate),
        ]
    );
}

#[test]
fn a_log_in_is_told_later_than_any_push_before_and_earlier_than_any_after() {
    let directory = with_alice();
    let version = |seen| match seen {
        SeenLogin::Provisioned(says) => says.version,
        _ => 0,
    };
    let first = version(logs_in(&directory, RULES, "alice"));
    set(&directory, "roles", r#"[{"value":"r"}]"#);
    let pushed = directory.pending(None).expect("reads")[0].version;
    let second = version(logs_in(&directory, RULES, "alice"));
    assert!(0 < first && first < pushed && pushed < second);
    // Whom SCIM does not know, it says nothing of.
    assert_eq!(logs_in(&directory, RULES, "bob"), SeenLogin::Seen);
    assert_eq!(delete(&directory, ALICE), Some(Ok(())));
    assert_eq!(logs_in(&directory, RULES, "alice"), SeenLogin::Seen);
}

#[test]
fn a_seat_is_held_from_the_first_log_in_until_deprovisioned() {
    let directory = with_alice();
    assert_eq!(seats(&directory), 0);
    logs_in(&directory, RULES, "alice");
    logs_in(&directory, RULES, "ALICE");
    logs_in(&directory, RULES, "bob");
    assert_eq!(seats(&directory), 2);
    let holds = |value: &str| {
        let find = FindPerson {
            subject: subject(value),
        };
        under(&directory, RULES, find).is_some_and(|person| person.seat)
    };
    set(&directory, "active", "false");
    assert_eq!(
        (seats(&directory), holds("alice"), holds("bob")),
        (1, false, true)
    );
    // A log-in that will be refused takes none, and neither does a reactivation.
    logs_in(&directory, RULES, "alice");
    set(&directory, "active", "true");
    assert_eq!(seats(&directory), 1);
    logs_in(&directory, RULES, "alice");
    assert_eq!((seats(&directory), holds("alice")), (2, true));
    set(&directory, "userName", r#""alicia""#);
    assert_eq!(seats(&directory), 1);
    logs_in(&directory, RULES, "alicia");
    assert_eq!(delete(&directory, ALICE), Some(Ok(())));
    assert_eq!((seats(&directory), holds("bob")), (1, true));
}

#[test]
fn a_change_of_whatever_kind_is_stored_whole_or_not_at_all() {
    let out = r#"{"userName":"alice","active":false}"#;
    let renamed =
        |directory: &Directory| set(directory, "userName", r#""bob""#).map(|reply| reply.is_ok());
    let posted = |directory: &Directory| {
        let refused = create(directory, BOB, out)?;
        Some(refused == Err(ScimError::Uniqueness))
    };
    let roles = |directory: &Directory| set(directory, "roles", "[]").map(|reply| reply.is_ok());
    let steps: [&Step; 3] = [&renamed, &posted, &roles];
    for (n, change) in steps.into_iter().enumerate() {
        let before = || {
            let directory = with_alice();
            set(&directory, "roles", r#"[{"value":"r"}]"#);
            logs_in(&directory, RULES, "alice");
            logs_in(&directory, RULES, "bob");
            directory
        };
        let state = |directory: &Directory| {
            let find = |name: &str| {
                let find = FindPerson {
                    subject: subject(name),
                };
                under(directory, RULES, find)
            };
            let user = super::ask(
                directory,
                portcullis_core::scim::call::GetUser { id: ALICE },
            );
            let events = directory.waiting().expect("reads").len();
            (
                commands(directory),
                seats(directory),
                user,
                [find("alice"), find("bob")],
                events,
            )
        };
        let whole = {
            let directory = before();
            assert_eq!(change(&directory), Some(true));
            state(&directory)
        };
        let none = state(&before());
        for nth in 0.. {
            let mut unused = false;
            for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
                let directory = before();
                directory.sql().fail_nth(nth, fault);
                let reply = change(&directory);
                unused |= directory.sql().heal();
                let stored = state(&directory);
                assert!(
                    stored == whole || stored == none,
                    "{n}: call {nth}, {fault:?}"
                );
                assert!(
                    reply.is_none() || stored == whole,
                    "acknowledged and not stored"
                );
                assert_eq!(change(&directory), Some(true), "{n}: call {nth}, {fault:?}");
                assert_eq!(state(&directory).0, whole.0, "{n}: call {nth}, {fault:?}");
            }
            if unused {
                assert!(nth >= 8, "the change made {nth} storage calls");
                break;
            }
        }
    }
}
