//! Telling clients that a session is over (OIDC Back-Channel Logout 1.0): what is tried when, when
//! it is given up, and what the log says of it.
//!
//! A client is told at once and then ever less often, until it confirms or a day has passed. Each
//! attempt is counted before it is made, so a crash in the middle of one costs the attempt and never
//! the announcement. A client may thus be told twice, each time in a token with a `jti` of its own:
//! one that remembers those (section 2.6) would refuse a repetition under the same, and could never
//! confirm what it has done already.

use crate::audit::event::{Action, Actor, Event, Outcome};
use crate::id::{LogHash, SessionId, SubjectKey};
use crate::time::UnixMillis;

/// How long after the first attempt the second comes, in seconds; from there on it doubles.
const FIRST_PAUSE_SECS: u64 = 5;
/// The longest pause, in seconds.
const LONGEST_PAUSE_SECS: u64 = 3600;
/// How long after the end of a session its client is still told, in seconds.
pub const GIVEN_UP_AFTER_SECS: u64 = 24 * 3600;

/// The end of a session that its client has not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Which of the subject's.
    pub id: u64,
    /// The session that has ended.
    pub session: SessionId,
    /// Whom to tell.
    pub client_id: String,
    /// When it ended.
    pub ended_at: UnixMillis,
    /// How often the client was to be told so far.
    pub attempts: u64,
}

impl Announcement {
    /// When it is the next attempt's turn if the one that is made `now` fails.
    #[must_use]
    pub fn next_at(&self, now: UnixMillis) -> UnixMillis {
        let doublings = u32::try_from(self.attempts).unwrap_or(u32::MAX).min(16);
        let pause = FIRST_PAUSE_SECS << doublings;
        now.plus_secs(pause.min(LONGEST_PAUSE_SECS))
    }

    /// Whether it is too late to try once more. The first attempt never is.
    #[must_use]
    pub fn is_given_up(&self, now: UnixMillis) -> bool {
        self.attempts > 0 && now >= self.ended_at.plus_secs(GIVEN_UP_AFTER_SECS)
    }

    /// The event of its confirmation.
    #[must_use]
    pub fn confirmed(&self, subject: SubjectKey, now: UnixMillis) -> Event {
        self.event(subject, Outcome::Success, now)
    }

    /// The event of its end without one.
    #[must_use]
    pub fn given_up(&self, subject: SubjectKey, now: UnixMillis) -> Event {
        Event {
            reason: Some("not_confirmed".to_owned()),
            ..self.event(subject, Outcome::Denied, now)
        }
    }

    fn event(&self, subject: SubjectKey, outcome: Outcome, now: UnixMillis) -> Event {
        let actor = Actor::Client(self.client_id.clone());
        Event {
            subject: Some(subject),
            session: Some(LogHash::of_session(self.session)),
            client_id: Some(self.client_id.clone()),
            ..Event::new(now, Action::LogoutAnnounced, outcome, actor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(attempts: u64) -> Announcement {
        Announcement {
            id: 1,
            session: SessionId::from_bytes([1; 16]),
            client_id: "app".to_owned(),
            ended_at: UnixMillis(0),
            attempts,
        }
    }

    #[test]
    fn pauses_double_from_five_seconds_to_an_hour() {
        let pause = |attempts| after(attempts).next_at(UnixMillis(0)).secs();
        let pauses: Vec<u64> = (0..12).map(pause).collect();
        assert_eq!(
            pauses,
            [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
        );
        assert_eq!(pause(u64::MAX), 3600);
    }

    #[test]
    fn it_is_given_up_after_a_day_and_never_untried() {
        let day = UnixMillis(0).plus_secs(GIVEN_UP_AFTER_SECS);
        assert!(!after(9).is_given_up(UnixMillis(day.0 - 1)));
        assert!(after(9).is_given_up(day));
        assert!(!after(0).is_given_up(day));
    }
}
