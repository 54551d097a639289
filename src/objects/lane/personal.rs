//! Personal fields in a lane: reading them, disclosing what opens them, and destroying their keys. Each is logged in the
//! transaction that does it. All of it is bounded work.

use super::person_store;
use super::service::LaneService;
use super::store;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::detail::Detail;
use portcullis_core::audit::personal::{
    Disclose, Disclosures, Erase, Erasing, Erasure, Held, MAX_LINES, PersonalPage, QueryPersonal,
};
use portcullis_core::audit::sealed::{Day, Owner, SealedLine};
use portcullis_core::time::UnixMillis;

/// The most segments that are looked at for one answer.
const MAX_SEGMENTS: usize = 500;

impl<S: Sql> LaneService<S> {
    /// Reads a page with what is sealed in it and logs that, or does neither.
    pub fn query_personal(
        &self,
        asked: QueryPersonal,
        now: UnixMillis,
    ) -> Result<PersonalPage, SqlError> {
        self.open()?;
        self.forgetting(|| {
            let page = self.page(&asked.query)?;
            let mut personal = Vec::new();
            for line in page.lines.iter().filter_map(|line| SealedLine::parse(line)) {
                let keys = self.person_keys(line.owner, now)?;
                personal.push((line.index, keys.iter().find_map(|key| line.open(key))));
            }
            if let Some(read) = asked.query.read {
                self.log_own(read, None, now)?;
            }
            Ok(PersonalPage { page, personal })
        })
    }

    /// Discloses keys of lines and logs that, or does neither.
    pub fn disclose(&self, asked: Disclose, now: UnixMillis) -> Result<Disclosures, SqlError> {
        self.open()?;
        self.forgetting(|| {
            let end = asked.to.min(store::next_index(&self.sql)?);
            let mut keys = Vec::new();
            let mut at = asked.from.min(end);
            let mut segments = 0;
            while at < end && at - asked.from < MAX_LINES && segments < MAX_SEGMENTS {
                let Some(segment) = store::segment_at(&self.sql, at)? else {
                    break;
                };
                for line in sealed_lines(&segment.lines)? {
                    if (at..end).contains(&line.index)
                        && let Some(key) = self.key_of(&line, now)?
                    {
                        keys.push((line.index, *key.leaf(line.place).as_bytes()));
                    }
                }
                at = segment.end().min(end);
                segments += 1;
            }
            let detail = Detail::Lines {
                first_index: asked.from,
                end_index: at,
            };
            self.log_own(asked.read, Some(&detail), now)?;
            let next = (at < end).then_some(at);
            Ok(Disclosures { keys, next })
        })
    }

    /// Destroys keys and logs that, or does neither; or says what that would be.
    pub fn erase(&self, asked: Erase, now: UnixMillis) -> Result<Result<Erasure, Held>, SqlError> {
        self.open()?;
        let what = asked.what;
        self.forgetting(|| {
            if let Some(hold) = person_store::hold(&self.sql, what)? {
                return Ok(Err(Held { hold }));
            }
            let (keys, since) = person_store::count(&self.sql, what)?;
            let (lines, at_least) = match since {
                Some(since) => self.count_sealed(what, since)?,
                None => (0, false),
            };
            let is_done = keys > 0 && !asked.dry_run;
            if is_done {
                person_store::destroy(&self.sql, what, now)?;
                // Forgotten whether or not this is kept: what is still there is read again.
                self.person_keys.forget();
            }
            if is_done || asked.dry_run {
                let detail = match what {
                    Erasing::Subject(_) => None,
                    Erasing::UnattributedBefore(day) => Some(Detail::Days {
                        unattributed_before: day.to_string(),
                    }),
                };
                self.log_own(asked.said, detail.as_ref(), now)?;
            }
            Ok(Ok(Erasure {
                keys,
                since,
                lines,
                at_least,
                erased_at: person_store::erased_at(&self.sql, what)?,
            }))
        })
    }

    /// How many of the latest lines the keys seal that are meant, and whether there may be more. No line from before
    /// `since` has any.
    fn count_sealed(&self, what: Erasing, since: UnixMillis) -> Result<(u64, bool), SqlError> {
        let mut at = store::next_index(&self.sql)?;
        let (mut found, mut looked_at) = (0, 0);
        for _ in 0..MAX_SEGMENTS {
            let Some(segment) = store::segment_below(&self.sql, at)? else {
                return Ok((found, false));
            };
            let mut is_before = false;
            for line in sealed_lines(&segment.lines)? {
                found += u64::from(is_meant(what, line.owner));
                is_before |= line.committed < since;
            }
            looked_at += segment.count;
            at = segment.first_index;
            if at == 0 || is_before {
                return Ok((found, false));
            }
            if looked_at >= MAX_LINES {
                break;
            }
        }
        Ok((found, true))
    }
}

fn is_meant(what: Erasing, owner: Owner) -> bool {
    match (what, owner) {
        (Erasing::Subject(key), Owner::Subject(of)) => key == of,
        (Erasing::UnattributedBefore(Day(before)), Owner::Day(Day(of))) => of < before,
        _ => false,
    }
}

fn sealed_lines(lines: &[u8]) -> Result<Vec<SealedLine>, SqlError> {
    let text = std::str::from_utf8(lines).map_err(|_| SqlError::corrupt("lines"))?;
    Ok(text.lines().filter_map(SealedLine::parse).collect())
}
