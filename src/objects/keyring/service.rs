//! The keyring without its runtime.
//!
//! What core decides about keys, the keys, and the audit events are stored in one transaction. What
//! the schedule has due is done on the way, so that a late alarm delays nothing that is asked for.

use super::call::{
    CompromiseKey, KeptKey, KeyCompromised, KeyLife, KeyRotated, KeyringRequest, RotateKey,
};
use super::maker::KeyMaker;
use super::{documents, store, syncs};
use crate::objects::outbox::{self, Producer};
use crate::objects::sql::{Sql, SqlError, migrate};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::pack::Pack;
use portcullis_core::id::ProducerId;
use portcullis_core::keyring::{Compromise, Key, Keyring, Rotation, Timing};
use portcullis_core::policy::call::ChangedBy;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use serde::Serialize;
use std::cell::Cell;

/// An answer.
pub struct Answer {
    /// The encoded reply.
    pub bytes: Vec<u8>,
    /// Whether the request changed something.
    pub changed: bool,
}

/// The keyring over its storage.
pub struct KeyringService<S> {
    sql: S,
    maker: KeyMaker,
    timing: Timing,
    migrated: Cell<bool>,
}

/// A transaction under way: the keys as they are, and the events so far.
struct Change {
    kept: Vec<KeptKey>,
    now: UnixMillis,
    events: Vec<Event>,
    changed: bool,
}

impl Change {
    fn ring(&self) -> Keyring {
        Keyring::new(self.kept.iter().map(|kept| kept.key.clone()).collect())
    }

    fn note(&mut self, action: Action, reason: &str, by: ChangedBy) {
        self.events.push(Event {
            reason: Some(reason.to_owned()),
            request: by.request,
            ..Event::new(self.now, action, Outcome::Success, by.actor)
        });
    }
}

impl<S: Sql> KeyringService<S> {
    /// The keyring over `sql`; nothing is read or written yet.
    pub const fn new(sql: S, maker: KeyMaker, timing: Timing) -> Self {
        Self {
            sql,
            maker,
            timing,
            migrated: Cell::new(false),
        }
    }

    /// The storage, for tests to break.
    #[cfg(test)]
    pub const fn sql(&self) -> &S {
        &self.sql
    }

    /// Answers `request`. `new_producer` is 16 random bytes, used with the first event ever.
    pub fn answer(
        &self,
        request: KeyringRequest,
        now: UnixMillis,
        new_producer: ProducerId,
    ) -> Result<Answer, SqlError> {
        let at = (now, new_producer);
        match request {
            KeyringRequest::Get(_) => self.answer_by_keys(at, |change| Ok(change.kept.clone())),
            KeyringRequest::List(_) => {
                self.answer_by_keys(at, |change| Ok(lives(&change.ring(), now)))
            }
            KeyringRequest::Rotate(rotate) => {
                self.answer_by_keys(at, |change| self.rotate(rotate, change))
            }
            KeyringRequest::Compromise(compromise) => {
                self.answer_by_keys(at, |change| self.compromise(compromise, change))
            }
            KeyringRequest::KeepDocument(keep) => {
                self.migrated()?;
                unlogged(&documents::keep(&self.sql, keep, now)?)
            }
            KeyringRequest::Document(get) => {
                self.migrated()?;
                unlogged(&documents::get(&self.sql, &get, now)?)
            }
            KeyringRequest::BeginSync(begin) => {
                self.migrated()?;
                unlogged(&syncs::begin(&self.sql, &begin, now)?)
            }
            KeyringRequest::EndSync(end) => {
                self.migrated()?;
                let (state, changed) = syncs::end(&self.sql, end, now, new_producer)?;
                let bytes = wire::encode(&state)?;
                Ok(Answer { bytes, changed })
            }
            KeyringRequest::Sync(get) => {
                self.migrated()?;
                unlogged(&store::sync(&self.sql, &get.connection)?)
            }
        }
    }

    fn answer_by_keys<R: Serialize>(
        &self,
        (now, new_producer): (UnixMillis, ProducerId),
        body: impl FnOnce(&mut Change) -> Result<R, SqlError>,
    ) -> Result<Answer, SqlError> {
        let (reply, changed) = self.change(now, new_producer, body)?;
        Ok(Answer {
            bytes: wire::encode(&reply)?,
            changed,
        })
    }

    /// Does what the schedule has due, and says when it has something next.
    pub fn run_schedule(
        &self,
        now: UnixMillis,
        new_producer: ProducerId,
    ) -> Result<UnixMillis, SqlError> {
        let next = |change: &mut Change| Ok(change.ring().due_at(now, self.timing));
        Ok(self.change(now, new_producer, next)?.0)
    }

    /// Compromised keys that the policy has yet to hear of.
    pub fn untold(&self) -> Result<Vec<String>, SqlError> {
        self.migrated()?;
        store::untold(&self.sql)
    }

    /// The policy has committed that nothing by this key counts.
    pub fn told(&self, kid: &str) -> Result<(), SqlError> {
        store::set_told(&self.sql, kid)
    }

    /// Whether nobody has to hear of anything any more.
    pub fn is_settled(&self) -> Result<bool, SqlError> {
        Ok(self.untold()?.is_empty() && self.waiting()?.is_empty())
    }

