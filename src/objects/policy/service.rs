//! The policy without its runtime.
//!
//! A change, the version that tells everyone of it, a revocation that it means, and the audit events
//! are stored in one transaction.

use super::store;
use crate::objects::feed_outbox::{self, Ends, Untold};
use crate::objects::outbox::{self, Producer};
use crate::objects::sql::{Sql, SqlError, migrate};
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::audit::pack::Pack;
use portcullis_core::client::{Client, Source};
use portcullis_core::feed::of_wide;
use portcullis_core::feed::receipt::{Covers, Position, Receipt};
use portcullis_core::feed::shards::Layouts;
use portcullis_core::id::ProducerId;
use portcullis_core::policy::call::{
    AskWideReceipts, ChangedBy, ClientAt, Clients, ConnectionsAt, CreateClient, Created,
    DeleteClient, DeleteTrust, GetView, ListClients, PolicyRequest, PutTrust, RevokedWide,
    RotateSecret, Rotated, TrustKept, TrustsAt, UpdateClient, UpdatedClient,
};
use portcullis_core::policy::trust::Trust;
use portcullis_core::policy::{PolicyView, WideRevocation, WideScope};
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use std::cell::Cell;

/// How many clients may register themselves.
pub const MAX_DYNAMIC_CLIENTS: u64 = 10_000;
/// How many trusts there may be: all of them are looked at for each exchange.
pub const MAX_TRUSTS: usize = 500;
/// The most clients of a page.
const MAX_PAGE: u32 = 100;

/// An answer.
pub struct Answer {
    /// The encoded reply.
    pub bytes: Vec<u8>,
    /// Whether the request can have changed something.
    pub changed: bool,
}

/// The policy over its storage.
pub struct PolicyService<S> {
    pub(super) sql: S,
    migrated: Cell<bool>,
}

/// A change under way: its events are collected and stored with it.
pub(super) struct Change<'a> {
    by: &'a ChangedBy,
    now: UnixMillis,
    events: Vec<Event>,
}

impl Change<'_> {
    pub(super) fn note(&mut self, action: Action, reason: &str, client_id: Option<&str>) {
        self.events.push(Event {
            reason: Some(reason.to_owned()),
            client_id: client_id.map(str::to_owned),
            request: self.by.request.clone(),
            ..Event::new(self.now, action, Outcome::Success, self.by.actor.clone())
        });
    }
}

impl<S: Sql> PolicyService<S> {
    /// The policy over `sql`; nothing is read or written yet.
    pub const fn new(sql: S) -> Self {
        Self {
            sql,
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
        request: PolicyRequest,
        now: UnixMillis,
        new_producer: ProducerId,
    ) -> Result<Answer, SqlError> {
        self.ready()?;
        let sql = &self.sql;
        let at = (now, new_producer);
        let bytes = match request {
            PolicyRequest::View(get) => return read(&self.view(&get, now)?),
            PolicyRequest::GetClient(get) => {
                return read(&ClientAt {
                    version: store::version(sql)?,
                    client: store::document(sql, &get.client_id)?,
                });
            }
            PolicyRequest::ListClients(list) => return read(&self.clients(&list)?),
            PolicyRequest::ListTrusts(_) => {
                return read(&TrustsAt {
                    version: store::version(sql)?,
                    trusts: store::trusts(sql)?,
                });
            }
            PolicyRequest::Revoke(revoke) => {
                wire::encode(&self.change(&revoke.by, at, |change| {
                    self.revoke(revoke.scope.clone(), change)
                })?)
            }
            PolicyRequest::CreateClient(create) => wire::encode(&self.create(&create, at)?),
            PolicyRequest::UpdateClient(update) => wire::encode(&self.update(&update, at)?),
            PolicyRequest::DeleteClient(delete) => wire::encode(&self.delete(&delete, at)?),
            PolicyRequest::RotateSecret(rotate) => wire::encode(&self.rotate(&rotate, at)?),
            PolicyRequest::PutTrust(put) => wire::encode(&self.put_trust(&put, at)?),
            PolicyRequest::DeleteTrust(delete) => wire::encode(&self.delete_trust(&delete, at)?),
            PolicyRequest::ListConnections(_) => {
                return read(&ConnectionsAt {
                    version: store::version(sql)?,
                    connections: store::connections(sql)?,
                });
            }
            PolicyRequest::PutConnection(put) => wire::encode(&self.put_connection(&put, at)?),
            PolicyRequest::EnableConnection(enable) => {
                wire::encode(&self.enable_connection(&enable, at)?)
            }
            PolicyRequest::DeleteConnection(delete) => {
                wire::encode(&self.delete_connection(&delete, at)?)
            }
            PolicyRequest::Receipts(AskWideReceipts(ask)) => {
                return read(&feed_outbox::receipts(sql, ask)?);
            }
        }?;
        Ok(Answer {
            bytes,
            changed: true,
        })
    }

    /// Whether an alarm has nothing to do.
    pub fn is_settled(&self) -> Result<bool, SqlError> {
        Ok(self.waiting()?.is_empty() && self.untold()?.is_empty())
    }

    fn ready(&self) -> Result<(), SqlError> {
        if !self.migrated.get() {
            migrate(&self.sql, store::MIGRATIONS)?;
            self.migrated.set(true);
        }
        Ok(())
    }

    fn view(&self, get: &GetView, now: UnixMillis) -> Result<Option<PolicyView>, SqlError> {
        let version = store::version(&self.sql)?;
        if get.known == Some(version) {
            return Ok(None);
        }
        let revoked = store::revocations(&self.sql, now)?;
        Ok(Some(PolicyView { version, revoked }))
    }

    fn clients(&self, list: &ListClients) -> Result<Clients, SqlError> {
        let limit = list.limit.clamp(1, MAX_PAGE);
        let after = list.after.as_deref().unwrap_or_default();
        let mut rows = store::clients(&self.sql, after, u64::from(limit) + 1)?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|(id, _)| id.clone());
        let clients = rows.into_iter().map(|(_, document)| document).collect();
        Ok(Clients { clients, next })
    }

