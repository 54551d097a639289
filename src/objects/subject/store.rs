//! Every statement of a subject's object. Rows become domain values here and nowhere else.

use crate::objects::sql::{Row, Sql, SqlError, Value};
use portcullis_core::id::{SessionId, SubjectKey};
use portcullis_core::secret::Digest;
use portcullis_core::session::check::CheckRequest;
use portcullis_core::session::revoke::IdempotencyKey;
use portcullis_core::session::{
    Change, CheckFacts, Code, Command, EarlierReply, Session, State, Subject,
};
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;

/// The object's schema, in the order it grew.
pub const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_subject.sql"),
    include_str!("../outbox.sql"),
];

/// How long an idempotent reply is kept, in seconds.
const REPLY_MEMORY_SECS: u64 = 24 * 3600;

/// What `command` may look at.
pub fn load<C: Command>(sql: &impl Sql, key: SubjectKey, command: &C) -> Result<State, SqlError> {
    Ok(State {
        subject: subject(sql)?.unwrap_or_else(|| Subject::unseen(key)),
        sessions: sessions(sql)?,
        code: match command.code() {
            Some(digest) => code(sql, digest)?,
            None => None,
        },
        earlier: match command.idempotency_key() {
            Some(key) => earlier(sql, key)?,
            None => None,
        },
    })
}

/// What a check looks at.
pub fn check_facts(sql: &impl Sql, request: &CheckRequest) -> Result<CheckFacts, SqlError> {
    let token_revoked = match request.token {
        Some(token) => !sql
            .exec(
                "SELECT 1 FROM revoked_token WHERE token = ?",
                &[token.as_bytes().into()],
            )?
            .is_empty(),
        None => false,
    };
    Ok(CheckFacts {
        subject: subject(sql)?,
        session: session(sql, request.session)?,
        token_revoked,
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
        Change::DropCodesOf(session) => run(
            sql,
            "DELETE FROM code WHERE session = ?",
            &[session.as_bytes().into()],
        ),
        Change::RevokeToken { token, until } => run(
            sql,
            "INSERT OR REPLACE INTO revoked_token (token, until) VALUES (?, ?)",
            &[token.as_bytes().into(), until.0.into()],
        ),
        Change::RememberReply { key, earlier } => run(
            sql,
            "INSERT INTO idempotent_reply (key, fingerprint, reply, until) VALUES (?, ?, ?, ?)",
            &[
                key.key.as_bytes().into(),
                earlier.fingerprint.as_bytes().into(),
                wire::encode(&earlier.reply)?.into(),
                now.plus_secs(REPLY_MEMORY_SECS).0.into(),
            ],
        ),
        Change::Sweep { now } => sweep(sql, *now),
    }
}

fn run(sql: &impl Sql, statement: &str, values: &[Value]) -> Result<(), SqlError> {
    sql.exec(statement, values).map(drop)
}

fn put_subject(sql: &impl Sql, subject: &Subject) -> Result<(), SqlError> {
    run(
        sql,
        "INSERT OR REPLACE INTO subject \
         (id, key, generation, disabled, directory_version, killed_at) VALUES (1, ?, ?, ?, ?, ?)",
        &[
            subject.key.as_bytes().into(),
            subject.generation.into(),
            subject.disabled.into(),
            subject.directory_version.into(),
            subject.killed_at.map(|at| at.0).into(),
        ],
    )
}

fn sweep(sql: &impl Sql, now: UnixMillis) -> Result<(), SqlError> {
    for statement in [
        "DELETE FROM session WHERE forget_at <= ?",
        "DELETE FROM code WHERE expires_at <= ?",
        "DELETE FROM revoked_token WHERE until <= ?",
        "DELETE FROM idempotent_reply WHERE until <= ?",
    ] {
        run(sql, statement, &[now.0.into()])?;
    }
    Ok(())
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
        })
    }
}

fn subject(sql: &impl Sql) -> Result<Option<Subject>, SqlError> {
    sql.exec(
        "SELECT key, generation, disabled, directory_version, killed_at FROM subject",
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

fn earlier(sql: &impl Sql, key: &IdempotencyKey) -> Result<Option<EarlierReply>, SqlError> {
    sql.exec(
        "SELECT fingerprint, reply FROM idempotent_reply WHERE key = ?",
        &[key.key.as_bytes().into()],
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
