//! What was asked and what was ended, as it was seen from outside, and whether that keeps the promises.
//!
//! | promise | broken by |
//! |---|---|
//! | a strict check is linearizable | [`AcceptedAfterAcknowledgement`](Broken::AcceptedAfterAcknowledgement), [`AcceptedAfterDenial`](Broken::AcceptedAfterDenial) |
//! | a bounded check is stale by at most D, counted from the feed's commit | [`AcceptedPastBound`](Broken::AcceptedPastBound) |
//! | what nobody ended is let through | [`LiveDenied`](Broken::LiveDenied), [`NoAnswer`](Broken::NoAnswer) |
//!
//! The judge is a function of the record. It knows nothing of order but what the times say: of two requests
//! whose times overlap either may have come first, so only what began after something else was over counts
//! as later. All times are by one clock, in microseconds since the Unix epoch.
//!
//! Out of scope: making a record.

use std::collections::BTreeMap;
use std::fmt;

/// Microseconds since the Unix epoch.
pub type Micros = u64;

/// The parts tell each other milliseconds: what is said to be at most so old can be older by less than one.
pub const RESOLUTION: Micros = 1_000;

/// How sure the one who was asked had to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consistency {
    /// Linearizable.
    Strict,
    /// Stale by so many microseconds at most.
    Bounded(Micros),
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The credential was taken.
    Accepted,
    /// It was refused as one that is in force no more.
    Denied,
    /// Nobody could tell, or no answer came.
    Nothing,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose: which of the credentials.
    pub credential: usize,
    /// Who was asked: which of the ways.
    pub way: usize,
    /// How sure that had to be.
    pub consistency: Consistency,
    /// Before it was sent.
    pub invoked: Micros,
    /// After its answer had come.
    pub answered: Micros,
    /// What came of it.
    pub outcome: Outcome,
}

/// One kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// The credentials that it ends.
    pub covers: Vec<usize>,
    /// Before it was sent.
    pub sent: Micros,
    /// After it was acknowledged, if it was.
    pub acknowledged: Option<Micros>,
    /// When the feed had it, by what its receipt says, if it has one.
    pub committed: Option<Micros>,
}

/// A time in which something was broken on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Since when.
    pub from: Micros,
    /// Until when, with the time that is allowed for coming back.
    pub to: Micros,
    /// The ways that may be without an answer then.
    pub ways: Vec<usize>,
}

/// Everything that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The requests, in any order.
    pub requests: Vec<Request>,
    /// The kills.
    pub kills: Vec<Kill>,
    /// The faults.
    pub faults: Vec<Fault>,
}

/// A promise that was not kept, by the request of that index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A strict check that began after a kill's acknowledgement accepted what that had ended.
    AcceptedAfterAcknowledgement {
        /// The request.
        request: usize,
        /// How much later it began.
        later: Micros,
    },
    /// A strict check accepted what some check had denied before this one began.
    AcceptedAfterDenial {
        /// The request.
        request: usize,
    },
    /// A bounded check that began later than its bound after the feed's commit accepted what was ended.
    AcceptedPastBound {
        /// The request.
        request: usize,
        /// How long after the commit it began.
        after_commit: Micros,
    },
    /// A credential was refused before anybody had asked for its end.
    LiveDenied {
        /// The request.
        request: usize,
    },
    /// There was no answer, and no fault that excuses that.
    NoAnswer {
        /// The request.
        request: usize,
    },
}

