//! The secrets of a connection's SCIM endpoint: which are good, and when they were last used.
//!
//! A secret is looked up in the event that does what is asked by it, so one that was removed does nothing
//! from then on, whatever any cache has. A use is written down once an hour. Making and removing
//! are events of the log, written in the same transaction.

use super::service::{Context, DirectoryService};
use crate::objects::outbox;
use crate::objects::sql::{Row, Sql, SqlError};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::id::{LogHash, ScimSecretId};
use portcullis_core::scim::secret::{
    KeptSecret, MAX_SECRETS, MakeSecret, RemoveSecrets, SecretMade,
};
use portcullis_core::secret::Digest;
use portcullis_core::time::UnixMillis;

impl<S: Sql> DirectoryService<S> {
    /// Whether the secret is good now; notes that it was used.
    pub(super) fn knows_secret(&self, digest: &Digest, now: UnixMillis) -> Result<bool, SqlError> {
        let found =
            "SELECT digest, created, good_until, last_used FROM scim_secret WHERE digest = ?";
        let found = self.sql.first(found, &[digest.as_bytes().into()])?;
        let Some((_, secret)) = found.as_ref().map(stored).transpose()? else {
            return Ok(false);
        };
        if !secret.is_good(now) {
            return Ok(false);
        }
        if let Some(hour) = secret.used(now) {
            let note = "UPDATE scim_secret SET last_used = ? WHERE digest = ?";
            self.sql
                .exec(note, &[hour.0.into(), digest.as_bytes().into()])?;
        }
        Ok(true)
    }

    /// Keeps a new secret. The earlier ones end as is asked, and what has ended is forgotten.
    pub(super) fn make_secret(
        &self,
        context: &Context,
        make: &MakeSecret,
    ) -> Result<SecretMade, SqlError> {
        let now = context.now;
        let new = KeptSecret {
            id: ScimSecretId::of(&make.digest),
            created: now,
            good_until: None,
            last_used: None,
        };
        let earlier = all(&self.sql)?;
        let earlier: Vec<_> = earlier
            .into_iter()
            .map(|(digest, secret)| {
                let ends = secret.ends_after(make.overlap_secs, now);
                let after = KeptSecret {
                    good_until: Some(ends),
                    ..secret
                };
                (digest, secret, after)
            })
            .collect();
        let stay = earlier.iter().filter(|(.., after)| after.is_good(now));
        if stay.count() >= MAX_SECRETS {
            return Ok(SecretMade::TooMany);
        }
        let mut events = Vec::new();
        self.sql.transaction(|| {
            for (digest, before, after) in &earlier {
                if after.is_good(now) {
                    let end = "UPDATE scim_secret SET good_until = ? WHERE digest = ?";
                    let until = after.good_until.map(|until| until.0);
                    self.sql
                        .exec(end, &[until.into(), digest.as_bytes().into()])?;
                } else {
                    remove(&self.sql, digest)?;
                    // What had ended by itself is told of by nobody.
                    if before.is_good(now) {
                        events.push(event(context, &make.by, before.id, "scim_secret_deleted"));
                    }
                }
            }
            self.sql.exec(
                "INSERT INTO scim_secret (digest, created) VALUES (?, ?)",
                &[make.digest.as_bytes().into(), now.0.into()],
            )?;
            events.push(event(context, &make.by, new.id, "scim_secret_created"));
            outbox::append(&self.sql, events, context.new_producer)
        })?;
        Ok(SecretMade::Made(new))
    }

    /// Those that are good, oldest first.
    pub(super) fn secrets(&self, now: UnixMillis) -> Result<Vec<KeptSecret>, SqlError> {
        let all = all(&self.sql)?;
        let good = all.into_iter().map(|(_, secret)| secret);
        Ok(good.filter(|secret| secret.is_good(now)).collect())
    }

    /// Removes one or all of them; says how many of them were good.
    pub(super) fn remove_secrets(
        &self,
        context: &Context,
        asked: &RemoveSecrets,
    ) -> Result<u32, SqlError> {
        let mut gone = all(&self.sql)?;
        gone.retain(|(_, secret)| asked.id.is_none_or(|id| id == secret.id));
        let good = gone
            .iter()
            .filter(|(_, secret)| secret.is_good(context.now));
        let events: Vec<Event> = good
            .map(|(_, secret)| event(context, &asked.by, secret.id, "scim_secret_deleted"))
            .collect();
        let number = u32::try_from(events.len()).unwrap_or(u32::MAX);
        if !gone.is_empty() {
            self.sql.transaction(|| {
                for (digest, _) in &gone {
                    remove(&self.sql, digest)?;
                }
                outbox::append(&self.sql, events, context.new_producer)
            })?;
        }
        Ok(number)
    }
}

fn all(sql: &impl Sql) -> Result<Vec<(Digest, KeptSecret)>, SqlError> {
    let all =
        "SELECT digest, created, good_until, last_used FROM scim_secret ORDER BY created, digest";
    sql.exec(all, &[])?.iter().map(stored).collect()
}

fn stored(row: &Row) -> Result<(Digest, KeptSecret), SqlError> {
    let digest = Digest::from_bytes(row.bytes(0)?);
    let secret = KeptSecret {
        id: ScimSecretId::of(&digest),
        created: UnixMillis(row.integer(1)?),
        good_until: row.optional_integer(2)?.map(UnixMillis),
        last_used: row.optional_integer(3)?.map(UnixMillis),
    };
    Ok((digest, secret))
}

fn remove(sql: &impl Sql, digest: &Digest) -> Result<(), SqlError> {
    let remove = "DELETE FROM scim_secret WHERE digest = ?";
    sql.exec(remove, &[digest.as_bytes().into()]).map(drop)
}

/// A secret is part of the connection: which one, the request's path says.
fn event(context: &Context, by: &Actor, id: ScimSecretId, reason: &str) -> Event {
    Event {
        reason: Some(reason.to_owned()),
        token: Some(LogHash::of_scim_secret(id)),
        request: Some(context.request.clone()),
        ..Event::new(
            context.now,
            Action::ConnectionChanged,
            Outcome::Success,
            by.clone(),
        )
    }
}