    /// Runs `body`; if it noted any event, something changed, and a new version is stored with all
    /// of it.
    pub(super) fn change<T>(
        &self,
        by: &ChangedBy,
        (now, new_producer): (UnixMillis, ProducerId),
        body: impl FnOnce(&mut Change<'_>) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        self.sql.transaction(|| {
            let mut change = Change {
                by,
                now,
                events: Vec::new(),
            };
            let reply = body(&mut change)?;
            if !change.events.is_empty() {
                store::add_version(&self.sql, now)?;
                outbox::append(&self.sql, change.events, new_producer)?;
            }
            Ok(reply)
        })
    }

    pub(super) fn revoke(
        &self,
        scope: WideScope,
        change: &mut Change<'_>,
    ) -> Result<RevokedWide, SqlError> {
        let mut revocation = WideRevocation::committed(scope, change.now);
        let earlier = store::revocation(&self.sql, &revocation.scope)?;
        if let (Some(earlier), WideScope::Key(_)) = (&earlier, &revocation.scope) {
            // It covers whatever the key ever signed, so a second time adds nothing.
            return Ok(RevokedWide {
                revocation: earlier.clone(),
                at: change.now,
                changed: false,
                receipt: None,
            });
        }
        // A clock that goes back gives nothing back.
        let earlier = earlier.map_or(UnixMillis(0), |earlier| earlier.not_before);
        revocation.not_before = revocation.not_before.max(earlier);
        store::put_revocation(&self.sql, &revocation, change.now)?;
        let waits_for = feed_outbox::append(&self.sql, &[of_wide(&revocation)])?;
        let (reason, client_id) = match &revocation.scope {
            WideScope::Client(id) => ("client_revoked", Some(id.as_str())),
            WideScope::Connection(_) => ("connection_revoked", None),
            WideScope::Key(_) => ("key_revoked", None),
        };
        change.note(Action::Kill, reason, client_id);
        let receipt = Receipt {
            serial: feed_outbox::next_serial(&self.sql, change.now)?,
            covers: Covers::Wide(revocation.scope.clone()),
            cause: reason.to_owned(),
            actor: change.by.actor.clone(),
            sessions: None,
            at: change.now,
            in_force_at: revocation.not_before,
        };
        feed_outbox::put_receipt(&self.sql, &receipt, waits_for, change.now)?;
        Ok(RevokedWide {
            revocation,
            at: change.now,
            changed: true,
            receipt: Some(receipt.serial),
        })
    }

    /// What a client that is turned away was given is over too.
    fn revoke_disabled(
        &self,
        client: &Client,
        change: &mut Change<'_>,
    ) -> Result<Option<RevokedWide>, SqlError> {
        if !client.disabled {
            return Ok(None);
        }
        let scope = WideScope::Client(client.client_id.clone());
        self.revoke(scope, change).map(Some)
    }

    fn create(
        &self,
        create: &CreateClient,
        at: (UnixMillis, ProducerId),
    ) -> Result<Created, SqlError> {
        let client = parsed(&create.client)?;
        self.change(&create.by, at, |change| {
            if store::document(&self.sql, &client.client_id)?.is_some() {
                return Ok(Created::Exists);
            }
            let dynamic = client.source == Source::Dynamic;
            if dynamic && store::dynamic_clients(&self.sql)? >= MAX_DYNAMIC_CLIENTS {
                return Ok(Created::Full);
            }
            store::put_client(&self.sql, &client)?;
            let reason = if dynamic { "registered" } else { "created" };
            change.note(Action::ClientChanged, reason, Some(&client.client_id));
            let revoked = self.revoke_disabled(&client, change)?;
            Ok(Created::Created(revoked))
        })
    }

    fn update(
        &self,
        update: &UpdateClient,
        at: (UnixMillis, ProducerId),
    ) -> Result<Option<UpdatedClient>, SqlError> {
        let mut client = parsed(&update.client)?;
        self.change(&update.by, at, |change| {
            let Some(before) = store::client(&self.sql, &client.client_id)? else {
                return Ok(None);
            };
            client.source = before.source;
            client.client_id_issued_at = before.client_id_issued_at;
            if client.has_secrets() {
                client.secrets = before.secrets;
            }
            let document = store::put_client(&self.sql, &client)?;
            change.note(Action::ClientChanged, "updated", Some(&client.client_id));
            let revoked = self.revoke_disabled(&client, change)?;
            Ok(Some(UpdatedClient {
                client: document,
                revoked,
            }))
        })
    }

    fn delete(
        &self,
        delete: &DeleteClient,
        at: (UnixMillis, ProducerId),
    ) -> Result<Option<RevokedWide>, SqlError> {
        self.change(&delete.by, at, |change| {
            if store::document(&self.sql, &delete.client_id)?.is_none() {
                return Ok(None);
            }
            store::delete_client(&self.sql, &delete.client_id)?;
            change.note(Action::ClientChanged, "deleted", Some(&delete.client_id));
            self.revoke(WideScope::Client(delete.client_id.clone()), change)
                .map(Some)
        })
    }

    fn rotate(
        &self,
        rotate: &RotateSecret,
        at: (UnixMillis, ProducerId),
    ) -> Result<Rotated, SqlError> {
        self.change(&rotate.by, at, |change| {
            let Some(mut client) = store::client(&self.sql, &rotate.client_id)? else {
                return Ok(Rotated::Unknown);
            };
            if !client.has_secrets() {
                return Ok(Rotated::NoSecrets);
            }
            client.add_secret(rotate.sha256, rotate.earlier_until, change.now);
            let document = store::put_client(&self.sql, &client)?;
            let reason = "secret_rotated";
            change.note(Action::ClientChanged, reason, Some(&client.client_id));
            Ok(Rotated::Rotated(document))
        })
    }

    fn put_trust(
        &self,
        put: &PutTrust,
        at: (UnixMillis, ProducerId),
    ) -> Result<TrustKept, SqlError> {
        self.change(&put.by, at, |change| {
            let known = store::has_trust(&self.sql, &put.id)?;
            if known == put.new {
                return Ok(TrustKept::Mismatch);
            }
            if put.new && store::trusts(&self.sql)?.len() >= MAX_TRUSTS {
                return Ok(TrustKept::Full);
            }
            store::put_trust(&self.sql, &put.id, &put.trust)?;
            let reason = if put.new { "created" } else { "updated" };
            change.note(Action::TrustChanged, reason, None);
            if known {
                // It may be narrower now: what it gave is over, and is asked for anew.
                self.revoke(WideScope::Connection(Trust::connection(&put.id)), change)?;
            }
            Ok(TrustKept::Kept)
        })
    }

    fn delete_trust(
        &self,
        delete: &DeleteTrust,
        at: (UnixMillis, ProducerId),
    ) -> Result<bool, SqlError> {
        self.change(&delete.by, at, |change| {
            if !store::has_trust(&self.sql, &delete.id)? {
                return Ok(false);
            }
            store::delete_trust(&self.sql, &delete.id)?;
            change.note(Action::TrustChanged, "deleted", None);
            // What it gave is over too.
            self.revoke(WideScope::Connection(Trust::connection(&delete.id)), change)?;
            Ok(true)
        })
    }
}

