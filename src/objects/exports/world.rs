//! What the tests of exports have to do with: a lane, a bucket and an instance, each of which fails when told to.

use super::service::{Bounds, ExportsService};
use super::work::{Bucket, Source};
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::lane::archive_tests::FakeArchive;
use crate::objects::lane::tests::NOW;
use crate::objects::lane::tree_tests::{Lane, entries, lane_of, verifier};
use crate::objects::outbox;
use crate::objects::sql::SqlError;
use futures::FutureExt;
use portcullis_core::audit::call::{Answer, LaneRequest};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::export::call::{FetchFile, FindExport, RemoveExport, StartExport};
use portcullis_core::audit::export::job::{Asked, ExportId, Job, KEPT_MS, Phase};
use portcullis_core::audit::export::source::{Bytes, GetLines, Lines};
use portcullis_core::audit::export::verify::{Files, verify};
use portcullis_core::audit::export::write::{Writer, subtrees};
use portcullis_core::audit::export::{CHECKPOINT, EVENTS, MANIFEST, PROOFS};
use portcullis_core::audit::line::Line;
use portcullis_core::audit::log::edge::Edge;
use portcullis_core::audit::log::{Hash, leaf_hash};
use portcullis_core::audit::query::Filter;
use portcullis_core::session::revoke::IdempotencyKey;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire::{self, Call};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::pending;

pub const ISSUER: &str = "https://id.example";
/// So small that every few lines are a slice.
pub const SMALL: Bounds = Bounds {
    lines_bytes: 1500,
    enough_bytes: 1000,
    asked: 3,
    slices: 3,
};

pub type Exports = ExportsService<HostSql>;

/// A failure of the n-th call from now; or one that has no answer, until the instance is gone.
#[derive(Default)]
pub struct Plan(pub Cell<Option<(u32, Fault)>>, pub Cell<bool>);

impl Plan {
    fn due(&self) -> Option<Fault> {
        match self.0.get()? {
            (0, fault) => {
                self.0.set(None);
                Some(fault)
            }
            (nth, fault) => {
                self.0.set(Some((nth - 1, fault)));
                None
            }
        }
    }

    /// What comes of a call that does `done`.
    async fn call<T>(&self, done: impl FnOnce() -> T) -> Result<T, String> {
        let fault = self.due();
        let done = (fault != Some(Fault::NotPersisted)).then(done);
        if fault.is_some() && self.1.get() {
            pending::<()>().await;
        }
        done.filter(|_| fault.is_none())
            .ok_or_else(|| "injected".to_owned())
    }
}

#[derive(Default)]
pub struct FakeBucket {
    pub objects: RefCell<BTreeMap<String, Vec<u8>>>,
    pub plan: Plan,
}

impl Bucket for FakeBucket {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), String> {
        let put = || {
            self.objects.borrow_mut().insert(name.to_owned(), bytes);
        };
        self.plan.call(put).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, String> {
        let list = || {
            let objects = self.objects.borrow();
            let names = objects.keys().filter(|name| name.starts_with(prefix));
            names.take(3).cloned().collect()
        };
        self.plan.call(list).await
    }

    async fn delete(&self, names: Vec<String>) -> Result<(), String> {
        let delete = || {
            let mut objects = self.objects.borrow_mut();
            for name in &names {
                objects.remove(name);
            }
        };
        self.plan.call(delete).await
    }
}

pub struct FakeLane {
    pub lane: Lane,
    /// Lines before this one are not kept any more.
    pub kept_from: u64,
    pub archive: FakeArchive,
    pub plan: Plan,
}

