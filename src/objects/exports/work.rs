//! What is done about exports: a slice of the oldest that there is something to do about.
//!
//! A slice asks the lane for lines, puts what follows from them into the bucket as parts of the export's files, and only
//! then notes that it did. What a slice is follows from what was noted before, and parts have names of their own:
//!
//! | a crash | leaves | then |
//! |---|---|---|
//! | before a part is there | nothing | the slice is made again |
//! | after it, before it is noted | the part | the same part is put in its place |
//! | after it is noted, before an event is delivered | the event in the outbox | the alarm delivers it |
//! | while parts are removed | some of them | what is left is listed and removed |
//!
//! While the parts of a slice are put into the bucket, the next slice is made, in memory: what it has is put there only when
//! the one before is noted.
//!
//! The checkpoint is the lane's own answer, archived before it was given out, and is what the export rests on from the
//! first slice on. The last slice shows whether all lines and hashes make its root; if not the job is over.

use super::part_name;
use super::service::ExportsService;
use super::store;
use crate::objects::lane::service::LANE;
use crate::objects::sql::{Sql, SqlError};
use futures::future::{join, try_join_all};
use portcullis_core::audit::call::{Answer, GetCheckpoint, GetLogKey, LaneRequest};
use portcullis_core::audit::event::Outcome;
use portcullis_core::audit::export::job::{Bound, ExportId, Failed, Finished, Job, Phase, Run};
use portcullis_core::audit::export::lines::digest;
use portcullis_core::audit::export::make::{Maker, NotMade, Parts};
use portcullis_core::audit::export::manifest::{Entry, Manifest, Range, Stated};
use portcullis_core::audit::export::source::{Bytes, GetLines, GetSubtrees, Lines};
use portcullis_core::audit::export::write::Done;
use portcullis_core::audit::export::{CHECKPOINT, MANIFEST, VERSION};
use portcullis_core::audit::log::Head;
use portcullis_core::audit::log::checkpoint::CheckpointVerifier;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire::Call;

/// How long an index that the log does not have is waited for: checkpoints are a little older than the log.
const MAX_AHEAD_MS: u64 = 10_000;

/// The log.
pub trait Source {
    /// Asks the lane.
    async fn ask<C: Call<Request = LaneRequest>>(&self, call: C) -> Result<C::Reply, String>;
}

/// Where the files lie.
pub trait Bucket {
    /// Puts an object, whatever there is.
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), String>;
    /// Some of the objects whose names begin so; none only if there are none.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, String>;
    /// Removes objects.
    async fn delete(&self, names: Vec<String>) -> Result<(), String>;
}

/// Why a slice was not made.
enum Not {
    /// It may be better later.
    Now(String),
    /// It will not be.
    Ever(String),
}

impl From<NotMade> for Not {
    fn from(why: NotMade) -> Self {
        Self::Ever(why.to_string())
    }
}

/// A job after a slice, and the parts that were made.
type Made = (Phase, u64, Parts);

impl<S: Sql> ExportsService<S> {
    /// Does a part of what there is to do; false if there is nothing.
    pub async fn work(
        &self,
        lane: &impl Source,
        bucket: &impl Bucket,
        now: UnixMillis,
    ) -> Result<bool, SqlError> {
        self.ready()?;
        let Some((id, job)) = store::oldest_due(&self.sql, now)? else {
            return Ok(false);
        };
        match &job.phase {
            Phase::Waiting | Phase::Running(_) => self.make(id, job, lane, bucket, now).await?,
            Phase::Finished(_) => self.sql.transaction(|| {
                self.tell(job.event(id, "expired", Outcome::Success, now))?;
                store::forget_request(&self.sql, id)?;
                store::put(&self.sql, id, &job.clone().is_at(Phase::Removing))
            })?,
            Phase::Failed(Failed { swept: true, .. }) => {
                self.sql.transaction(|| store::forget(&self.sql, id))?;
            }
            Phase::Failed(_) | Phase::Removing => self.sweep(id, &job, bucket, now).await?,
        }
        Ok(true)
    }

