//! An export as a job of the service: what was asked, how far it is, and what becomes of it.
//!
//! ```text
//! waiting ── begun ──> running ── finished ──> finished ── after 7 days, or removed ──┐
//!    └────────────────────┴── failed ──> failed ── after 7 days, or removed ──> removing ──> gone
//! ```
//!
//! What goes wrong and may be better the next time is tried again, later each time; what is wrong for good, or has
//! been wrong for a day, ends the job. A job that is over for whatever reason but success leaves no file.
//!
//! Out of scope: how the files are made ([`super::make`]) and where they lie.

use super::make::Unfinished;
use super::manifest::{Entry, Kind, Range, Stated, Wanted};
use super::source::Bytes;
use super::view::Format;
use crate::audit::event::{Action, Actor, Event, Outcome};
use crate::audit::query::Filter;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// How long files are there, and what is known of a job that failed.
pub const KEPT_MS: u64 = 7 * 24 * 3600 * 1000;
/// How long something that does not work is tried.
pub const PATIENCE_MS: u64 = 24 * 3600 * 1000;
/// The first wait before it is tried again; each is twice the one before.
const FIRST_WAIT_MS: u64 = 1000;
/// The longest.
const LONGEST_WAIT_MS: u64 = 5 * 60 * 1000;
/// The most jobs that are not over.
pub const MAX_UNFINISHED: u64 = 20;

/// Which job: when it was asked for, in milliseconds, or a little later if that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExportId(pub u64);

impl ExportId {
    /// As in URLs and answers.
    #[must_use]
    pub fn to_text(self) -> String {
        format!("exp_{}", self.0)
    }

    /// Reads the text form back.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let number = text.strip_prefix("exp_")?.parse().ok()?;
        Some(Self(number)).filter(|id| id.to_text() == text && number < 1 << 53)
    }
}

/// Where lines begin or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound {
    /// At this index.
    Index(u64),
    /// At the first line that was committed then or later.
    Committed(UnixMillis),
}

impl Bound {
    /// As it was written.
    #[must_use]
    pub fn to_text(self) -> String {
        match self {
            Self::Index(index) => index.to_string(),
            Self::Committed(at) => at.to_rfc3339(),
        }
    }
}

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// From there on; `None`: from the first line that is kept.
    pub from: Option<Bound>,
    /// Until before that; `None`: all that there is when the job begins.
    pub to: Option<Bound>,
    /// Which of those; `None`: all.
    pub filter: Option<Filter>,
    /// In this format too.
    pub format: Format,
}

impl Asked {
    /// The filter as manifests have it.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        self.filter.as_ref().map(|filter| Wanted {
            subject: filter.subject.map(|subject| subject.to_string()),
            action: filter.action.map(|action| action.as_str().to_owned()),
            outcome: filter.outcome.map(|outcome| outcome.as_str().to_owned()),
            occurred_from: filter.from.map(UnixMillis::to_rfc3339),
            occurred_to: filter.to.map(UnixMillis::to_rfc3339),
        })
    }

    /// What its lines prove together.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.filter {
            Some(_) => Kind::Filtered,
            None => Kind::Whole,
        }
    }

    /// What an event says of it.
    fn said(&self) -> Vec<(String, String)> {
        let filter = self.wanted().unwrap_or_default();
        let said = [
            ("from", self.from.map(Bound::to_text)),
            ("to", self.to.map(Bound::to_text)),
            ("subject", filter.subject),
            ("action", filter.action),
            ("outcome", filter.outcome),
            ("format", Some(self.format.as_str().to_owned())),
        ];
        let said = said.into_iter();
        said.filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What was asked.
    pub asked: Asked,
    /// Who asked, by their role.
    pub by: String,
    /// When.
    pub created: UnixMillis,
    /// How far it is.
    pub phase: Phase,
    /// What does not work at present.
    pub trouble: Option<Trouble>,
}