impl Source for FakeLane {
    async fn ask<C: Call<Request = LaneRequest>>(&self, call: C) -> Result<C::Reply, String> {
        let answer = |request| match request {
            LaneRequest::Checkpoint(_) => {
                let signed = self.lane.checkpoint(&self.archive, NOW).now_or_never();
                let signed = signed.expect("the archive answers at once");
                Ok(wire::encode(&signed.expect("answers")).expect("encodes"))
            }
            LaneRequest::Lines(asked) if asked.end <= self.kept_from => {
                let first = self.kept_from;
                let lines = Bytes::default();
                let none: Answer<Option<Lines>> = Ok(Some(Lines { first, lines }));
                Ok(wire::encode(&none).expect("encodes"))
            }
            LaneRequest::Lines(mut asked) => {
                asked.first = asked.first.max(self.kept_from);
                self.lane.answer(LaneRequest::Lines(asked), NOW)
            }
            request => self.lane.answer(request, NOW),
        };
        let bytes = self.plan.call(|| answer(call.into_request())).await?;
        let bytes = bytes.map_err(|error| error.to_string())?;
        wire::decode(&bytes).map_err(|error| error.to_string())
    }
}

/// Everything that an export has to do with.
pub struct World {
    pub exports: Option<Exports>,
    pub lane: FakeLane,
    pub bucket: FakeBucket,
    pub now: UnixMillis,
}

impl World {
    pub fn new(lane: Lane) -> Self {
        let exports = ExportsService::new(HostSql::new(), ISSUER.to_owned()).within(SMALL);
        exports.ready().expect("migrates");
        Self {
            exports: Some(exports),
            lane: FakeLane {
                lane,
                kept_from: 0,
                archive: FakeArchive::default(),
                plan: Plan::default(),
            },
            bucket: FakeBucket::default(),
            now: NOW,
        }
    }

    pub fn exports(&self) -> &Exports {
        self.exports.as_ref().expect("there between restarts")
    }

    pub fn restart(&mut self) {
        self.exports = self.exports.take().map(Exports::restarted);
    }

    pub fn start(&self, asked: Asked) -> ExportId {
        let started = self.exports().start(start(asked, None), self.now);
        started.expect("answers").expect("begins").0
    }

    pub fn job(&self, id: ExportId) -> Option<Job> {
        self.exports().find(FindExport { id }).expect("answers")
    }

    /// One piece of work; false if there was none or it failed. What has no answer is waited for by nobody.
    pub fn step(&mut self) -> bool {
        let work = self.exports().work(&self.lane, &self.bucket, self.now);
        let worked = match work.now_or_never() {
            Some(worked) => worked,
            None if self.lane.plan.1.get() || self.bucket.plan.1.get() => {
                Err(SqlError::corrupt(""))
            }
            None => panic!("nothing is waited for"),
        };
        worked.unwrap_or_else(|_| {
            // The runtime may give up an instance whenever something fails.
            self.restart();
            true
        })
    }

    /// Works until the job is over, as the alarm does.
    pub fn finish(&mut self, id: ExportId) -> Job {
        for _ in 0..10_000 {
            let job = self.job(id).expect("the job");
            if !job.is_unfinished() {
                return job;
            }
            let due = self.exports().next_due().expect("answers").expect("a job");
            self.now = self.now.max(due);
            self.step();
        }
        panic!("it takes too long");
    }

    /// Works until there is nothing to do before long.
    pub fn settle(&mut self) {
        while let Some(due) = self.exports().next_due().expect("answers") {
            if due.0 > self.now.0 + KEPT_MS / 2 {
                return;
            }
            self.now = self.now.max(due);
            self.step();
        }
    }

    pub fn remove(&self, id: ExportId) -> bool {
        let event = an_event();
        let removed = self.exports().remove(RemoveExport { id, event }, self.now);
        removed.expect("answers")
    }

    /// A file as it is downloaded.
    pub fn file(&self, id: ExportId, name: &str) -> Vec<u8> {
        let fetch = FetchFile {
            id,
            name: name.to_owned(),
            event: an_event(),
        };
        let parts = self.exports().fetch(fetch).expect("answers");
        let objects = self.bucket.objects.borrow();
        let mut file = Vec::new();
        for (number, bytes) in parts.expect("a file") {
            let part = &objects[&super::part_name(id, Some((name, number)))];
            assert_eq!(part.len() as u64, bytes);
            file.extend(part);
        }
        file
    }

    pub fn folder(&self, id: ExportId) -> BTreeMap<String, Vec<u8>> {
        let Some(Job {
            phase: Phase::Finished(finished),
            ..
        }) = self.job(id)
        else {
            panic!("{:?}", self.job(id));
        };
        let names = finished.files.into_iter().map(|file| file.name);
        names
            .map(|name| (name.clone(), self.file(id, &name)))
            .collect()
    }

