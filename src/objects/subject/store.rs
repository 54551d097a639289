//! Every statement of a subject's object. Rows become domain values here and nowhere else.

use crate::objects::feed_outbox;
use crate::objects::sql::{Row, Sql, SqlError, Value};
use portcullis_core::feed::Entry;
use portcullis_core::id::{SessionId, SubjectKey, TokenId};
use portcullis_core::secret::Digest;
use portcullis_core::session::announce::Announcement;
use portcullis_core::session::check::CheckRequest;
use portcullis_core::session::foreign::{CheckForeign, ForeignFacts};
use portcullis_core::session::grant::{OneTime, Replayed};
use portcullis_core::session::provision::Provisioned;
use portcullis_core::session::revoke::IdempotencyKey;
use portcullis_core::session::{
    Change, CheckFacts, Code, EarlierReply, Family, Needs, Session, Sessions, State, Subject,
};
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;

/// The object's schema, in the order it grew.
pub const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_subject.sql"),
    include_str!("../outbox.sql"),
    include_str!("migrations/0002_authorization_server.sql"),
    include_str!("migrations/0003_upstream.sql"),
    include_str!("migrations/0004_feed.sql"),
    include_str!("../feed_outbox.sql"),
    include_str!("migrations/0005_provisioned.sql"),
];

/// How long an idempotent reply is kept, in seconds.
const REPLY_MEMORY_SECS: u64 = 24 * 3600;

/// What `command` may look at.
pub fn load(
    sql: &impl Sql,
    key: SubjectKey,
    needs: &Needs,
    now: UnixMillis,
) -> Result<State, SqlError> {
    let code = needs.code.map(|digest| code(sql, digest)).transpose()?;
    let code = code.flatten();
    Ok(State {
        subject: subject(sql)?.unwrap_or_else(|| Subject::unseen(key)),
        sessions: match (needs.sessions, &code) {
            (Sessions::All, _) => sessions(sql)?,
            (Sessions::One(id), _) => session(sql, id)?.into_iter().collect(),
            (Sessions::OfCode, Some(code)) => session(sql, code.session)?.into_iter().collect(),
            (Sessions::OfCode, None) | (Sessions::None, _) => Vec::new(),
        },
        code,
        family: match needs.family {
            Some(session) => family(sql, session)?,
            None => None,
        },
        token_revoked: token_revoked(sql, needs.token)?,
        replayed: Replayed {
            proof: was_used(sql, needs.one_time.proof)?,
            assertion: was_used(sql, needs.one_time.assertion)?,
        },
        consented: match needs.consent {
            Some(client_id) => consented(sql, client_id)?,
            None => None,
        },
        earlier: match needs.idempotency {
            Some(key) => earlier(sql, key, now)?,
            None => None,
        },
        upstream_ended: match needs.upstream {
            Some(sid) => has_ended(sql, sid)?,
            None => false,
        },
        revoked: Vec::new(),
        next_receipt: if needs.receipt {
            feed_outbox::next_serial(sql, now)?
        } else {
            0
        },
        provisioned: if needs.provisioned {
            provisioned(sql)?
        } else {
            None
        },
    })
}

/// What a check looks at, in one statement: each costs more than what it reads.
pub fn check_facts(sql: &impl Sql, request: &CheckRequest) -> Result<CheckFacts, SqlError> {
    let row = sql.first(
        "SELECT key, generation, disabled, directory_version, killed_at, reactivated_at, \
         upstream_ended_at, session, EXISTS (SELECT 1 FROM revoked_token WHERE token = ?2) \
         FROM subject LEFT JOIN session ON session.id = ?1",
        &[
            request.session.as_bytes().into(),
            request.token.as_ref().map(TokenId::as_bytes).into(),
        ],
    )?;
    let Some(row) = row else {
        return Ok(CheckFacts {
            subject: None,
            session: session(sql, request.session)?,
            token_revoked: token_revoked(sql, request.token)?,
        });
    };
    Ok(CheckFacts {
        subject: Some(Subject::try_from(&row)?),
        session: match row.0.get(7) {
            Some(Value::Null) => None,
            _ => Some(wire::decode(row.blob(7)?)?),
        },
        token_revoked: row.integer(8)? != 0,
    })
}