/// How far a job is. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing was done.
    Waiting,
    /// It rests on a checkpoint, and a part is done.
    Running(Run),
    /// The files are there.
    Finished(Finished),
    /// It was given up.
    Failed(Failed),
    /// Its files are being taken away; then it is gone.
    Removing,
}

/// What is known of a job that is being done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The log's public key.
    pub vkey: String,
    /// The signed note.
    pub checkpoint: Bytes,
    /// Which indexes are looked at.
    pub scan: Range,
    /// The first line that was not looked at.
    pub next: u64,
    /// How many lines were taken.
    pub lines: u64,
    /// How many slices were made.
    pub slices: u64,
    /// What must be known to go on.
    pub made: Unfinished,
}

/// What is known of one that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// When.
    pub at: UnixMillis,
    /// What it rests on.
    pub checkpoint: Stated,
    /// Which indexes were looked at.
    pub scan: Range,
    /// How many lines were taken.
    pub lines: u64,
    /// The files.
    pub files: Vec<Entry>,
}

/// What is known of one that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// When.
    pub at: UnixMillis,
    /// Why.
    pub reason: String,
    /// Whether its files are gone.
    pub swept: bool,
}

/// Something that does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Since when.
    pub since: UnixMillis,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried again.
    pub again: UnixMillis,
    /// What it is.
    pub why: String,
}

impl Job {
    /// A new one.
    #[must_use]
    pub const fn new(asked: Asked, by: String, created: UnixMillis) -> Self {
        Self {
            asked,
            by,
            created,
            phase: Phase::Waiting,
            trouble: None,
        }
    }