    /// What the outbox says, as reasons.
    pub fn told(&self) -> Vec<String> {
        let packs = outbox::waiting(self.exports().sql()).expect("reads");
        let events = packs.into_iter().flat_map(|pack| pack.events);
        events.filter_map(|event| event.reason).collect()
    }
}

pub fn an_event() -> Event {
    let actor = Actor::Operator("auditor".to_owned());
    Event::new(NOW, Action::AuditExported, Outcome::Success, actor)
}

pub fn start(asked: Asked, idempotency: Option<IdempotencyKey>) -> StartExport {
    StartExport {
        asked,
        by: "auditor".to_owned(),
        idempotency,
        event: an_event(),
    }
}

pub fn kills_only() -> Filter {
    Filter {
        action: Some(Action::Kill),
        ..Filter::default()
    }
}

/// Lines and proofs as the command line writes them.
pub fn by_hand(
    world: &World,
    all: &[Vec<u8>],
    first: u64,
    end: u64,
    filter: Option<&Filter>,
) -> [Vec<u8>; 2] {
    let root = |height: u8, number: u64| -> Hash {
        let from = usize::try_from(number << height).expect("small");
        let mut edge = Edge::empty();
        for line in &all[from..from + (1 << height)] {
            edge.append(leaf_hash(line), &mut Vec::new());
        }
        edge.head().root
    };
    let mut edge = Edge::empty();
    for line in all {
        edge.append(leaf_hash(line), &mut Vec::new());
    }
    let key = verifier(&world.lane.lane);
    let size = all.len() as u64;
    let writer = Writer::begin(Vec::new(), Vec::new(), key.origin().as_str(), size);
    let mut writer = writer.expect("writes");
    for (height, number) in subtrees(0, first) {
        writer.others(height, root(height, number)).expect("fits");
    }
    for index in first..end {
        let line = &all[usize::try_from(index).expect("small")];
        let text = std::str::from_utf8(line).expect("text");
        let parsed = Line::parse(text).expect("a line");
        if filter.is_none_or(|filter| filter.matches(&parsed)) {
            writer.line(line).expect("fits");
        } else {
            writer.others(0, leaf_hash(line)).expect("fits");
        }
    }
    for (height, number) in subtrees(end, size) {
        writer.others(height, root(height, number)).expect("fits");
    }
    let (_, events, proofs) = writer.finish(&edge.head()).expect("the tree");
    [events, proofs]
}

#[track_caller]
pub fn expect_good(world: &World, folder: &BTreeMap<String, Vec<u8>>) {
    let files = Files {
        manifest: &folder[MANIFEST],
        checkpoint: &folder[CHECKPOINT],
        events: &*folder[EVENTS],
        proofs: &*folder[PROOFS],
    };
    let key = verifier(&world.lane.lane);
    let report = verify(files, &key, &mut |_| ()).expect("reads");
    assert!(report.is_good(), "{:?}", report.faults);
}

/// A lane of lines of which some are kills; `entries` adds what it reads.
pub fn mixed(lines: u64) -> (Lane, Vec<Vec<u8>>) {
    let lane = lane_of(lines, 4);
    // That somebody reads them is in the log too, behind them.
    let _ = entries(&lane);
    let all = entries(&lane);
    // The reading of those is not among them; the checkpoint has it.
    let mut whole = all;
    whole.extend(last_lines(&lane, whole.len() as u64));
    (lane, whole)
}

/// Lines as exports get them, from an index on.
pub fn last_lines(lane: &Lane, first: u64) -> Vec<Vec<u8>> {
    let mut end = first;
    let mut found = Vec::new();
    loop {
        let asked = GetLines {
            first: end,
            end: end + 1,
            max_bytes: 0,
        };
        let Some(lines) = lane.lines(asked).expect("answers").expect("a tree") else {
            return found;
        };
        found.push(lines.lines.0.strip_suffix(b"\n").expect("a feed").to_vec());
        end += 1;
    }
}
