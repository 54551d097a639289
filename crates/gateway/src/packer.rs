//! Events gathered into packs: what goes when, under which sequences, and what is dropped.
//!
//! An isolate is one producer. Events that nobody waits for are gathered for [`GATHER_MS`], or until a
//! pack is full, and go as one message. A promise cannot be shared by two requests, so one of those whose
//! events are gathered waits and sends for all of them: whoever [`Packer::add`] tells to. That request may
//! be ended by the runtime before it does, so nobody is relied on for longer than [`OVERDUE_MS`]: the next
//! one takes over. A denial of somebody who is known does not wait and goes in a pack of its own
//! ([`Packer::alone`]).
//!
//! Sequences count what was tried. A pack gets its run of them when it is sealed, and is the same bytes
//! from then on, so that it can be sent again. What is dropped, because too many packs are under way
//! already or because the queue would not take a pack, leaves its gap.
//!
//! Memory is bounded by [`MAX_UNDER_WAY`] packs and the one that is being gathered. What an isolate has
//! gathered when it ends is lost, as declared (docs/audit.md).

use portcullis_core::audit::event::Event;
use portcullis_core::audit::pack::{MAX_PACK_BYTES, Pack};
use portcullis_core::audit::refusals::{Refusals, Refused};
use portcullis_core::id::ProducerId;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire::{self, Malformed};
use std::collections::BTreeMap;

/// How long events are gathered, from the first on.
pub const GATHER_MS: u64 = 250;
/// The most packs that are being sent at once.
pub const MAX_UNDER_WAY: usize = 4;
/// How late somebody may be who was to send, until another does.
const OVERDUE_MS: u64 = 1000;
/// How long sending can take, with every attempt. Whoever takes longer was ended by the runtime.
const LOST_MS: u64 = 15_000;
/// How much later somebody is woken than something is due: a timer may ring a little early by the clock.
const TIMER_SLACK_MS: u64 = 20;
/// What the gathered events of a pack may take, leaving room for what stands before them and for the
/// counts of refusals, of which there are as many as reasons.
const MAX_EVENTS_BYTES: usize = MAX_PACK_BYTES - 4096;

/// A pack that has its sequences and its bytes for good.
#[derive(Debug, PartialEq, Eq)]
pub struct Sealed {
    first_sequence: u64,
    events: usize,
    bytes: Vec<u8>,
}

impl Sealed {
    /// The message.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many events it holds.
    #[must_use]
    pub const fn events(&self) -> usize {
        self.events
    }
}

/// What whoever added an event has to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: somebody else sends it.
    Nothing,
    /// Wait so many milliseconds, then send what [`Packer::due`] gives.
    Wait(u64),
    /// Send this.
    Send(Sealed),
}

/// The events of an isolate on their way.
#[derive(Debug)]
pub struct Packer {
    producer: ProducerId,
    next_sequence: u64,
    gathered: Vec<Event>,
    gathered_bytes: usize,
    /// When whoever gathers wakes up to send.
    gatherer_wakes: Option<UnixMillis>,
    /// First sequences of what is being sent, and since when.
    under_way: BTreeMap<u64, UnixMillis>,
    refusals: Refusals,
    dropped: u64,
}

impl Packer {
    /// The packer of this producer, which nobody else is.
    #[must_use]
    pub const fn new(producer: ProducerId) -> Self {
        Self {
            producer,
            next_sequence: 1,
            gathered: Vec::new(),
            gathered_bytes: 0,
            gatherer_wakes: None,
            under_way: BTreeMap::new(),
            refusals: Refusals::new(),
            dropped: 0,
        }
    }

    /// Takes an event that nobody waits for.
    pub fn add(&mut self, event: Event, now: UnixMillis) -> Next {
        let event = event.bounded();
        let bytes = size(&event);
        let full = self
            .has_no_room_for(bytes)
            .then(|| self.seal(now))
            .flatten();
        if self.has_no_room_for(bytes) {
            self.next_sequence = self.next_sequence.saturating_add(1);
            self.drop_events(1);
        } else {
            self.gather(event, bytes);
        }
        match full {
            // Whoever sends looks after the rest, too: see `done`.
            Some(sealed) => Next::Send(sealed),
            None if self.gathered.is_empty() || self.has_gatherer(now) => Next::Nothing,
            None => {
                self.gatherer_wakes = Some(UnixMillis(now.0.saturating_add(GATHER_MS)));
                Next::Wait(GATHER_MS)
            }
        }
    }

