//! What a change of a group means for its members' subjects: a job.
//!
//! The job and every command of it are stored with the change, however many members there are. Its commands
//! are a block of versions in `pending`, and so what is left of it is counted there. Each is sent and
//! confirmed by itself ([`super::delivery`]), in no other way than a user's.
//!
//! Of a member only the subject that they may log in as is told: whoever is kept out has nothing to lose, and is
//! told when they are let in again.

use super::command::SubjectCommand;
use super::effects::cause;
use super::service::{Context, DirectoryService};
use super::store;
use crate::objects::sql::{Row, Sql, SqlError, Value};
use portcullis_core::scim::change::GroupChange;
use portcullis_core::scim::group::GroupId;
use portcullis_core::scim::job::{
    Job, JobId, JobKind, Jobs, KEPT_SECS, ListJobs, MAX_JOBS, Such, tells,
};
use portcullis_core::scim::user::UserId;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;

/// How many ids a statement takes at once: a value has 2 MB at most.
const AT_A_TIME: usize = 50_000;

impl<S: Sql> DirectoryService<S> {
    /// Notes what is to be done for `change`; the caller holds the transaction, and has not changed a row of
    /// the group or its members yet.
    pub(super) fn group_changes(
        &self,
        context: &Context,
        group: GroupId,
        change: &GroupChange,
    ) -> Result<Option<JobId>, SqlError> {
        let tells = tells(change, context.rules.group_changes);
        let cause = cause(tells.why);
        let first = store::next_version(&self.sql, context.now)?;
        let killed = Commands {
            logged_in: SubjectCommand::ProvisionAndEnd(cause),
            others: Some(SubjectCommand::End(cause)),
        };
        let after = add_all(&self.sql, group, &tells.killed, &killed, first)?;
        let told = Commands {
            logged_in: SubjectCommand::Provision,
            others: None,
        };
        let end = add_all(&self.sql, group, &tells.told, &told, after)?;
        let total = end - first;
        if total == 0 {
            return Ok(None);
        }
        store::take_versions(&self.sql, total, context.now)?;
        let kills = after > first;
        self.sql.exec(
            "INSERT INTO job (id, what, grp, group_name, cause, total, created) VALUES \
             (?, ?, ?, coalesce((SELECT display_name FROM scim_group WHERE id = ?), ''), ?, ?, ?)",
            &[
                first.into(),
                JobKind::from(change).as_str().into(),
                group.as_bytes().into(),
                group.as_bytes().into(),
                kills.then(|| cause.as_str()).into(),
                total.into(),
                context.now.0.into(),
            ],
        )?;
        sweep(&self.sql, context.now)?;
        context.job.set(Some(JobId(first)));
        Ok(context.job.get())
    }
}

/// What members are told.
struct Commands {
    /// Those who have logged in.
    logged_in: SubjectCommand,
    /// The others; `None`: nothing.
    others: Option<SubjectCommand>,
}

/// Adds a command for everybody whom `such` means, with versions from `first` on, and says which is free then.
fn add_all(
    sql: &impl Sql,
    group: GroupId,
    such: &Such,
    commands: &Commands,
    first: u64,
) -> Result<u64, SqlError> {
    let mut next = first;
    let group = Value::from(group.as_bytes());
    if such.members {
        let members = "SELECT user FROM member WHERE grp = ?";
        next = add(sql, members, vec![group.clone()], commands, next)?;
    }
    let mut ids = Vec::new();
    for text in &such.users {
        // What is no id is nobody's.
        ids.extend(UserId::from_text(text).map(|id| *id.as_bytes()));
    }
    for some in ids.chunks(AT_A_TIME) {
        let bytes: Vec<u8> = some.concat();
        let many = some.len() as u64;
        let named = "SELECT substr(b, 16 * n + 1, 16) AS user FROM \
             (WITH RECURSIVE c (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n + 1 < ?) SELECT n FROM c), \
             (SELECT ? AS b)";
        let mut values = vec![many.into(), bytes.into()];
        if such.members {
            // Who is a member was told.
            let others = format!(
                "SELECT user FROM ({named}) WHERE user NOT IN (SELECT user FROM member WHERE grp = ?)"
            );
            values.push(group.clone());
            next = add(sql, &others, values, commands, next)?;
        } else {
            next = add(sql, named, values, commands, next)?;
        }
    }
    Ok(next)
}

