//! A directory and its subjects, with changes, log-ins and deliveries in any order, lost confirmations, old
//! messages that arrive again late, and restarts.
//!
//! Whatever comes: when a change of a user is acknowledged, whoever it put out is out; when all is delivered, who
//! may log in and what is known of their groups is as the directory has it; and no older message undoes that.

use super::jobs::{change, difference, make_group};
use super::{NAMING_KEY, RULES, changing, subject};
use crate::objects::directory::command::About;
use crate::objects::directory::delivery::Walk;
use crate::objects::directory::service::DirectoryService;
use crate::objects::host_sql::HostSql;
use crate::objects::sql::Sql;
use crate::objects::subject::service::SubjectService;
use portcullis_core::audit::event::RequestFacts;
use portcullis_core::id::{GrantId, ProducerId, SessionId, SubjectKey};
use portcullis_core::registry::{SeeLogin, SeenLogin};
use portcullis_core::scim::call::{CreateUser, DirectoryCall, UserChange};
use portcullis_core::scim::change::{GroupChange, GroupPolicy};
use portcullis_core::scim::user::UserId;
use portcullis_core::secret::Digest;
use portcullis_core::session::call::{SubjectCall, SubjectRequest};
use portcullis_core::session::login::{ClientRequest, Login, LoginReply};
use portcullis_core::session::provision::Provisioned;
use portcullis_core::session::{Profile, Upstream};
use portcullis_core::time::UnixMillis;
use portcullis_core::wire::{self, Call};
use proptest::prelude::*;
use std::collections::BTreeMap;

const NAMES: [&str; 3] = ["a", "b", "c"];
const PRODUCER: ProducerId = ProducerId::from_bytes([2; 16]);
const START: UnixMillis = UnixMillis(1_700_000_000_000);

#[derive(Clone, Debug)]
enum Step {
    /// A user of that number, under that name, active or not.
    Create(u8, usize, bool),
    /// It gets that name.
    Rename(u8, usize),
    /// It is active, or not.
    Activate(u8, bool),
    /// It has a role, or none.
    Role(u8, bool),
    Delete(u8),
    /// These come into the group, and these leave it.
    Members(Vec<u8>, Vec<u8>),
    /// Somebody sets out to log in, is seen, and begins a session.
    SetOut(usize),
    See,
    Begin,
    /// What is pending is sent: so much of it, and confirmed or not.
    Deliver(u8, bool),
    /// An old message arrives again, or for the first time.
    Late(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let user = 1..=3u8;
    let users = || prop::collection::vec(1..=3u8, 0..3);
    prop_oneof![
        3 => (user.clone(), 0..3usize, any::<bool>()).prop_map(|(n, name, active)| Step::Create(n, name, active)),
        2 => (user.clone(), 0..3usize).prop_map(|(n, name)| Step::Rename(n, name)),
        4 => (user.clone(), any::<bool>()).prop_map(|(n, active)| Step::Activate(n, active)),
        1 => (user.clone(), any::<bool>()).prop_map(|(n, has)| Step::Role(n, has)),
        1 => user.prop_map(Step::Delete),
        3 => (users(), users()).prop_map(|(added, removed)| Step::Members(added, removed)),
        3 => (0..3usize).prop_map(Step::SetOut),
        3 => Just(Step::See),
        3 => Just(Step::Begin),
        3 => (1..4u8, any::<bool>()).prop_map(|(n, confirms)| Step::Deliver(n, confirms)),
        2 => any::<u8>().prop_map(Step::Late),
        1 => Just(Step::Restart),
    ]
}

/// Somebody on their way in.
struct Arrival {
    name: usize,
    begun_at: UnixMillis,
    seen: Option<SeenLogin>,
}

/// What a log-in was told of groups and roles.
fn said(seen: SeenLogin) -> Option<Provisioned> {
    match seen {
        SeenLogin::Provisioned(says) => Some(says),
        _ => None,
    }
}

struct World {
    directory: DirectoryService<HostSql>,
    subjects: BTreeMap<SubjectKey, SubjectService<HostSql>>,
    /// Everything that was ever sent to a subject.
    sent: Vec<(SubjectKey, SubjectRequest)>,
    arrivals: Vec<Arrival>,
    now: UnixMillis,
    sessions: u8,
}

impl World {
    fn new() -> Self {
        let directory = DirectoryService::new(HostSql::new(), NAMING_KEY);
        assert!(directory.is_settled().expect("migrates"));
        make_group(&directory);
        Self {
            directory,
            subjects: NAMES
                .map(|name| (subject(name), SubjectService::new(HostSql::new())))
                .into(),
            sent: Vec::new(),
            arrivals: Vec::new(),
            now: START,
            sessions: 0,
        }
    }