    /// Takes the refusal of a credential that proves nobody.
    pub fn refused(&mut self, event: Event, now: UnixMillis) -> Next {
        match self.refusals.add(event, now) {
            Refused::First(event) => self.add(*event, now),
            Refused::Counting(ms) => Next::Wait(ms.saturating_add(TIMER_SLACK_MS)),
            Refused::Counted => Next::Nothing,
        }
    }

    /// What is to be sent by whoever has waited. If too many packs are under way that is nothing now, and
    /// whoever is done with one of those sends it.
    pub fn due(&mut self, now: UnixMillis) -> Option<Sealed> {
        self.gatherer_wakes = None;
        self.seal(now)
    }

    /// A pack was taken by the queue, or never will be. Gives another that nobody else would send.
    pub fn done(&mut self, sealed: &Sealed, now: UnixMillis) -> Option<Sealed> {
        self.under_way.remove(&sealed.first_sequence);
        let forgotten = !self.gathered.is_empty() && !self.has_gatherer(now);
        if forgotten || self.refusals.are_due(OVERDUE_MS, now) {
            return self.due(now);
        }
        None
    }

    /// A pack of this event alone, for whoever waits until it is safe.
    pub fn alone(&mut self, event: Event) -> Result<Sealed, Malformed> {
        self.pack(vec![event.bounded()])
    }

    /// How many events were dropped since this was last asked.
    pub const fn take_dropped(&mut self) -> u64 {
        std::mem::replace(&mut self.dropped, 0)
    }

    fn has_gatherer(&self, now: UnixMillis) -> bool {
        self.gatherer_wakes
            .is_some_and(|wakes| now.0 < wakes.0.saturating_add(OVERDUE_MS))
    }

    const fn has_no_room_for(&self, bytes: usize) -> bool {
        self.gathered_bytes.saturating_add(bytes) > MAX_EVENTS_BYTES
    }

    fn gather(&mut self, event: Event, bytes: usize) {
        self.gathered_bytes = self.gathered_bytes.saturating_add(bytes);
        self.gathered.push(event);
    }

    /// What is gathered and what was counted, as a pack under way; `None` if that is nothing, or if too
    /// many are under way.
    fn seal(&mut self, now: UnixMillis) -> Option<Sealed> {
        self.under_way
            .retain(|_, since| now.0 < since.0.saturating_add(LOST_MS));
        if self.under_way.len() >= MAX_UNDER_WAY {
            return None;
        }
        self.gathered.extend(self.refusals.take_due(now));
        self.gathered_bytes = 0;
        let events = std::mem::take(&mut self.gathered);
        if events.is_empty() {
            return None;
        }
        let count = events.len() as u64;
        let Ok(sealed) = self.pack(events) else {
            // A clock beyond the year 9999, or sequences beyond 2^53.
            self.drop_events(count);
            return None;
        };
        self.under_way.insert(sealed.first_sequence, now);
        Some(sealed)
    }

    fn pack(&mut self, events: Vec<Event>) -> Result<Sealed, Malformed> {
        let pack = Pack {
            producer: self.producer,
            first_sequence: self.next_sequence,
            events,
        };
        self.next_sequence = pack.last_sequence().saturating_add(1);
        Ok(Sealed {
            first_sequence: pack.first_sequence,
            events: pack.events.len(),
            bytes: pack.encode()?,
        })
    }

    const fn drop_events(&mut self, count: u64) {
        self.dropped = self.dropped.saturating_add(count);
    }
}

/// What an event takes in a pack, and a version byte that it has only here.
fn size(event: &Event) -> usize {
    wire::encode(event).map_or(MAX_PACK_BYTES, |bytes| bytes.len())
}

#[cfg(test)]
mod tests;