fn add(
    sql: &impl Sql,
    users: &str,
    mut values: Vec<Value>,
    commands: &Commands,
    next: u64,
) -> Result<u64, SqlError> {
    let only = match commands.others {
        Some(_) => "",
        None => " WHERE seen",
    };
    // Of what somebody stood for, all but the present is held.
    let statement = format!(
        "INSERT INTO pending (version, subject, command) \
         SELECT ? + row_number() OVER () - 1, subject, iif(seen, ?, ?) FROM (\
         SELECT linked_subject.subject AS subject, registry.last_login_at IS NOT NULL AS seen \
         FROM ({users}) AS these CROSS JOIN linked_subject ON linked_subject.user = these.user \
         LEFT JOIN registry ON registry.subject = linked_subject.subject \
         WHERE NOT EXISTS (SELECT 1 FROM held_subject \
         WHERE held_subject.subject = linked_subject.subject)){only}"
    );
    let others = commands.others.unwrap_or(commands.logged_in);
    let mut all: Vec<Value> = vec![
        next.into(),
        wire::encode(&commands.logged_in)?.into(),
        wire::encode(&others)?.into(),
    ];
    all.append(&mut values);
    sql.exec(&statement, &all)?;
    let last = sql.exec(
        "SELECT max(version) FROM pending WHERE version >= ?",
        &[next.into()],
    )?;
    let last = last
        .first()
        .map_or(Ok(None), |row| row.optional_integer(0))?;
    Ok(last.map_or(next, |last| last + 1))
}

/// Forgets what has been finished for long; the caller holds the transaction.
fn sweep(sql: &impl Sql, now: UnixMillis) -> Result<(), SqlError> {
    let long_ago = now.0.saturating_sub(KEPT_SECS * 1000);
    sql.exec("DELETE FROM job WHERE finished <= ?", &[long_ago.into()])
        .map(drop)
}

/// That command has been confirmed, and is gone: whichever job it was of may be finished by that. The caller
/// holds the transaction.
pub fn confirmed(sql: &impl Sql, version: u64, now: UnixMillis) -> Result<(), SqlError> {
    sql.exec(
        "UPDATE job SET finished = ? WHERE finished IS NULL AND id <= ? AND ? < id + total \
         AND NOT EXISTS (SELECT 1 FROM pending WHERE version >= job.id AND version < job.id + job.total)",
        &[now.0.into(), version.into(), version.into()],
    )
    .map(drop)
}

/// Of a group that was made by the change, the name that it has now.
const JOB: &str = "SELECT id, what, grp, coalesce(nullif(group_name, ''), \
     (SELECT display_name FROM scim_group WHERE scim_group.id = grp), ''), cause, total, \
     (SELECT count(*) FROM pending WHERE version >= job.id AND version < job.id + job.total), \
     (SELECT count(*) FROM pending WHERE version >= job.id AND version < job.id + job.total \
     AND failures > 0), created, finished FROM job";

impl TryFrom<&Row> for Job {
    type Error = SqlError;

    fn try_from(row: &Row) -> Result<Self, SqlError> {
        let total = row.integer(5)?;
        Ok(Self {
            id: JobId(row.integer(0)?),
            what: JobKind::from_text(row.text(1)?).ok_or_else(|| SqlError::corrupt("job"))?,
            group: GroupId::from_bytes(row.bytes(2)?),
            group_name: row.text(3)?.to_owned(),
            cause: row.optional_text(4)?.map(str::to_owned),
            total,
            done: total.saturating_sub(row.integer(6)?),
            failing: row.integer(7)?,
            created: UnixMillis(row.integer(8)?),
            finished: row.optional_integer(9)?.map(UnixMillis),
        })
    }
}

/// One job.
pub fn job(sql: &impl Sql, id: JobId) -> Result<Option<Job>, SqlError> {
    sql.exec(&format!("{JOB} WHERE id = ?"), &[id.0.into()])?
        .first()
        .map(Job::try_from)
        .transpose()
}

/// A page of jobs, newest first.
pub fn jobs(sql: &impl Sql, list: ListJobs) -> Result<Jobs, SqlError> {
    let limit = list.limit.clamp(1, MAX_JOBS);
    let before = list.before.map_or((1 << 53) - 1, |id| id.0);
    let rows = sql.exec(
        &format!("{JOB} WHERE id < ? ORDER BY id DESC LIMIT ?"),
        &[before.into(), u64::from(limit + 1).into()],
    )?;
    let mut jobs = rows
        .iter()
        .map(Job::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    let there_are_more = jobs.len() > limit as usize;
    jobs.truncate(limit as usize);
    let next = jobs.last().map(|job| job.id).filter(|_| there_are_more);
    Ok(Jobs { jobs, next })
}