    /// Makes slices, each while the one before is put away, until it is enough or one cannot be made or noted.
    async fn make(
        &self,
        id: ExportId,
        mut job: Job,
        lane: &impl Source,
        bucket: &impl Bucket,
        now: UnixMillis,
    ) -> Result<(), SqlError> {
        let mut made = self.next(&job, lane, now).await;
        for _ in 1..self.bounds.slices {
            let Ok((phase @ Phase::Running(_), ..)) = &made else {
                break;
            };
            let next = job.clone().is_at(phase.clone());
            let put = self.put(id, &job, made, bucket, now);
            let (noted, following) = join(put, self.next(&next, lane, now)).await;
            if !noted? {
                return Ok(());
            }
            (job, made) = (next, following);
        }
        self.put(id, &job, made, bucket, now).await.map(drop)
    }

    /// What comes next of a job that is to be made. Nothing is changed by it.
    async fn next(&self, job: &Job, lane: &impl Source, now: UnixMillis) -> Result<Made, Not> {
        match &job.phase {
            Phase::Running(run) => self.slice(job, run, lane, now).await,
            _ => self.begin(job, lane, now).await,
        }
    }

    /// Puts what was made into the bucket, and notes that, or what was in the way; whether it is noted that it was made.
    async fn put(
        &self,
        id: ExportId,
        job: &Job,
        made: Result<Made, Not>,
        bucket: &impl Bucket,
        now: UnixMillis,
    ) -> Result<bool, SqlError> {
        let made = match made {
            Ok((phase, number, parts)) => {
                let lengths: Vec<_> = parts
                    .iter()
                    .map(|(file, bytes)| (*file, bytes.len() as u64))
                    .collect();
                let puts = parts.into_iter().map(|(file, bytes)| async move {
                    bucket
                        .put(&part_name(id, Some((file, number))), bytes)
                        .await
                });
                let put = try_join_all(puts).await;
                put.map(|_| (phase, number, lengths)).map_err(Not::Now)
            }
            Err(not) => Err(not),
        };
        let is_made = made.is_ok();
        let (next, number, lengths) = match made {
            Ok((phase, number, lengths)) => (job.clone().is_at(phase), number, lengths),
            Err(Not::Now(why)) => (job.clone().has_trouble(why, now), 0, Vec::new()),
            Err(Not::Ever(why)) => (job.clone().fails(why, now), 0, Vec::new()),
        };
        self.sql.transaction(|| {
            // Somebody had it removed: what was put is found when the rest is.
            if !self.is_still(id, job)? {
                return Ok(false);
            }
            for (file, bytes) in &lengths {
                store::add_part(&self.sql, id, file, number, *bytes)?;
            }
            store::put(&self.sql, id, &next)?;
            match &next.phase {
                Phase::Finished(_) => {
                    self.tell(next.event(id, "finished", Outcome::Success, now))?;
                }
                Phase::Failed(failed) => {
                    let mut event = next.event(id, "failed", Outcome::Denied, now);
                    let why = ("failure".to_owned(), failed.reason.clone());
                    event.claims.push(why);
                    self.tell(event)?;
                }
                Phase::Waiting | Phase::Running(_) | Phase::Removing => {}
            }
            Ok(is_made)
        })
    }

    /// Removes all that there is of it in the bucket.
    async fn sweep(
        &self,
        id: ExportId,
        job: &Job,
        bucket: &impl Bucket,
        now: UnixMillis,
    ) -> Result<(), SqlError> {
        let prefix = part_name(id, None);
        let swept = async {
            loop {
                let names = bucket.list(&prefix).await?;
                if names.is_empty() {
                    return Ok(());
                }
                bucket.delete(names).await?;
            }
        };
        let swept: Result<(), String> = swept.await;
        self.sql.transaction(|| {
            if !self.is_still(id, job)? {
                return Ok(());
            }
            match (swept, &job.phase) {
                (Err(why), _) => store::put(&self.sql, id, &job.clone().has_trouble(why, now)),
                (Ok(()), Phase::Failed(failed)) => {
                    store::forget_parts(&self.sql, id)?;
                    let failed = Failed {
                        swept: true,
                        ..failed.clone()
                    };
                    store::put(&self.sql, id, &job.clone().is_at(Phase::Failed(failed)))
                }
                (Ok(()), _) => store::forget(&self.sql, id),
            }
        })
    }