    fn migrated(&self) -> Result<(), SqlError> {
        if !self.migrated.get() {
            migrate(&self.sql, store::MIGRATIONS)?;
            self.migrated.set(true);
        }
        Ok(())
    }

    /// Runs `body` on keys that are as the schedule has them, all in one transaction.
    fn change<R>(
        &self,
        now: UnixMillis,
        new_producer: ProducerId,
        body: impl FnOnce(&mut Change) -> Result<R, SqlError>,
    ) -> Result<(R, bool), SqlError> {
        self.migrated()?;
        self.sql.transaction(|| {
            for (number, sealed) in store::nameless(&self.sql)? {
                let key = self.maker.open(&sealed)?;
                store::name(&self.sql, number, key.kid(), key.public_point())?;
            }
            let mut change = Change {
                kept: store::keys(&self.sql)?,
                now,
                events: Vec::new(),
                changed: false,
            };
            self.do_what_is_due(&mut change)?;
            let result = body(&mut change)?;
            change.changed |= !change.events.is_empty();
            outbox::append(&self.sql, change.events, new_producer)?;
            Ok((result, change.changed))
        })
    }

    fn do_what_is_due(&self, change: &mut Change) -> Result<(), SqlError> {
        let due = change.ring().due(change.now, self.timing);
        for kid in &due.retire {
            let spent = |kept: &KeptKey| kept.key.kid == *kid && kept.sealed.is_some();
            if change.kept.iter().any(spent) {
                store::destroy(&self.sql, kid)?;
                change.changed = true;
            }
        }
        for kid in &due.forget {
            store::forget(&self.sql, kid)?;
            change.changed = true;
        }
        if let Some(signs_from) = due.create {
            let first = change.kept.is_empty();
            self.create(signs_from, change)?;
            if !first {
                let by = ChangedBy {
                    actor: Actor::Operator("schedule".to_owned()),
                    request: None,
                };
                change.note(Action::KeyRotated, "scheduled", by);
            }
        }
        if change.changed {
            change.kept = store::keys(&self.sql)?;
        }
        Ok(())
    }

    fn rotate(&self, rotate: RotateKey, change: &mut Change) -> Result<KeyRotated, SqlError> {
        let (kid, signs_from, changed) = match change.ring().rotate(change.now, self.timing) {
            Rotation::Create(at) => (self.create(at, change)?, at, true),
            Rotation::BringForward(kid, at) => {
                store::set_signs_from(&self.sql, &kid, at)?;
                (kid, at, true)
            }
            Rotation::UnderWay(kid, at) => (kid, at, false),
            Rotation::TooMany => return Ok(KeyRotated::TooMany),
        };
        if changed {
            change.note(Action::KeyRotated, "requested", rotate.by);
        }
        Ok(KeyRotated::Rotated {
            kid,
            signs_from,
            changed,
        })
    }

    fn compromise(
        &self,
        compromise: CompromiseKey,
        change: &mut Change,
    ) -> Result<Option<KeyCompromised>, SqlError> {
        let kid = compromise.kid;
        let ring = change.ring();
        let Some(outcome) = ring.compromise(&kid, change.now) else {
            return Ok(None);
        };
        let (at, replace) = match outcome {
            Compromise::Already(at) => (at, false),
            Compromise::Drop { replace } => {
                store::set_compromised(&self.sql, &kid, change.now)?;
                change.note(Action::KeyCompromised, "declared", compromise.by);
                (change.now, replace)
            }
        };
        let signing = match ring.signing(change.now) {
            Some(signing) if !replace => signing.kid.clone(),
            _ => self.create(change.now, change)?,
        };
        Ok(Some(KeyCompromised {
            at,
            changed: matches!(outcome, Compromise::Drop { .. }),
            signing,
        }))
    }

    /// Keeps a fresh key, and returns its name.
    fn create(&self, signs_from: UnixMillis, change: &mut Change) -> Result<String, SqlError> {
        let fresh = self.maker.fresh()?;
        let key = Key {
            kid: fresh.kid,
            created_at: change.now,
            signs_from,
            compromised_at: None,
        };
        store::add(&self.sql, &key, &fresh.point, &fresh.sealed)?;
        change.changed = true;
        Ok(key.kid)
    }
}

/// An answer of which nobody else has to hear.
fn unlogged<R: Serialize>(reply: &R) -> Result<Answer, SqlError> {
    Ok(Answer {
        bytes: wire::encode(reply)?,
        changed: false,
    })
}

fn lives(ring: &Keyring, now: UnixMillis) -> Vec<KeyLife> {
    let life = |key: &Key| KeyLife {
        key: key.clone(),
        state: ring.state(key, now),
        superseded_at: ring.superseded_at(key),
        retires_at: ring.retires_at(key),
    };
    ring.keys().iter().map(life).collect()
}

impl<S: Sql> Producer for KeyringService<S> {
    fn waiting(&self) -> Result<Vec<Pack>, SqlError> {
        self.migrated()?;
        outbox::waiting(&self.sql)
    }

    fn acknowledge(&self, packs: &[Pack]) -> Result<(), SqlError> {
        outbox::acknowledge(&self.sql, packs)
    }
}
