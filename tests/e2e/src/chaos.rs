//! What stands between gateways and service, in a stack with [`Settings::chaos`](crate::stack::Settings): it fails as
//! a test tells it to (`dev/chaos.mjs`).

use crate::http::{Request, Response};
use crate::stack::Endpoints;
use crate::{Failure, Result};
use serde_json::{Value, json};
use std::time::Duration;

/// How calls fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As if nothing stood between.
    Normal,
    /// The answer comes so much later.
    Delay(Duration),
    /// The call throws at once.
    Cut,
    /// No answer comes.
    Silent,
    /// The last byte of the entries is missing; of the feed only, as the following.
    TruncatedEntries,
    /// The last byte of the statement is.
    TruncatedStatement,
    /// A bit of the entries is another.
    ForgedEntries,
    /// A letter of the statement is.
    ForgedStatement,
    /// What was [kept](Chaos::keep) is given again, whatever was asked.
    Replay,
    /// The first answer from now on is given again and again.
    Repeat,
}

impl Mode {
    /// As `dev/chaos.mjs` has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Delay(_) => "delay",
            Self::Cut => "cut",
            Self::Silent => "silent",
            Self::TruncatedEntries => "truncated-entries",
            Self::TruncatedStatement => "truncated-statement",
            Self::ForgedEntries => "forged-entries",
            Self::ForgedStatement => "forged-statement",
            Self::Replay => "replay",
            Self::Repeat => "repeat",
        }
    }

    fn told(self) -> Value {
        let ms = match self {
            Self::Delay(delay) => delay.as_millis(),
            _ => 0,
        };
        json!({ "mode": self.name(), "ms": u64::try_from(ms).unwrap_or(u64::MAX) })
    }
}

/// The fault injector of one stack.
#[derive(Clone, Debug)]
pub struct Chaos {
    base: String,
}

impl Chaos {
    /// That of these endpoints.
    #[must_use]
    pub fn new(at: &Endpoints) -> Self {
        Self {
            base: at.chaos.clone(),
        }
    }

    /// How the feed fares from now on.
    pub fn feed(&self, mode: Mode) -> Result {
        self.told("/feed", mode).map(drop)
    }

    /// How checks fare from now on.
    pub fn check(&self, mode: Mode) -> Result {
        self.told("/check", mode).map(drop)
    }

    /// Keeps what the service says of the feed now to a reader that knows nothing, for [`Mode::Replay`].
    pub fn keep(&self) -> Result {
        let request = Request::post(format!("{}/keep", self.base));
        request.send()?.expect(200).map(drop)
    }

    /// Puts a message with these bytes into a queue of the service: `queue`, or `queue/dead` for the one that has what
    /// the first gave up; with `?text` behind it, as text.
    pub fn send(&self, queue: &str, message: &[u8]) -> Result {
        let request = Request::post(format!("{}/{queue}", self.base));
        let request = request.body("application/octet-stream", message);
        request.send()?.expect(200).map(drop)
    }

    /// How many questions for the feed have met the mode that was last set.
    #[track_caller]
    pub fn feed_calls(&self) -> Result<u64> {
        self.calls("feed")
    }

    /// The same of checks.
    #[track_caller]
    pub fn checks(&self) -> Result<u64> {
        self.calls("check")
    }

    #[track_caller]
    fn calls(&self, of: &str) -> Result<u64> {
        let state = Request::get(&self.base).send()?.expect(200)?.json()?;
        let calls = state[of]["calls"].as_u64();
        calls.ok_or_else(|| Failure::new(format!("{state} says nothing of {of}")))
    }

    fn told(&self, path: &str, mode: Mode) -> Result<Response> {
        let request = Request::new("PUT", format!("{}{path}", self.base));
        request.json(&mode.told()).send()?.expect(200)
    }
}