impl Broken {
    /// The index of the request.
    #[must_use]
    pub const fn request(self) -> usize {
        match self {
            Self::AcceptedAfterAcknowledgement { request, .. }
            | Self::AcceptedAfterDenial { request }
            | Self::AcceptedPastBound { request, .. }
            | Self::LiveDenied { request }
            | Self::NoAnswer { request } => request,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AcceptedAfterAcknowledgement { request, later } => write!(
                f,
                "request {request} was accepted strictly, begun {later} us after the acknowledgement"
            ),
            Self::AcceptedAfterDenial { request } => write!(
                f,
                "request {request} was accepted strictly after another had been denied"
            ),
            Self::AcceptedPastBound {
                request,
                after_commit,
            } => write!(
                f,
                "request {request} was accepted past its bound, begun {after_commit} us after the feed's commit"
            ),
            Self::LiveDenied { request } => {
                write!(f, "request {request} was denied, and nobody had ended that")
            }
            Self::NoAnswer { request } => write!(f, "request {request} had no answer"),
        }
    }
}

impl History {
    /// Every promise that was not kept.
    #[must_use]
    pub fn judge(&self) -> Vec<Broken> {
        let ends = self.ends();
        let nothing = Ends::default();
        let judged = self.requests.iter().enumerate().flat_map(|(index, it)| {
            let ends = ends.get(&it.credential).unwrap_or(&nothing);
            match it.outcome {
                Outcome::Accepted => ends.accepted(index, it),
                Outcome::Denied => ends.denied(index, it),
                Outcome::Nothing => self.unanswered(index, it),
            }
        });
        judged.collect()
    }

    fn unanswered(&self, request: usize, it: &Request) -> Vec<Broken> {
        let may_fail = |fault: &Fault| fault.ways.contains(&it.way);
        let meets = |fault: &Fault| it.invoked <= fault.to && it.answered >= fault.from;
        let mut faults = self.faults.iter();
        let excused = faults.any(|fault| may_fail(fault) && meets(fault));
        (!excused)
            .then_some(Broken::NoAnswer { request })
            .into_iter()
            .collect()
    }

    /// For each credential that is ever ended or denied, when.
    fn ends(&self) -> BTreeMap<usize, Ends> {
        let mut ends: BTreeMap<usize, Ends> = BTreeMap::new();
        for kill in &self.kills {
            for credential in &kill.covers {
                let ends = ends.entry(*credential).or_default();
                ends.sent = earlier(ends.sent, Some(kill.sent));
                ends.acknowledged = earlier(ends.acknowledged, kill.acknowledged);
                ends.committed = earlier(ends.committed, kill.committed);
            }
        }
        let denied = self
            .requests
            .iter()
            .filter(|request| request.outcome == Outcome::Denied);
        for request in denied {
            let ends = ends.entry(request.credential).or_default();
            ends.denied = earlier(ends.denied, Some(request.answered));
        }
        ends
    }
}

/// When a credential was first ended, by each of the ways in which that shows.
#[derive(Debug, Default)]
struct Ends {
    sent: Option<Micros>,
    acknowledged: Option<Micros>,
    committed: Option<Micros>,
    denied: Option<Micros>,
}

impl Ends {
    fn accepted(&self, request: usize, it: &Request) -> Vec<Broken> {
        let since = |end: Option<Micros>| end.and_then(|end| it.invoked.checked_sub(end));
        match it.consistency {
            Consistency::Strict => {
                let late = since(self.acknowledged)
                    .map(|later| Broken::AcceptedAfterAcknowledgement { request, later });
                let undone = since(self.denied).map(|_| Broken::AcceptedAfterDenial { request });
                late.into_iter().chain(undone).collect()
            }
            Consistency::Bounded(bound) => since(self.committed)
                .filter(|after| *after > bound + RESOLUTION)
                .map(|after_commit| Broken::AcceptedPastBound {
                    request,
                    after_commit,
                })
                .into_iter()
                .collect(),
        }
    }

    fn denied(&self, request: usize, it: &Request) -> Vec<Broken> {
        let may_be = self.sent.is_some_and(|sent| sent <= it.answered);
        (!may_be)
            .then_some(Broken::LiveDenied { request })
            .into_iter()
            .collect()
    }
}

fn earlier(one: Option<Micros>, other: Option<Micros>) -> Option<Micros> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests;
