//! Whether an event that comes again is the one that was logged: it is made into a line once more, and the bytes are compared.
//!
//! Out of scope: how lines are made, which whoever asks brings along, and where the line is.

use super::line::Position;
use crate::time::UnixMillis;
use serde::Deserialize;

/// What of a line does not come from its event: with it the same event makes the same line.
#[derive(Clone, Debug, Deserialize)]
struct Taken<'a> {
    received: &'a str,
    committed: &'a str,
}

/// The line that another event would have become at the place of `line`, as `render` makes it; `None` if that is no line.
/// It is the same line if and only if it is the same event.
pub fn again<E>(
    line: &str,
    position: Position,
    render: impl FnOnce(&Position) -> Result<String, E>,
) -> Result<Option<String>, E> {
    let taken = serde_json::from_str::<Taken<'_>>(line).ok();
    let times = taken.and_then(|taken| {
        let received = UnixMillis::from_rfc3339(taken.received)?;
        Some((received, UnixMillis::from_rfc3339(taken.committed)?))
    });
    let Some((received, committed)) = times else {
        return Ok(None);
    };
    let again = render(&Position {
        received,
        committed,
        ..position
    })?;
    Ok(Some(again))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Action, Actor, Event, Outcome};
    use crate::audit::line::render;
    use crate::id::ProducerId;

    #[test]
    fn the_same_event_makes_the_same_line_again_and_another_does_not() {
        let event = Event {
            reason: Some("a".into()),
            ..Event::new(
                UnixMillis(7),
                Action::Kill,
                Outcome::Success,
                Actor::Anonymous,
            )
        };
        let first = Position {
            index: 4,
            lane: 0,
            producer: ProducerId::from_bytes([3; 16]),
            sequence: 1,
            received: UnixMillis(10_000_000),
            committed: UnixMillis(10_000_001),
        };
        let line = render(&event, None, None, &first).expect("renders");
        let later = Position {
            received: UnixMillis(20_000_000),
            committed: UnixMillis(20_000_000),
            ..first
        };
        let same = again(&line, later, |at| render(&event, None, None, at)).expect("renders");
        assert_eq!(same.as_ref(), Some(&line));
        let other = Event {
            reason: Some("b".into()),
            ..event
        };
        let another = again(&line, later, |at| render(&other, None, None, at)).expect("renders");
        assert!(another.is_some_and(|another| another != line));
        assert!(matches!(
            again("{}", later, |at| render(&other, None, None, at)),
            Ok(None)
        ));
    }
}
