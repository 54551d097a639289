//! `GET /v1/audit/status`: how the audit log is, for whoever looks after it.
//!
//! How much there is and how much of it is archived, what could not be taken in, whether messages wait, and whether the
//! lane signs: that is found out by having it sign.

use super::context::Ctx;
use crate::error::{Problem, json};
use crate::objects::call::{self, CallError};
use crate::objects::lane::service::LANE;
use futures::future::join;
use portcullis_core::audit::backlog::Backlog;
use portcullis_core::audit::call::{Answer, GetCheckpoint, GetStatus, LaneStatus};
use portcullis_core::audit::letters::{LetterCount, MAX_LETTERS, MAX_LETTERS_BYTES};
use portcullis_core::audit::log::TILE_WIDTH;
use portcullis_core::time::UnixMillis;
use serde_json::{Map, Value, json};
use worker::{Response, Result};

/// How the log is.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let (status, signed) = join(
        call::lane(&ctx.env, GetStatus),
        call::lane(&ctx.env, GetCheckpoint { epoch: None }),
    )
    .await;
    match status {
        Ok(status) => json(200, &rendered(&status, refusal(signed).as_deref(), ctx.now)),
        Err(error) => {
            worker::console_error!("audit: {error}");
            Problem::unavailable().response()
        }
    }
}

/// Why the lane does not sign, if it does not.
fn refusal(signed: std::result::Result<Answer<Vec<u8>>, CallError>) -> Option<String> {
    match signed {
        Ok(Ok(_)) => None,
        Ok(Err(refusal)) => Some(refusal.to_string()),
        Err(error) => {
            worker::console_error!("audit: {error}");
            Some("no checkpoint could be archived".to_owned())
        }
    }
}

fn rendered(status: &LaneStatus, refusal: Option<&str>, now: UnixMillis) -> Value {
    let total = |of: fn(&LetterCount) -> u64| status.letters.iter().map(of).sum::<u64>();
    let (letters, bytes) = (total(|count| count.letters), total(|count| count.bytes));
    let by_reason = |count: &LetterCount| (count.reason.as_str().to_owned(), count.letters.into());
    let by_reason: Map<String, Value> = status.letters.iter().map(by_reason).collect();
    let tiles = status.size / TILE_WIDTH;
    let queue = |backlog: &Backlog| {
        json!({
            "queue": backlog.queue,
            "oldest_age_secs": backlog.age_ms() / 1000,
            "seen_at": backlog.seen.to_rfc3339(),
            "level": backlog.level_at(now).as_str(),
        })
    };
    json!({
        "lane": LANE,
        "epoch": status.epoch,
        "log": status.log,
        "size": status.size,
        "tiles": {
            "archived": status.archived_tiles,
            "waiting": tiles.saturating_sub(status.archived_tiles),
        },
        "signing": {"signs": refusal.is_none(), "refusal": refusal},
        "dead_letters": {
            "letters": letters,
            "bytes": bytes,
            "full": letters >= MAX_LETTERS || bytes >= MAX_LETTERS_BYTES,
            "by_reason": by_reason,
        },
        "queues": status.backlogs.iter().map(queue).collect::<Vec<_>>(),
    })
}

/// The answer, for the API description.
pub fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["lane", "epoch", "log", "size", "tiles", "signing", "dead_letters", "queues"],
        "properties": {
            "lane": {"type": "integer"},
            "epoch": {"type": "integer", "description": "how many logs the lane had before this one"},
            "log": {"type": ["string", "null"], "description": "the log's name; null before it has a key"},
            "size": {"type": "integer", "description": "lines"},
            "tiles": {"type": "object", "description": "full tiles of level 0: archived, waiting"},
            "signing": {
                "type": "object",
                "properties": {"signs": {"type": "boolean"}, "refusal": {"type": ["string", "null"]}},
            },
            "dead_letters": {"type": "object"},
            "queues": {"type": "array", "items": {"type": "object"}, "description": "in which messages waited"},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::audit::letters::Reason;

    #[test]
    fn what_an_operator_must_know_is_in_the_status() {
        let status = LaneStatus {
            size: 1000,
            archived_tiles: 2,
            letters: vec![LetterCount {
                reason: Reason::Malformed,
                letters: 3,
                bytes: 40,
            }],
            backlogs: vec![Backlog {
                queue: "q".to_owned(),
                sent: UnixMillis(0),
                seen: UnixMillis(660_000),
            }],
            epoch: 1,
            log: Some("id.example/audit/lane/0.1".to_owned()),
        };
        let told = rendered(&status, Some("why"), UnixMillis(700_000));
        assert_eq!(
            (&told["epoch"], &told["log"]),
            (&json!(1), &json!("id.example/audit/lane/0.1"))
        );
        assert_eq!(told["tiles"], json!({"archived": 2, "waiting": 1}));
        assert_eq!(told["signing"], json!({"signs": false, "refusal": "why"}));
        assert_eq!(told["dead_letters"]["by_reason"], json!({"malformed": 3}));
        assert_eq!(told["dead_letters"]["full"], false);
        let late = json!({"queue": "q", "oldest_age_secs": 660, "seen_at": "1970-01-01T00:11:00.000Z", "level": "late"});
        assert_eq!(told["queues"], json!([late]));
        let full = LaneStatus {
            letters: vec![LetterCount {
                reason: Reason::Malformed,
                letters: MAX_LETTERS,
                bytes: 40,
            }],
            ..status
        };
        let told = rendered(&full, None, UnixMillis(u64::MAX));
        assert_eq!(told["dead_letters"]["full"], true);
        assert_eq!(told["signing"]["signs"], true);
        assert_eq!(told["queues"][0]["level"], "usual");
    }
}