    /// The reply to a call now.
    fn ask<C>(&self, call: C) -> C::Reply
    where
        C: Call<Request = portcullis_core::scim::call::DirectoryRequest>,
    {
        let call = DirectoryCall {
            connection: "demo".into(),
            base: String::new(),
            rules: RULES,
            request: RequestFacts::default(),
            operation: call.into_request(),
            secret: None,
        };
        let answer = self
            .directory
            .answer(call, self.now, PRODUCER)
            .expect("is answered");
        wire::decode(&answer.bytes).expect("decodes")
    }

    fn tell(&mut self, to: SubjectKey, request: SubjectRequest) {
        let call = SubjectCall {
            subject: to,
            revoked: vec![],
            request: request.clone(),
        };
        let person = self.subjects.get(&to).expect("one of the names");
        person.answer(call, self.now, PRODUCER).expect("commits");
        self.sent.push((to, request));
    }

    /// Sends so many commands, in the order in which they are sent.
    fn deliver(&mut self, most: usize, confirms: bool) -> usize {
        let mut walk = Walk::default();
        let mut sent = 0;
        while sent < most {
            let Some(pending) = walk
                .next(&self.directory, |_| false, self.now)
                .expect("reads")
            else {
                break;
            };
            for request in self.directory.requests(&pending, "demo").expect("reads") {
                self.tell(pending.subject, request);
            }
            if confirms {
                self.directory
                    .confirm(pending.version, self.now)
                    .expect("stores");
                walk.confirmed(&pending);
            }
            sent += 1;
        }
        sent
    }

    /// A change of that user is acknowledged: what concerns it has been sent and confirmed, as its request does.
    fn acknowledged(&mut self, n: u8) {
        let about = Some(About::User(UserId::from_bytes([n; 16])));
        for pending in self.directory.pending(about).expect("reads") {
            for request in self.directory.requests(&pending, "demo").expect("reads") {
                self.tell(pending.subject, request);
            }
            self.directory
                .confirm(pending.version, self.now)
                .expect("stores");
        }
        self.nobody_is_in_who_is_out();
    }

    fn change(&mut self, n: u8, change: UserChange) {
        let id = UserId::from_bytes([n; 16]);
        let before = self.names();
        if self.ask(changing(id, change)).is_ok() {
            self.acknowledged(n);
            // Who had a name that is nobody's now is out, too.
            for name in before
                .keys()
                .filter(|name| !self.names().contains_key(*name))
            {
                assert_eq!(self.live(name), 0, "{name} was given up");
            }
        }
    }

