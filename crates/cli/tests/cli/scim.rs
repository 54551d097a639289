//! `portcullis scim`.

use crate::fake::{json as answer, portcullis};
use serde_json::json;

const SECRET: &str = "pc_scim_c2VjcmV0.00000000";

#[test]
fn a_new_secret_is_alone_on_standard_output() {
    let made = json!({
        "id": "scs_1", "created_at": "2026-11-25T22:15:19.000Z", "good_until": null,
        "last_used_at": null, "secret": SECRET, "scim_url": "https://id.example/scim/okta/v2",
    });
    for (args, body) in [
        ("", json!({})),
        (" --overlap 0", json!({"overlap_secs": 0})),
    ] {
        let (ran, asked) = portcullis(&format!("scim secret create okta{args}"))
            .answered(answer(201, &made))
            .run();
        assert_eq!(asked[0].line, "POST /v1/connections/okta/scim-secrets");
        assert_eq!(asked[0].json(), body);
        assert_eq!((ran.code, ran.stdout), (0, format!("{SECRET}\n")));
        assert!(ran.stderr.contains("https://id.example/scim/okta/v2"));
        assert!(ran.stderr.contains("scs_1") && !ran.stderr.contains(SECRET));
    }
    let (ran, _) = portcullis("scim secret create okta --json")
        .answered(answer(201, &made))
        .run();
    assert_eq!(
        (ran.stdout, ran.stderr),
        (format!("{made}\n"), String::new())
    );
}

#[test]
fn secrets_are_listed_and_removed_by_their_ids() {
    let listed = json!({"scim_url": "https://id.example/scim/okta/v2", "secrets": [{
        "id": "scs_1", "created_at": "2026-11-25T22:15:19.000Z",
        "good_until": "2026-11-26T22:15:19.000Z", "last_used_at": null,
    }]});
    let (ran, asked) = portcullis("scim secret list okta")
        .answered(answer(200, &listed))
        .run();
    assert_eq!(asked[0].line, "GET /v1/connections/okta/scim-secrets");
    assert_eq!(
        ran.stdout,
        "SECRET  CREATED               GOOD UNTIL\n\
         scs_1   2026-11-25T22:15:19Z  2026-11-26T22:15:19Z\n"
    );
    let (ran, asked) = portcullis("scim secret delete okta scs_1")
        .answered((204, "", String::new()))
        .run();
    assert_eq!(
        asked[0].line,
        "DELETE /v1/connections/okta/scim-secrets/scs_1"
    );
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "scs_1 is refused from now on.\n")
    );
}

#[test]
fn jobs_are_listed_and_followed_until_none_is_left() {
    let page = |done: u64, finished: &serde_json::Value| {
        json!({"jobs": [{
            "id": "job_7", "what": "members", "group": {"id": "g", "name": "Staff"},
            "cause": "scim_group_lost", "total": 4, "done": done, "failing": 0,
            "created_at": "2026-11-25T22:15:19.000Z", "finished_at": finished,
        }], "next": null})
    };
    let (half, whole) = (
        page(2, &json!(null)),
        page(4, &json!("2026-11-25T22:15:20.000Z")),
    );
    let (ran, asked) = portcullis("scim jobs okta")
        .answered(answer(200, &half))
        .run();
    assert_eq!(asked[0].line, "GET /v1/connections/okta/scim-jobs");
    assert!(ran.stdout.contains("2/4"), "{}", ran.stdout);
    let (ran, asked) = portcullis("scim jobs okta --follow")
        .answered(answer(200, &half))
        .answered(answer(200, &whole))
        .run();
    assert_eq!((ran.code, asked.len()), (0, 2));
    assert_eq!(ran.stderr, "2 of 4\n");
    assert!(ran.stdout.contains("4/4"), "{}", ran.stdout);
    let (ran, _) = portcullis("scim jobs okta --follow --json")
        .answered(answer(200, &half))
        .answered(answer(200, &whole))
        .run();
    assert_eq!(
        (ran.stdout, ran.stderr),
        (format!("{whole}\n"), String::new())
    );
}