/// What the check of a provider's token looks at. What the directory says comes with the subject: a statement costs
/// more than what it reads.
pub fn foreign_facts(sql: &impl Sql, request: &CheckForeign) -> Result<ForeignFacts, SqlError> {
    let row = sql.first(
        "SELECT key, generation, disabled, directory_version, killed_at, reactivated_at, \
         upstream_ended_at, version, names FROM subject LEFT JOIN provisioned",
        &[],
    )?;
    let provisioned = |row: &Row| match row.0.get(7) {
        Some(Value::Null) => Ok(None),
        _ => provisioned_in(row, 7).map(Some),
    };
    Ok(ForeignFacts {
        subject: row.as_ref().map(Subject::try_from).transpose()?,
        provisioned: row.as_ref().map(provisioned).transpose()?.flatten(),
        sid_ended: match &request.sid {
            Some(sid) => has_ended(sql, sid)?,
            None => false,
        },
    })
}

/// Every session that is remembered, oldest first.
pub fn sessions(sql: &impl Sql) -> Result<Vec<Session>, SqlError> {
    let mut sessions = sql
        .exec("SELECT session FROM session", &[])?
        .iter()
        .map(|row| Ok(wire::decode::<Session>(row.blob(0)?)?))
        .collect::<Result<Vec<_>, SqlError>>()?;
    sessions.sort_by_key(|session| (session.begun_at, session.id));
    Ok(sessions)
}

/// Stores one change; the caller holds the transaction.
pub fn apply(sql: &impl Sql, change: &Change, now: UnixMillis) -> Result<(), SqlError> {
    match change {
        Change::PutSubject(subject) => put_subject(sql, subject),
        Change::PutSession(session) => run(
            sql,
            "INSERT OR REPLACE INTO session (id, forget_at, session) VALUES (?, ?, ?)",
            &[
                session.id.as_bytes().into(),
                session.forget_at().0.into(),
                wire::encode(session)?.into(),
            ],
        ),
        Change::PutCode(code) => run(
            sql,
            "INSERT OR REPLACE INTO code (digest, session, expires_at, code) VALUES (?, ?, ?, ?)",
            &[
                code.digest.as_bytes().into(),
                code.session.as_bytes().into(),
                code.expires_at.0.into(),
                wire::encode(code)?.into(),
            ],
        ),
        Change::PutFamily(family) => run(
            sql,
            "INSERT OR REPLACE INTO family (session, family) VALUES (?, ?)",
            &[
                family.session.as_bytes().into(),
                wire::encode(family)?.into(),
            ],
        ),
        Change::DropCredentialsOf(session) => {
            let of = [session.as_bytes().into()];
            run(sql, "DELETE FROM code WHERE session = ?", &of)?;
            run(sql, "DELETE FROM family WHERE session = ?", &of)
        }
        Change::AnnounceEnd { session, client_id } => run(
            sql,
            "INSERT INTO announcement (session, client_id, ended_at, attempts, next_at) \
             VALUES (?, ?, ?, 0, ?)",
            &[
                session.as_bytes().into(),
                client_id.as_str().into(),
                now.0.into(),
                now.0.into(),
            ],
        ),
        Change::RevokeToken { token, until } => {
            // What is over goes with what comes, so that nobody fills the table.
            sweep_with(sql, "DELETE FROM revoked_token WHERE until <= ?", now)?;
            run(
                sql,
                "INSERT OR REPLACE INTO revoked_token (token, until) VALUES (?, ?)",
                &[token.as_bytes().into(), until.0.into()],
            )
        }
        Change::UseUp(once) => {
            sweep_with(sql, "DELETE FROM used_once WHERE until <= ?", now)?;
            run(
                sql,
                "INSERT OR IGNORE INTO used_once (digest, until) VALUES (?, ?)",
                &[once.digest.as_bytes().into(), once.until.0.into()],
            )
        }
        Change::EndUpstream { sid, until } => {
            sweep_with(sql, "DELETE FROM ended_upstream WHERE until <= ?", now)?;
            run(
                sql,
                "INSERT OR REPLACE INTO ended_upstream (sid, until) VALUES (?, ?)",
                &[sid.as_bytes().into(), until.0.into()],
            )
        }
        Change::PutConsent { client_id, scope } => {
            put_consent(sql, client_id, scope.as_deref(), now)
        }
        Change::RememberReply { key, earlier } => run(
            sql,
            "INSERT OR REPLACE INTO idempotent_reply (key, fingerprint, reply, until) VALUES (?, ?, ?, ?)",
            &[
                key.key.as_bytes().into(),
                earlier.fingerprint.as_bytes().into(),
                wire::encode(&earlier.reply)?.into(),
                now.plus_secs(REPLY_MEMORY_SECS).0.into(),
            ],
        ),
        Change::PutProvisioned(said) => put_provisioned(sql, said),
        // Kept with the entries of the feed that it waits for.
        Change::PutReceipt(_) => Ok(()),
        Change::Sweep { now } => sweep(sql, *now),
    }
}