impl<S: Sql> Ends for PolicyService<S> {
    fn untold(&self) -> Result<Vec<Untold>, SqlError> {
        self.ready()?;
        feed_outbox::waiting(&self.sql)
    }

    fn shards(&self, layouts: &Layouts) -> Result<Vec<String>, SqlError> {
        Ok(layouts.written())
    }

    fn told(&self, entries: &[Untold], positions: &[Position]) -> Result<(), SqlError> {
        feed_outbox::acknowledge(&self.sql, entries, positions)
    }
}

impl<S: Sql> Producer for PolicyService<S> {
    fn waiting(&self) -> Result<Vec<Pack>, SqlError> {
        self.ready()?;
        outbox::waiting(&self.sql)
    }

    fn acknowledge(&self, packs: &[Pack]) -> Result<(), SqlError> {
        outbox::acknowledge(&self.sql, packs)
    }
}

/// An answer that changed nothing.
fn read<R: serde::Serialize>(reply: &R) -> Result<Answer, SqlError> {
    Ok(Answer {
        bytes: wire::encode(reply)?,
        changed: false,
    })
}

/// The client that a caller sends: it was checked there, where the error can be told.
fn parsed(client: &str) -> Result<Client, SqlError> {
    document(client, "client")
}

pub(super) fn document<T: serde::de::DeserializeOwned>(
    json: &str,
    what: &str,
) -> Result<T, SqlError> {
    serde_json::from_str(json).map_err(|_| SqlError::corrupt(what))
}