    /// Takes the checkpoint, and finds out what was asked for.
    async fn begin(&self, job: &Job, lane: &impl Source, now: UnixMillis) -> Result<Made, Not> {
        let vkey = asked(lane, GetLogKey { epoch: None }).await?;
        let checkpoint = asked(lane, GetCheckpoint { epoch: None }).await?;
        let (key, head) = match opened(&vkey, &checkpoint) {
            // A new log began between the two.
            Err(_) if asked(lane, GetLogKey { epoch: None }).await? != vkey => {
                return Err(Not::Now("the log was begun anew".to_owned()));
            }
            opened => opened?,
        };
        let first = match job.asked.from {
            Some(bound) => bound_at(lane, &head, bound).await?,
            None if head.size == 0 => 0,
            None => line(lane, 0).await?.first,
        };
        let end = match job.asked.to {
            Some(bound) => bound_at(lane, &head, bound).await?,
            None => head.size,
        };
        if first.max(end) > head.size {
            let why = format!("the log has {} lines", head.size);
            let may_come = now.0.saturating_sub(job.created.0) < MAX_AHEAD_MS;
            return Err(if may_come {
                Not::Now(why)
            } else {
                Not::Ever(why)
            });
        }
        if first > end {
            return Err(Not::Ever("it begins behind its end".to_owned()));
        }
        let mut maker = Maker::begin(job.asked.format, key.origin().as_str(), head.size)?;
        others(lane, &mut maker, first).await?;
        let parts = maker.take();
        let run = Run {
            vkey,
            checkpoint: Bytes(checkpoint),
            scan: Range { first, end },
            next: first,
            lines: 0,
            slices: 1,
            made: maker.unfinished(),
        };
        Ok((Phase::Running(run), 0, parts))
    }

    /// Makes a slice, which may be the last.
    async fn slice(
        &self,
        job: &Job,
        run: &Run,
        lane: &impl Source,
        now: UnixMillis,
    ) -> Result<Made, Not> {
        let (key, head) = opened(&run.vkey, &run.checkpoint.0)?;
        let maker = Maker::resume(job.asked.format, &run.made);
        let mut maker = maker.ok_or_else(|| Not::Ever("it cannot go on".to_owned()))?;
        let end = run.scan.end;
        let filter = job.asked.filter.as_ref();
        for _ in 0..self.bounds.asked {
            let first = maker.size();
            if first >= end || maker.waiting() >= self.bounds.enough_bytes {
                break;
            }
            let max_bytes = self.bounds.lines_bytes;
            let asked = GetLines {
                first,
                end,
                max_bytes,
            };
            let found = found(lane, asked).await?;
            if found.first != first {
                let why = format!(
                    "the log does not keep lines before {} any more",
                    found.first
                );
                return Err(Not::Ever(why));
            }
            maker.lines(&found.lines.0, filter)?;
        }
        if maker.size() < end {
            let parts = maker.take();
            let run = Run {
                next: maker.size(),
                lines: maker.done().lines,
                slices: run.slices + 1,
                made: maker.unfinished(),
                ..run.clone()
            };
            let number = run.slices - 1;
            return Ok((Phase::Running(run), number, parts));
        }
        if maker.size() > end {
            return Err(NotMade::Unproven.into());
        }
        others(lane, &mut maker, head.size).await?;
        let (done, mut parts, mut files) = maker.finish(&head)?;
        let checkpoint = &run.checkpoint.0;
        files.insert(1, entry(CHECKPOINT, checkpoint)?);
        let manifest = self.manifest(job, run, &key, &head, &done, &files)?;
        files.push(entry(MANIFEST, &manifest)?);
        parts.push((CHECKPOINT, checkpoint.clone()));
        parts.push((MANIFEST, manifest));
        let finished = Finished {
            at: now,
            checkpoint: Stated::from(&head),
            scan: run.scan,
            lines: done.lines,
            files,
        };
        Ok((Phase::Finished(finished), run.slices, parts))
    }