/// Stores what a decision ended for the feed, and its receipt, if it has one; the caller holds the
/// transaction.
pub fn end(
    sql: &impl Sql,
    entries: &[Entry],
    changes: &[Change],
    now: UnixMillis,
) -> Result<(), SqlError> {
    let waits_for = feed_outbox::append(sql, entries)?;
    for change in changes {
        if let Change::PutReceipt(receipt) = change {
            feed_outbox::put_receipt(sql, receipt, waits_for, now)?;
        }
    }
    Ok(())
}

/// Announcements that are due, the longest first.
pub fn due(sql: &impl Sql, now: UnixMillis, limit: u64) -> Result<Vec<Announcement>, SqlError> {
    sql.exec(
        "SELECT id, session, client_id, ended_at, attempts FROM announcement \
         WHERE next_at <= ? ORDER BY next_at, id LIMIT ?",
        &[now.0.into(), limit.into()],
    )?
    .iter()
    .map(Announcement::try_from)
    .collect()
}

/// When an announcement is due next.
pub fn next_due(sql: &impl Sql) -> Result<Option<UnixMillis>, SqlError> {
    let next = sql.exec("SELECT min(next_at) FROM announcement", &[])?;
    let next = next
        .first()
        .map(|row| row.optional_integer(0))
        .transpose()?;
    Ok(next.flatten().map(UnixMillis))
}

/// Counts an attempt; the caller holds the transaction.
pub fn postpone(
    sql: &impl Sql,
    announcement: &Announcement,
    next: UnixMillis,
) -> Result<(), SqlError> {
    run(
        sql,
        "UPDATE announcement SET attempts = ?, next_at = ? WHERE id = ?",
        &[
            (announcement.attempts + 1).into(),
            next.0.into(),
            announcement.id.into(),
        ],
    )
}

/// Forgets an announcement and says whether it was there; the caller holds the transaction.
pub fn forget(sql: &impl Sql, id: u64) -> Result<bool, SqlError> {
    let gone = sql.exec(
        "DELETE FROM announcement WHERE id = ? RETURNING id",
        &[id.into()],
    )?;
    Ok(!gone.is_empty())
}

fn run(sql: &impl Sql, statement: &str, values: &[Value]) -> Result<(), SqlError> {
    sql.exec(statement, values).map(drop)
}

fn sweep_with(sql: &impl Sql, statement: &str, now: UnixMillis) -> Result<(), SqlError> {
    run(sql, statement, &[now.0.into()])
}

fn put_subject(sql: &impl Sql, subject: &Subject) -> Result<(), SqlError> {
    run(
        sql,
        "INSERT OR REPLACE INTO subject \
         (id, key, generation, disabled, directory_version, killed_at, reactivated_at, \
          upstream_ended_at) VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
        &[
            subject.key.as_bytes().into(),
            subject.generation.into(),
            subject.disabled.into(),
            subject.directory_version.into(),
            subject.killed_at.map(|at| at.0).into(),
            subject.reactivated_at.map(|at| at.0).into(),
            subject.upstream_ended_at.map(|at| at.0).into(),
        ],
    )
}

fn put_provisioned(sql: &impl Sql, said: &Provisioned) -> Result<(), SqlError> {
    run(
        sql,
        "INSERT OR REPLACE INTO provisioned (id, version, names) VALUES (1, ?, ?)",
        &[
            said.version.into(),
            wire::encode(&(&said.groups, &said.roles))?.into(),
        ],
    )
}

fn put_consent(
    sql: &impl Sql,
    client_id: &str,
    scope: Option<&str>,
    now: UnixMillis,
) -> Result<(), SqlError> {
    let Some(scope) = scope else {
        let forget = "DELETE FROM consent WHERE client_id = ?";
        return run(sql, forget, &[client_id.into()]);
    };
    run(
        sql,
        "INSERT OR REPLACE INTO consent (client_id, scope, allowed_at) VALUES (?, ?, ?)",
        &[client_id.into(), scope.into(), now.0.into()],
    )
}

fn sweep(sql: &impl Sql, now: UnixMillis) -> Result<(), SqlError> {
    for statement in [
        "DELETE FROM session WHERE forget_at <= ?",
        "DELETE FROM code WHERE expires_at <= ?",
        "DELETE FROM revoked_token WHERE until <= ?",
        "DELETE FROM idempotent_reply WHERE until <= ?",
        "DELETE FROM used_once WHERE until <= ?",
    ] {
        sweep_with(sql, statement, now)?;
    }
    run(
        sql,
        "DELETE FROM family WHERE session NOT IN (SELECT id FROM session)",
        &[],
    )
}

impl TryFrom<&Row> for Subject {
    type Error = SqlError;