    fn patch(&mut self, n: u8, path: &str, value: &str) {
        let body =
            format!(r#"{{"Operations":[{{"op":"replace","path":"{path}","value":{value}}}]}}"#);
        self.change(n, UserChange::Patch(body));
    }

    /// Names that are users', and whether those are active.
    fn names(&self) -> BTreeMap<String, bool> {
        let rows = self
            .directory
            .sql()
            .exec("SELECT matched, active FROM user", &[]);
        let rows = rows.expect("reads");
        rows.iter()
            .map(|row| {
                (
                    row.text(0).expect("a name").to_owned(),
                    row.integer(1) == Ok(1),
                )
            })
            .collect()
    }

    fn live(&self, name: &str) -> usize {
        let person = self.subjects.get(&subject(name)).expect("one of the names");
        person.live_sessions(&[], self.now).expect("reads").len()
    }

    /// Of those whose deactivation was acknowledged and to whom nothing is on its way.
    fn nobody_is_in_who_is_out(&self) {
        let busy: Vec<SubjectKey> = self
            .directory
            .pending(None)
            .expect("reads")
            .iter()
            .map(|one| one.subject)
            .collect();
        for (name, active) in self.names() {
            if !active && !busy.contains(&subject(&name)) {
                assert_eq!(self.live(&name), 0, "{name} is not active");
            }
        }
    }

    /// What the subject knows of groups and roles.
    fn knows(&self, name: &str) -> Option<(Vec<String>, Vec<String>)> {
        let person = self.subjects.get(&subject(name)).expect("one of the names");
        let rows = person
            .sql()
            .exec("SELECT names FROM provisioned", &[])
            .ok()?;
        let names = rows.first()?.blob(0).expect("bytes").to_vec();
        Some(wire::decode(&names).expect("decodes"))
    }

    fn take(&mut self, step: &Step) {
        self.now = self.now.plus_secs(1);
        match step {
            Step::Create(n, name, active) => {
                let (id, name) = (UserId::from_bytes([*n; 16]), NAMES[*name]);
                let is_free = self.names().len() < 3
                    && self
                        .directory
                        .sql()
                        .exec("SELECT 1 FROM user WHERE id = ?", &[id.as_bytes().into()])
                        .expect("reads")
                        .is_empty();
                let existed = self.names().contains_key(name);
                if is_free || existed {
                    let body = format!(r#"{{"userName":"{name}","active":{active}}}"#);
                    let made = self.ask(CreateUser { id, body });
                    assert_eq!(made.is_err(), existed);
                    // Whoever it was refused because of.
                    for n in 1..=3 {
                        self.acknowledged(n);
                    }
                    assert!(
                        *active || self.live(name) == 0,
                        "{name} was said not to be active"
                    );
                }
            }
            Step::Rename(n, name) => self.patch(*n, "userName", &format!("{:?}", NAMES[*name])),
            Step::Activate(n, active) => self.patch(*n, "active", &active.to_string()),
            Step::Role(n, has) => {
                let roles = if *has { r#"[{"value":"r"}]"# } else { "[]" };
                self.patch(*n, "roles", roles);
            }
            Step::Delete(n) => self.change(*n, UserChange::Delete),
            Step::Members(added, removed) => {
                let there = |n: &&u8| {
                    let id = UserId::from_bytes([**n; 16]);
                    let member = "SELECT (SELECT count(*) FROM user WHERE id = ?), \
                         (SELECT count(*) FROM member WHERE user = ?)";
                    let values = [id.as_bytes().into(), id.as_bytes().into()];
                    let rows = self.directory.sql().exec(member, &values).expect("reads");
                    (rows[0].integer(0) == Ok(1), rows[0].integer(1) == Ok(1))
                };
                // Of what is said, what changes something.
                let added: Vec<u8> = added
                    .iter()
                    .filter(|n| there(n) == (true, false))
                    .copied()
                    .collect();
                let removed: Vec<u8> = removed
                    .iter()
                    .filter(|n| there(n) == (true, true))
                    .copied()
                    .collect();
                let change_of = GroupChange::Members(difference(&added, &removed));
                change(
                    &self.directory,
                    GroupPolicy::Automatic,
                    &change_of,
                    self.now,
                )
                .expect("stores");
            }
            Step::SetOut(name) => self.arrivals.push(Arrival {
                name: *name,
                begun_at: self.now,
                seen: None,
            }),
            Step::See => self.see(),
            Step::Begin => self.begin(),
            Step::Deliver(n, confirms) => {
                self.deliver(usize::from(*n), *confirms);
            }
            Step::Late(n) => {
                if !self.sent.is_empty() {
                    let (to, request) = self.sent[usize::from(*n) % self.sent.len()].clone();
                    self.tell(to, request);
                }
            }
            Step::Restart => {
                let sql = std::mem::replace(
                    &mut self.directory,
                    DirectoryService::new(HostSql::new(), NAMING_KEY),
                )
                .into_sql();
                self.directory = DirectoryService::new(sql, NAMING_KEY);
            }
        }
        self.nobody_is_in_who_is_out();
    }

    fn see(&mut self) {
        let Some(at) = self
            .arrivals
            .iter()
            .position(|arrival| arrival.seen.is_none())
        else {
            return;
        };
        let name = NAMES[self.arrivals[at].name];
        let login = SeeLogin {
            subject: subject(name),
            value: name.into(),
            upstream: Upstream::default(),
            flow_begun_at: self.arrivals[at].begun_at,
            profile: Profile::default(),
            groups: vec![],
        };
        self.arrivals[at].seen = Some(self.ask(login));
    }

    fn begin(&mut self) {
        let Some(at) = self
            .arrivals
            .iter()
            .position(|arrival| arrival.seen.is_some())
        else {
            return;
        };
        let arrival = self.arrivals.remove(at);
        self.sessions += 1;
        let login = Login {
            session: SessionId::from_bytes([self.sessions; 16]),
            grant: GrantId::from_bytes([self.sessions; 16]),
            connection: "demo".into(),
            flow_begun_at: arrival.begun_at,
            auth_time_secs: arrival.begun_at.secs(),
            acr: None,
            groups: vec![],
            roles: vec![],
            claims: vec![],
            upstream: Upstream::default(),
            profile: Profile::default(),
            client: ClientRequest {
                client_id: "app".into(),
                redirect_uri: "http://127.0.0.1/cb".into(),
                code_challenge: "challenge".into(),
                nonce: None,
                scope: "openid".into(),
                audiences: vec![],
                dpop_jkt: None,
            },
            announce_end: false,
            allowed: false,
            code: Digest::of(&[self.sessions]),
            request: RequestFacts::default(),
            provisioned: arrival.seen.and_then(said),
        };
        let key = subject(NAMES[arrival.name]);
        let person = self.subjects.get(&key).expect("one of the names");
        // Begun, too late, or kept out: the subject says.
        let _: LoginReply = person
            .run(key, &[], login, self.now, PRODUCER)
            .expect("stores");
    }

    /// All is delivered, whatever failed before.
    fn settle(&mut self) {
        self.now = self.now.plus_secs(600);
        while self.deliver(usize::MAX, true) > 0 {}
        assert_eq!(self.directory.next_due(), Ok(None));
    }

    /// Everything is as the directory has it.
    fn agrees(&mut self) {
        let names = self.names();
        for (at, name) in NAMES.into_iter().enumerate() {
            let held = "SELECT 1 FROM held_subject WHERE subject = ?";
            let values = [subject(name).as_bytes().into()];
            let is_held = !self
                .directory
                .sql()
                .exec(held, &values)
                .expect("reads")
                .is_empty();
            if is_held {
                assert_eq!(self.live(name), 0, "{name} is kept out");
                assert_ne!(
                    names.get(name),
                    Some(&true),
                    "{name} is active and kept out"
                );
            } else if names.contains_key(name) {
                assert_eq!(
                    names.get(name),
                    Some(&true),
                    "{name} is let in and not active"
                );
            }
            // A log-in that sets out now says which.
            let before = self.live(name);
            self.now = self.now.plus_secs(1);
            self.arrivals.clear();
            self.arrivals.push(Arrival {
                name: at,
                begun_at: self.now,
                seen: None,
            });
            self.now = self.now.plus_secs(1);
            self.see();
            let says = self.arrivals[0].seen.clone().and_then(said);
            // Whoever has a session knows what they would be told now.
            if let (Some(says), true) = (&says, before > 0) {
                let told = (says.groups.clone(), says.roles.clone());
                let known = self.knows(name).unwrap_or_default();
                assert_eq!(known, told, "{name}");
            }
            self.begin();
            assert_eq!(self.live(name) > before, !is_held, "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nobody_who_is_out_stays_in_and_no_newer_change_is_undone(
        steps in prop::collection::vec(step(), 1..60),
        late in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.settle();
        // Whatever was sent before arrives once more, in any order.
        for n in late {
            world.take(&Step::Late(n));
        }
        world.agrees();
    }
}

#[test]
fn a_log_in_that_was_seen_before_its_group_was_lost_does_not_bring_it_back() {
    let mut world = World::new();
    for step in [
        Step::Create(1, 0, true),
        Step::Members(vec![1], vec![]),
        Step::SetOut(0),
        Step::See,
        Step::Members(vec![], vec![1]),
        Step::Deliver(9, true),
        Step::SetOut(0),
        Step::Begin,
    ] {
        world.take(&step);
    }
    assert_eq!(world.live("a"), 0, "it set out before the end");
    assert_eq!(world.knows("a").map(|(groups, _)| groups), Some(vec![]));
}
