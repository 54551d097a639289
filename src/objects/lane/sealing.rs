//! Lines with their personal fields sealed, and the keys for that: a person's is made when the first line needs it, and
//! read from storage once in the life of an instance.
//!
//! A key is kept in memory only when it was made before this moment. So the transaction that made it is over, and a key
//! that was taken back with it is never used again.
//!
//! Without the service's own key nothing is sealed, and an event with personal fields is not taken: it stays with whoever
//! sends it. A key that was sealed under another `SERVICE_KEY` opens nothing meanwhile; the person gets one more.

use super::person_store::{self, Kept};
use super::service::LaneService;
use crate::objects::sql::{Sql, SqlError};
use crate::runtime::random;
use crate::seal::Sealed;
use portcullis_core::audit::detail::Detail;
use portcullis_core::audit::event::Event;
use portcullis_core::audit::line::{NoLine, Position, render};
use portcullis_core::audit::sealed::{Owner, PersonKey, Place, SealedLine, personal};
use portcullis_core::time::UnixMillis;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What the seal of a key is for, with the owner behind it.
const PURPOSE: &str = "portcullis audit person key 1 ";
/// The most owners whose keys an instance keeps in memory.
const MAX_KNOWN: usize = 4096;

/// The keys of owners, the latest first, as far as this instance has read them.
#[derive(Default)]
pub struct KnownKeys(RefCell<BTreeMap<Owner, Rc<[PersonKey]>>>);

impl KnownKeys {
    fn get(&self, owner: Owner) -> Option<Rc<[PersonKey]>> {
        self.0.borrow().get(&owner).cloned()
    }

    fn keep(&self, owner: Owner, keys: &Rc<[PersonKey]>) {
        let mut known = self.0.borrow_mut();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(owner, Rc::clone(keys));
    }

    fn forget_of(&self, owner: Owner) {
        self.0.borrow_mut().remove(&owner);
    }

    /// Forgets all of them.
    pub fn forget(&self) {
        self.0.borrow_mut().clear();
    }
}