    fn try_from(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            key: SubjectKey::from_bytes(row.bytes(0)?),
            generation: row.integer(1)?,
            disabled: row.integer(2)? != 0,
            directory_version: row.integer(3)?,
            killed_at: row.optional_integer(4)?.map(UnixMillis),
            reactivated_at: row.optional_integer(5)?.map(UnixMillis),
            upstream_ended_at: row.optional_integer(6)?.map(UnixMillis),
        })
    }
}

impl TryFrom<&Row> for Announcement {
    type Error = SqlError;

    fn try_from(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            id: row.integer(0)?,
            session: SessionId::from_bytes(row.bytes(1)?),
            client_id: row.text(2)?.to_owned(),
            ended_at: UnixMillis(row.integer(3)?),
            attempts: row.integer(4)?,
        })
    }
}

/// The subject as a whole, if it was ever seen.
pub fn subject(sql: &impl Sql) -> Result<Option<Subject>, SqlError> {
    sql.exec(
        "SELECT key, generation, disabled, directory_version, killed_at, reactivated_at, \
         upstream_ended_at FROM subject",
        &[],
    )?
    .first()
    .map(Subject::try_from)
    .transpose()
}

fn session(sql: &impl Sql, id: SessionId) -> Result<Option<Session>, SqlError> {
    sql.exec(
        "SELECT session FROM session WHERE id = ?",
        &[id.as_bytes().into()],
    )?
    .first()
    .map(|row| Ok(wire::decode(row.blob(0)?)?))
    .transpose()
}

fn code(sql: &impl Sql, digest: &Digest) -> Result<Option<Code>, SqlError> {
    sql.exec(
        "SELECT code FROM code WHERE digest = ?",
        &[digest.as_bytes().into()],
    )?
    .first()
    .map(|row| Ok(wire::decode(row.blob(0)?)?))
    .transpose()
}

fn family(sql: &impl Sql, session: SessionId) -> Result<Option<Family>, SqlError> {
    sql.exec(
        "SELECT family FROM family WHERE session = ?",
        &[session.as_bytes().into()],
    )?
    .first()
    .map(|row| Ok(wire::decode(row.blob(0)?)?))
    .transpose()
}

fn token_revoked(sql: &impl Sql, token: Option<TokenId>) -> Result<bool, SqlError> {
    let Some(token) = token else {
        return Ok(false);
    };
    let revoked = "SELECT 1 FROM revoked_token WHERE token = ?";
    Ok(!sql.exec(revoked, &[token.as_bytes().into()])?.is_empty())
}

fn has_ended(sql: &impl Sql, sid: &Digest) -> Result<bool, SqlError> {
    let ended = "SELECT 1 FROM ended_upstream WHERE sid = ?";
    Ok(!sql.exec(ended, &[sid.as_bytes().into()])?.is_empty())
}

fn was_used(sql: &impl Sql, once: Option<&OneTime>) -> Result<bool, SqlError> {
    let Some(once) = once else {
        return Ok(false);
    };
    let used = "SELECT 1 FROM used_once WHERE digest = ?";
    Ok(!sql.exec(used, &[once.digest.as_bytes().into()])?.is_empty())
}

fn consented(sql: &impl Sql, client_id: &str) -> Result<Option<String>, SqlError> {
    sql.exec(
        "SELECT scope FROM consent WHERE client_id = ?",
        &[client_id.into()],
    )?
    .first()
    .map(|row| row.text(0).map(str::to_owned))
    .transpose()
}

fn provisioned(sql: &impl Sql) -> Result<Option<Provisioned>, SqlError> {
    sql.first("SELECT version, names FROM provisioned", &[])?
        .as_ref()
        .map(|row| provisioned_in(row, 0))
        .transpose()
}

/// From version and names, which begin at that column.
fn provisioned_in(row: &Row, at: usize) -> Result<Provisioned, SqlError> {
    let (groups, roles) = wire::decode(row.blob(at + 1)?)?;
    Ok(Provisioned {
        version: row.integer(at)?,
        groups,
        roles,
    })
}

fn earlier(
    sql: &impl Sql,
    key: &IdempotencyKey,
    now: UnixMillis,
) -> Result<Option<EarlierReply>, SqlError> {
    sql.exec(
        "SELECT fingerprint, reply FROM idempotent_reply WHERE key = ? AND until > ?",
        &[key.key.as_bytes().into(), now.0.into()],
    )?
    .first()
    .map(|row| {
        Ok(EarlierReply {
            fingerprint: Digest::from_bytes(row.bytes(0)?),
            reply: wire::decode(row.blob(1)?)?,
        })
    })
    .transpose()
}