    /// Whether something is still to be made.
    #[must_use]
    pub const fn is_unfinished(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Running(_))
    }

    /// When there is something to do about it.
    #[must_use]
    pub fn due(&self) -> UnixMillis {
        let after = |at: UnixMillis| UnixMillis(at.0 + KEPT_MS);
        match (&self.trouble, &self.phase) {
            (Some(trouble), _) => trouble.again,
            (None, Phase::Finished(finished)) => after(finished.at),
            (None, Phase::Failed(failed)) if failed.swept => after(failed.at),
            (None, _) => self.created,
        }
    }

    /// When its files, or what is known of it, will be gone.
    #[must_use]
    pub const fn expires(&self) -> Option<UnixMillis> {
        match &self.phase {
            Phase::Finished(Finished { at, .. }) | Phase::Failed(Failed { at, .. }) => {
                Some(UnixMillis(at.0 + KEPT_MS))
            }
            Phase::Waiting | Phase::Running(_) | Phase::Removing => None,
        }
    }

    /// Something was done: it is that far.
    #[must_use]
    pub fn is_at(self, phase: Phase) -> Self {
        Self {
            phase,
            trouble: None,
            ..self
        }
    }

    /// It cannot be made.
    #[must_use]
    pub fn fails(self, reason: String, at: UnixMillis) -> Self {
        self.is_at(Phase::Failed(Failed {
            at,
            reason,
            swept: false,
        }))
    }

    /// Something did not work. It is tried again later; what is to be made is given up when it has not worked for a
    /// day.
    #[must_use]
    pub fn has_trouble(self, why: String, now: UnixMillis) -> Self {
        let (since, tries) = match &self.trouble {
            Some(trouble) => (trouble.since, trouble.tries),
            None => (now, 0),
        };
        if self.is_unfinished() && now.0.saturating_sub(since.0) >= PATIENCE_MS {
            return self.fails(why, now);
        }
        let wait = FIRST_WAIT_MS << tries.min(16);
        let trouble = Trouble {
            since,
            tries: tries.saturating_add(1),
            again: UnixMillis(now.0 + wait.min(LONGEST_WAIT_MS)),
            why,
        };
        Self {
            trouble: Some(trouble),
            ..self
        }
    }

    /// The event of it: who asked for what, and what became of it.
    #[must_use]
    pub fn event(&self, id: ExportId, reason: &str, outcome: Outcome, now: UnixMillis) -> Event {
        let actor = Actor::Operator(self.by.clone());
        self.tells(
            Event::new(now, Action::AuditExported, outcome, actor),
            id,
            reason,
        )
    }

    /// The same of an event that says who calls.
    #[must_use]
    pub fn tells(&self, event: Event, id: ExportId, reason: &str) -> Event {
        let filter = self.asked.filter.as_ref();
        Event {
            reason: Some(reason.to_owned()),
            subject: filter.and_then(|filter| filter.subject),
            resource: Some(id.to_text()),
            claims: self.asked.said(),
            ..event
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn job() -> Job {
        Job::new(Asked::default(), "auditor".to_owned(), UnixMillis(1000))
    }

    fn failed(swept: bool) -> Job {
        let (at, reason) = (UnixMillis(1000), String::new());
        job().is_at(Phase::Failed(Failed { at, reason, swept }))
    }

    #[test]
    fn ids_round_trip_and_nothing_else_is_one() {
        let id = ExportId(1_700_000_000_000);
        assert_eq!(ExportId::from_text(&id.to_text()), Some(id));
        for other in ["exp_", "exp_01", "exp_-1", "job_1", "exp_9007199254740992"] {
            assert_eq!(ExportId::from_text(other), None, "{other}");
        }
    }

    #[test]
    fn what_was_asked_is_in_every_event() {
        let asked = Asked {
            from: Some(Bound::Index(3)),
            to: Some(Bound::Committed(UnixMillis(0))),
            filter: Some(Filter {
                action: Some(Action::Kill),
                ..Filter::default()
            }),
            format: Format::Csv,
        };
        let job = Job { asked, ..job() };
        let event = job.event(ExportId(7), "finished", Outcome::Success, UnixMillis(9));
        assert_eq!(event.resource.as_deref(), Some("exp_7"));
        let said: Vec<_> = event
            .claims
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        let expected = [
            "from=3",
            "to=1970-01-01T00:00:00.000Z",
            "action=kill",
            "format=csv",
        ];
        assert_eq!(said, expected);
        let logged = event.clone().bounded();
        assert_eq!(logged, event, "nothing of it looks like a credential");
    }

    #[test]
    fn what_failed_is_swept_at_once_and_known_for_a_week() {
        assert_eq!(failed(false).due(), UnixMillis(1000));
        assert_eq!(failed(true).due(), UnixMillis(1000 + KEPT_MS));
        assert_eq!(failed(true).expires(), Some(UnixMillis(1000 + KEPT_MS)));
    }

    proptest! {
        #[test]
        fn what_does_not_work_is_tried_later_each_time_and_for_a_day(late in 0u64..60_000) {
            let (mut job, mut now, mut wait) = (job(), UnixMillis(1000), 0);
            loop {
                prop_assert_eq!(job.due(), now);
                now = UnixMillis(now.0 + late);
                job = job.has_trouble("no".to_owned(), now);
                if !job.is_unfinished() {
                    break;
                }
                let waits = job.due().0 - now.0;
                prop_assert!(wait <= waits && waits <= LONGEST_WAIT_MS);
                (wait, now) = (waits, job.due());
            }
            let lasted = now.0 - 1000 - late;
            prop_assert!((PATIENCE_MS..PATIENCE_MS + LONGEST_WAIT_MS + 60_000).contains(&lasted));
            prop_assert_eq!(job.phase, failed(false).is_at(Phase::Failed(Failed {
                at: now, reason: "no".to_owned(), swept: false,
            })).phase);
        }

        #[test]
        fn what_is_only_to_be_taken_away_is_never_given_up(tries in 1u32..500) {
            let (mut job, mut now) = (job().is_at(Phase::Removing), UnixMillis(1000));
            for _ in 0..tries {
                job = job.has_trouble("no".to_owned(), now);
                prop_assert_eq!(&job.phase, &Phase::Removing);
                now = job.due();
            }
        }
    }
}
