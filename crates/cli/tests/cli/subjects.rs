//! `portcullis subjects`, `sessions` and `revoke`.

use crate::fake::{json as answer, portcullis};
use serde_json::json;

#[test]
fn list_asks_for_what_was_said_and_tells_of_more() {
    let page = json!({"subjects": [{"subject": "sub_1", "state": "active"}], "next": "c1"});
    let args = "subjects list --connection okta --search a&b --state active --limit 1";
    let (ran, asked) = portcullis(args).answered(answer(200, &page)).run();
    assert_eq!(
        asked[0].line,
        "GET /v1/subjects?connection=okta&search=a%26b&state=active&limit=1"
    );
    assert_eq!(ran.stdout, "SUBJECT  STATE\nsub_1    active\n");
    assert!(ran.stderr.contains("--all"), "{ran:?}");
    assert_eq!(ran.code, 0);
}

#[test]
fn all_follows_each_page_to_the_next() {
    let first = json!({"subjects": [{"subject": "sub_1"}], "next": "c 1"});
    let last = json!({"subjects": [{"subject": "sub_22"}], "next": null});
    let (ran, asked) = portcullis("subjects list --all")
        .answered(answer(200, &first))
        .answered(answer(200, &last))
        .run();
    assert_eq!(asked[0].line, "GET /v1/subjects");
    assert_eq!(asked[1].line, "GET /v1/subjects?cursor=c+1");
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (0, "SUBJECT\nsub_1\nsub_22\n", "")
    );

    let (ran, _) = portcullis("subjects list --all --json")
        .answered(answer(200, &first))
        .answered(answer(200, &last))
        .run();
    assert_eq!(ran.stdout, format!("{first}\n{last}\n"));
}

#[test]
fn a_page_that_leads_to_itself_ends_in_a_failure() {
    let page = json!({"subjects": [], "next": "c1"});
    let (ran, _) = portcullis("subjects list --all")
        .answered(answer(200, &page))
        .answered(answer(200, &page))
        .run();
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{ran:?}");
}

#[test]
fn a_subject_is_one_segment_of_the_path() {
    let (ran, asked) = portcullis("subjects show okta:a/b")
        .answered(answer(
            200,
            &json!({"subject": "sub_1", "state": "disabled"}),
        ))
        .run();
    assert_eq!(asked[0].line, "GET /v1/subjects/okta:a%2Fb");
    assert_eq!(ran.stdout, "subject  sub_1\nstate    disabled\n");

    let (ran, asked) = portcullis("sessions list okta:a/b")
        .answered(answer(200, &json!({"subject": "sub_1", "sessions": []})))
        .run();
    assert_eq!(asked[0].line, "GET /v1/subjects/okta:a%2Fb/sessions");
    assert_eq!(ran.stdout, "No live sessions.\n");
}

#[test]
fn revoke_sends_what_it_is_to_end_and_no_more() {
    let done = |scope, dry_run| {
        json!({"subject": "sub_1", "scope": scope, "sessions": 1, "changed": true,
            "dry_run": dry_run, "committed_at": "2026-11-25T22:15:19.123Z"})
    };
    for (args, body, reply) in [
        (
            "",
            json!({"subject": "okta:alice", "dry_run": false}),
            done("subject", false),
        ),
        (
            "--dry-run",
            json!({"subject": "okta:alice", "dry_run": true}),
            done("subject", true),
        ),
        (
            "--session ses_1",
            json!({"subject": "okta:alice", "session": "ses_1", "dry_run": false}),
            done("session", false),
        ),
        (
            "--jti jti_1 --dry-run",
            json!({"subject": "okta:alice", "jti": "jti_1", "dry_run": true}),
            done("token", true),
        ),
    ] {
        let (ran, asked) = portcullis(&format!("revoke okta:alice {args}"))
            .answered(answer(200, &reply))
            .run();
        assert_eq!(asked[0].line, "POST /v1/revocations");
        assert_eq!(asked[0].json(), body);
        let verb = if args.contains("dry") {
            "Would end "
        } else {
            "Ended "
        };
        assert!(ran.code == 0 && ran.stdout.starts_with(verb), "{ran:?}");
    }
}
