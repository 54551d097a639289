//! What was seen of a phase, and what the report says of it.

use super::choice::{Asks, is_kept_apart};
use super::figures;
use super::people::Trigger;
use super::{BOUND, Phase};
use crate::report::Report;
use crate::statistics::percentile;
use portcullis_e2e::history::{Broken, History, Kill, Micros, Outcome};

/// What an acknowledged deactivation to the first strict denial may take.
const TARGET_DENIED_MS: f64 = 50.0;
/// How many broken promises of a phase are told one by one.
const TOLD: usize = 5;

/// What was seen of a phase, of all rounds.
#[derive(Default)]
pub struct Seen {
    kills: usize,
    done: usize,
    accepted_only: usize,
    unanswered: usize,
    never: usize,
    lost: usize,
    watched: usize,
    requests: usize,
    accepted: usize,
    denied: usize,
    pub by_view: usize,
    strict_ms: Vec<f64>,
    bounded_ms: Vec<f64>,
    after_commit_ms: Vec<f64>,
    scim_denied_ms: Vec<f64>,
    pub back_ms: Vec<f64>,
    broken_strict: usize,
    broken_bounded: usize,
    live_denied: usize,
    no_answer: usize,
}

impl Seen {
    /// One more kill, and how it was answered.
    pub fn kill(&mut self, trigger: Trigger, answer: Option<(Micros, bool)>, kill: &Kill) {
        self.kills += 1;
        match answer {
            Some((_, true)) => self.done += 1,
            Some((_, false)) => self.accepted_only += 1,
            None => self.unanswered += 1,
        }
        if kill.committed.is_none() {
            self.never += 1;
            if answer.is_some() {
                self.lost += 1;
                eprintln!("{trigger:?} was acknowledged, and no receipt says so");
            }
        }
    }

    /// What the record says of a kill in numbers.
    pub fn figures(&mut self, history: &History, trigger: Trigger, kill: &Kill, ways: &[Asks]) {
        let last = |since, strict| figures::last_accepted_ms(history, kill, since, strict);
        // What is asked about strictly too, its gateway remembers.
        let by_view_alone = kill
            .covers
            .iter()
            .all(|credential| is_kept_apart(*credential));
        if let Some(acknowledged) = kill.acknowledged {
            self.strict_ms.extend(last(acknowledged, true));
            if by_view_alone {
                self.bounded_ms.extend(last(acknowledged, false));
            }
            self.watched += usize::from(figures::is_watched(history, kill, ways));
        }
        if let Some(committed) = kill.committed.filter(|_| by_view_alone) {
            self.after_commit_ms.extend(last(committed, false));
        }
        if trigger == Trigger::Scim {
            self.scim_denied_ms
                .extend(figures::first_denied_ms(history, kill));
        }
    }

    /// Whether the record keeps the promises; what does not is told.
    pub fn judge(&mut self, phase: Phase, history: &History, odd: &[u16]) {
        self.requests += history.requests.len();
        for request in &history.requests {
            match request.outcome {
                Outcome::Accepted => self.accepted += 1,
                Outcome::Denied => self.denied += 1,
                Outcome::Nothing => {}
            }
        }
        let broken = history.judge();
        for broken in &broken {
            match broken {
                Broken::AcceptedAfterAcknowledgement { .. }
                | Broken::AcceptedAfterDenial { .. } => {
                    self.broken_strict += 1;
                }
                Broken::AcceptedPastBound { .. } => self.broken_bounded += 1,
                Broken::LiveDenied { .. } => self.live_denied += 1,
                Broken::NoAnswer { .. } => self.no_answer += 1,
            }
        }
        for broken in broken.iter().take(TOLD) {
            let request = history.requests.get(broken.request());
            eprintln!("{}: {broken}: {request:?}", phase.name());
        }
        if !odd.is_empty() {
            let mut kinds = odd.to_vec();
            kinds.sort_unstable();
            kinds.dedup();
            eprintln!(
                "{}: {} answers of status {kinds:?}",
                phase.name(),
                odd.len()
            );
        }
    }

    /// The rows of the phase.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub fn report(&self, phase: Phase, report: &mut Report) {
        let metric = |name: &str| format!("{}_{name}", phase.name());
        let note = format!(
            "{} answered 200 or 204, {} 202, {} not; {} of these were never carried out",
            self.done, self.accepted_only, self.unanswered, self.never
        );
        report.row(metric("kills"), self.kills as f64, "", &note);
        let note = format!(
            "{} accepted, of these {} by a view; {} denied",
            self.accepted, self.by_view, self.denied
        );
        report.row(metric("requests"), self.requests as f64, "", &note);
        let note = "kills whose ends each way was asked about in time";
        let answered = (self.done + self.accepted_only) as f64;
        report.row(metric("watched"), self.watched as f64 / answered, "", note);
        for (name, values) in [("strict", &self.strict_ms), ("bounded", &self.bounded_ms)] {
            for (rank, percent) in [("p50", 50), ("p99", 99), ("max", 100)] {
                let metric = metric(&format!("{name}_{rank}"));
                report.row(
                    metric,
                    percentile(values, percent),
                    "ms",
                    "last that passed",
                );
            }
        }
        let note = "last that passed, from the feed's commit";
        let p99 = percentile(&self.after_commit_ms, 99);
        report.row(metric("after_commit_p99"), p99, "ms", note);
        let most = percentile(&self.after_commit_ms, 100);
        let bound = BOUND.as_secs_f64() * 1000.0 + 1.0;
        report.at_most(&metric("after_commit_max"), most, "ms", bound, note);
        let p99 = percentile(&self.scim_denied_ms, 99);
        let note = "SCIM deactivation to the first strict denial";
        if phase == Phase::Quiet {
            report.at_most(
                &metric("scim_denied_p99"),
                p99,
                "ms",
                TARGET_DENIED_MS,
                note,
            );
        } else {
            report.row(metric("scim_denied_p99"), p99, "ms", note);
        }
        if !self.back_ms.is_empty() {
            let note = "from the fault's end to the first answer by a view";
            report.row(
                metric("back_max"),
                percentile(&self.back_ms, 100),
                "ms",
                note,
            );
        }
        for (name, count, note) in [
            (
                "broken_strict",
                self.broken_strict,
                "passed after the acknowledgement",
            ),
            (
                "broken_bounded",
                self.broken_bounded,
                "passed later than D after the feed's commit",
            ),
            (
                "live_denied",
                self.live_denied,
                "denied, and nobody had ended it",
            ),
            (
                "no_answer",
                self.no_answer,
                "neither, and no fault excuses that",
            ),
            (
                "lost",
                self.lost,
                "kills acknowledged and never carried out",
            ),
        ] {
            report.at_most(&metric(name), count as f64, "", 0.0, note);
        }
    }
}
