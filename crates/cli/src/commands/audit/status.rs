//! `portcullis audit status`: how the log is (`GET /v1/audit/status`).

use crate::client::{Answer, Client};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::details;

/// For the help.
pub const EXAMPLE: &str = "\
Example:
  portcullis audit status";

/// Asks and shows.
pub fn run(client: &Client, output: Output) -> Result<(), Failure> {
    let answer = client.get(&["v1", "audit", "status"], &[])?;
    output.answer(&answer, shown)
}

fn shown(answer: &Answer) -> Result<String, Failure> {
    answer.list("queues")?;
    let first = [
        "lane",
        "epoch",
        "log",
        "size",
        "tiles",
        "signing",
        "dead_letters",
        "queues",
    ];
    Ok(details(&answer.value, &first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_waits_and_why_nothing_is_signed_is_shown() {
        let value = json!({
            "lane": 0, "epoch": 1, "log": "id.example/audit/lane/0.1", "size": 1000, "tiles": {"archived": 2, "waiting": 1},
            "signing": {"signs": false, "refusal": "the log is shut"},
            "dead_letters": {"letters": 3, "bytes": 40, "full": false, "by_reason": {"malformed": 3}},
            "queues": [{"queue": "q", "oldest_age_secs": 660, "level": "late"}],
        });
        let body = value.to_string();
        let text = shown(&Answer { body, value }).expect("text");
        for part in ["lane/0.1", "the log is shut", "malformed", "late", "660"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