    fn manifest(
        &self,
        job: &Job,
        run: &Run,
        key: &CheckpointVerifier,
        head: &Head,
        done: &Done,
        files: &[Entry],
    ) -> Result<Vec<u8>, Not> {
        // A log keeps its name if the service moves.
        let origin = key.origin().to_string();
        let log = key.origin().log().filter(|(_, log)| log.lane == LANE);
        let host = log.map(|(host, _)| host);
        let scheme = self.issuer.split_once("://").map(|(scheme, _)| scheme);
        let (Some(host), Some(scheme)) = (host, scheme) else {
            return Err(Not::Ever(format!("{origin} is no lane {LANE}")));
        };
        let manifest = Manifest {
            version: VERSION,
            issuer: format!("{scheme}://{host}"),
            lane: LANE,
            kind: job.asked.kind(),
            scanned: vec![run.scan],
            filter: job.asked.wanted(),
            lines: done.lines,
            first_index: done.first_index,
            last_index: done.last_index,
            exported_at: job.created.to_rfc3339(),
            requested_by: Some(job.by.clone()),
            checkpoint: Stated::from(head),
            files: files.to_vec(),
            origin,
        };
        let rendered = manifest.render();
        let rendered = rendered.map_err(|error| Not::Ever(error.to_string()))?;
        Ok(rendered.into_bytes())
    }
}

fn entry(name: &str, bytes: &[u8]) -> Result<Entry, Not> {
    let digest = digest(bytes).map_err(|error| Not::Ever(error.to_string()))?;
    Ok(Entry::new(name, digest))
}

/// The key, and the head that the checkpoint says.
fn opened(vkey: &str, checkpoint: &[u8]) -> Result<(CheckpointVerifier, Head), Not> {
    let key = CheckpointVerifier::from_vkey(vkey);
    let key = key.ok_or_else(|| Not::Ever("the log's key is none".to_owned()))?;
    let head = key.open(checkpoint);
    let head = head.map_err(|error| Not::Ever(error.to_string()))?;
    Ok((key, head))
}

async fn asked<C, T>(lane: &impl Source, call: C) -> Result<T, Not>
where
    C: Call<Request = LaneRequest, Reply = Answer<T>>,
{
    match lane.ask(call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(refusal)) => Err(Not::Now(refusal.to_string())),
        Err(why) => Err(Not::Now(why)),
    }
}

async fn found<C, T>(lane: &impl Source, call: C) -> Result<T, Not>
where
    C: Call<Request = LaneRequest, Reply = Answer<Option<T>>>,
{
    let answer: Option<T> = asked(lane, call).await?;
    // A lane that was restored is ahead of its checkpoint again when it has as many lines, and refuses till then.
    answer.ok_or_else(|| Not::Now("the log is smaller than its checkpoint".to_owned()))
}

/// A line, or where lines are if that one is not kept any more.
async fn line(lane: &impl Source, index: u64) -> Result<Lines, Not> {
    let asked = GetLines {
        first: index,
        end: index + 1,
        max_bytes: 0,
    };
    found(lane, asked).await
}

/// What is up to `end` is not exported: only its hashes are.
async fn others(lane: &impl Source, maker: &mut Maker, end: u64) -> Result<(), Not> {
    let first = maker.size();
    let asked = GetSubtrees { first, end };
    let roots = found(lane, asked).await?;
    let rooted = asked.rooted(&roots).ok_or(NotMade::Unproven)?;
    for (height, root) in rooted {
        maker.others(height, root)?;
    }
    Ok(())
}

/// The index that is meant; by halving if it is a time, for commits are in order.
async fn bound_at(lane: &impl Source, head: &Head, bound: Bound) -> Result<u64, Not> {
    #[derive(serde::Deserialize)]
    struct Committed {
        committed: String,
    }
    let at = match bound {
        Bound::Index(index) => return Ok(index),
        Bound::Committed(at) => at.to_rfc3339(),
    };
    let (mut low, mut high) = (0, head.size);
    while low < high {
        let middle = low + (high - low) / 2;
        let found = line(lane, middle).await?;
        if found.first > middle {
            // It is not kept any more: whatever is, is later.
            low = found.first.min(high);
            continue;
        }
        let read: Committed =
            serde_json::from_slice(&found.lines.0).map_err(|_| NotMade::NoLine)?;
        // Both are RFC 3339 in UTC with milliseconds, which sorts as text.
        if read.committed < at {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
