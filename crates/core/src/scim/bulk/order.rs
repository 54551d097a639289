//! The order of operations: as they came, but what one rests on before it.

use super::Entry;
use super::read::circular;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    /// What it rests on is being put in order.
    Open,
    Done,
}

/// Puts entries in order. One that closes a circle is refused; what rests on it fails with it.
pub(super) fn order(entries: &mut [Entry]) -> Vec<usize> {
    let mut marks = vec![Mark::New; entries.len()];
    let mut order = Vec::with_capacity(entries.len());
    for first in 0..entries.len() {
        // Not by recursion: a chain may be as long as the request.
        let mut open = vec![first];
        while let Some(at) = open.last().copied() {
            if let Some(next) = step(at, entries, &mut marks) {
                open.push(next);
                continue;
            }
            open.pop();
            if mark(&marks, at) != Mark::Done {
                set(&mut marks, at, Mark::Done);
                order.push(at);
            }
        }
    }
    order
}

/// What must come before `at` and has not been put in order.
fn step(at: usize, entries: &mut [Entry], marks: &mut [Mark]) -> Option<usize> {
    if mark(marks, at) == Mark::Done {
        return None;
    }
    set(marks, at, Mark::Open);
    let entry = entries.get_mut(at)?;
    let on = &entry.planned.as_ref().ok()?.rests_on;
    let next = on
        .iter()
        .copied()
        .find(|on| mark(marks, *on) != Mark::Done)?;
    if mark(marks, next) == Mark::Open {
        entry.planned = Err(circular());
        return None;
    }
    Some(next)
}

fn mark(marks: &[Mark], at: usize) -> Mark {
    marks.get(at).copied().unwrap_or(Mark::Done)
}

fn set(marks: &mut [Mark], at: usize, mark: Mark) {
    if let Some(one) = marks.get_mut(at) {
        *one = mark;
    }
}