impl<S: Sql> LaneService<S> {
    /// The line of an event, with what is personal sealed; a key for that is made if there is none. In a transaction.
    /// With it comes the event that it says: the same, within its bounds.
    pub(super) fn line<'a>(
        &self,
        event: &'a Event,
        detail: Option<&Detail>,
        position: &Position,
    ) -> Result<(Cow<'a, Event>, String), SqlError> {
        let line = |event: &Event| {
            let sealed = self.sealed(event, position)?;
            Ok::<_, SqlError>(render(event, detail, sealed.as_deref(), position))
        };
        let (event, line) = match line(event)? {
            // Whoever sends events keeps them within their bounds; who does not must not hold up the others.
            Err(NoLine::TooLong) => {
                let bounded = event.clone().bounded();
                let line = line(&bounded)?;
                (Cow::Owned(bounded), line)
            }
            rendered => (Cow::Borrowed(event), rendered),
        };
        Ok((event, line.map_err(|_| SqlError::corrupt("event"))?))
    }

    /// The line that `event` would have become in place of `stored`: the same if and only if it is the same event. No key
    /// is made. What nobody can open any more is taken to be the same, as far as the rest is.
    pub fn line_again(
        &self,
        event: &Event,
        detail: Option<&Detail>,
        position: &Position,
        stored: &str,
    ) -> Result<String, SqlError> {
        let stored = SealedLine::parse(stored);
        let key = match &stored {
            Some(stored) => self.key_of(stored, position.committed)?,
            None => None,
        };
        let sealed = |event: &Event| match (text_of(event)?, &stored, &key) {
            (None, ..) => Ok(None),
            (Some(text), _, Some(key)) => seal(key, position, &text).map(Some),
            (Some(_), Some(stored), None) => Ok(Some(stored.sealed.clone())),
            // Nothing is sealed there, so that any text makes another line.
            (Some(_), None, None) => Ok(Some(String::new())),
        };
        let line = |event: &Event| {
            let sealed = sealed(event)?;
            Ok::<_, SqlError>(render(event, detail, sealed.as_deref(), position))
        };
        let line = match line(event)? {
            Err(NoLine::TooLong) => line(&event.clone().bounded())?,
            rendered => rendered,
        };
        line.map_err(|_| SqlError::corrupt("event"))
    }

    /// The key that opens a line, if there is one.
    pub(super) fn key_of(
        &self,
        line: &SealedLine,
        now: UnixMillis,
    ) -> Result<Option<PersonKey>, SqlError> {
        let keys = self.person_keys(line.owner, now)?;
        Ok(keys.iter().find(|key| line.open(key).is_some()).cloned())
    }

    fn sealed(&self, event: &Event, position: &Position) -> Result<Option<String>, SqlError> {
        let Some(text) = text_of(event)? else {
            return Ok(None);
        };
        let now = position.committed;
        let owner = Owner::of(event, now);
        let keys = self.person_keys(owner, now)?;
        let sealed = match keys.first() {
            Some(key) => seal(key, position, &text),
            None => seal(&self.make_key(owner, now)?, position, &text),
        };
        sealed.map(Some)
    }

    /// The keys of an owner that can be opened, the latest first.
    pub(super) fn person_keys(
        &self,
        owner: Owner,
        now: UnixMillis,
    ) -> Result<Rc<[PersonKey]>, SqlError> {
        if let Some(known) = self.person_keys.get(owner) {
            return Ok(known);
        }
        let sealing_key = self.sealing_key()?;
        let kept = person_store::keys(&self.sql, owner)?;
        let is_older = |kept: &Kept| kept.created_at < now;
        let may_be_known = !kept.is_empty() && kept.iter().all(is_older);
        let purpose = purpose(owner);
        let open = |kept: &Kept| {
            let key = kept.sealed.open(sealing_key, &purpose)?;
            key.try_into().ok().map(PersonKey::from_bytes)
        };
        let keys = kept.iter().filter_map(open).collect();
        if may_be_known {
            self.person_keys.keep(owner, &keys);
        }
        Ok(keys)
    }

    fn make_key(&self, owner: Owner, now: UnixMillis) -> Result<PersonKey, SqlError> {
        let failed = |error: worker::Error| SqlError(error.to_string());
        let key: [u8; 32] = random().map_err(failed)?;
        let nonce = random().map_err(failed)?;
        let sealed = Sealed::seal(self.sealing_key()?, &nonce, &purpose(owner), &key);
        let kept = Kept {
            created_at: now,
            sealed: sealed.ok_or_else(|| SqlError("cannot seal".to_owned()))?,
        };
        person_store::add_key(&self.sql, owner, &kept)?;
        // Others of theirs that cannot be opened may have been noted as none.
        self.person_keys.forget_of(owner);
        Ok(PersonKey::from_bytes(key))
    }

    fn sealing_key(&self) -> Result<&[u8; 32], SqlError> {
        let why = "not configured: personal fields cannot be sealed or opened";
        let keys = self.keys.as_ref().ok_or_else(|| SqlError(why.to_owned()))?;
        Ok(keys.sealing_key())
    }
}

fn purpose(owner: Owner) -> String {
    let owner = match owner {
        Owner::Subject(key) => key.to_string(),
        Owner::Day(day) => day.to_string(),
    };
    format!("{PURPOSE}{owner}")
}

fn text_of(event: &Event) -> Result<Option<String>, SqlError> {
    personal(event).map_err(|_| SqlError::corrupt("event"))
}

fn seal(key: &PersonKey, position: &Position, text: &str) -> Result<String, SqlError> {
    let place = Place::from(position);
    let sealed = key.leaf(place).seal(place, text);
    sealed.ok_or_else(|| SqlError("cannot seal".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::audit::sealed::Day;

    #[test]
    fn an_instance_keeps_a_bounded_number_of_keys_in_memory() {
        let known = KnownKeys::default();
        let keys: Rc<[PersonKey]> = Rc::new([PersonKey::from_bytes([1; 32])]);
        for day in 0..10_000 {
            let owner = Owner::Day(Day(day));
            known.keep(owner, &keys);
            assert!(known.get(owner).is_some());
            assert!(known.0.borrow().len() <= MAX_KNOWN);
        }
        known.forget();
        assert!(known.get(Owner::Day(Day(9_999))).is_none());
    }
}
