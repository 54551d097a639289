//! How long the log is kept, and taking away what is left of it.

use crate::audit::{Dir, export, verify};
use crate::fake::{json as answer, portcullis, problem};
use crate::log::Served;
use serde_json::{Value, json};

#[test]
fn what_is_gone_is_not_exported_and_the_rest_is_proven_as_before() {
    let log = Served::of(700);
    log.prune(256);
    let dir = Dir::new();
    for range in [
        "",
        "--to 600",
        "--from 255",
        "--from 1970-01-01T00:00:10Z",
        "--from 1970-01-01T00:04:15Z",
    ] {
        let ran = export(&log, &dir, range);
        assert_eq!(ran.code, 2, "{range}: {ran:?}");
        let why = "lines below index 256 are gone by their age, the latest of them committed at \
                   1970-01-01T00:04:15.000Z; --kept begins at 256";
        assert!(ran.stderr.contains(why), "{range}: {ran:?}");
    }
    for range in [
        "--to 256",
        "--from 5 --to 1970-01-01T00:01:00Z",
        "--to 200 --kept",
    ] {
        let ran = export(&log, &dir, range);
        assert_eq!(ran.code, 2, "{range}: {ran:?}");
        let why = "nothing is left of that";
        assert!(ran.stderr.contains(why), "{range}: {ran:?}");
    }
    for (range, first, last) in [
        ("--kept", 256, 699),
        ("--from 7 --to 300 --kept", 256, 299),
        ("--from 256", 256, 699),
        ("--from 1970-01-01T00:04:15.001Z", 256, 699),
        (
            "--from 1970-01-01T00:05:00Z --to 1970-01-01T00:10:00Z",
            300,
            599,
        ),
    ] {
        let dir = Dir::new();
        let ran = export(&log, &dir, &format!("{range} --json"));
        assert_eq!(ran.code, 0, "{range}: {ran:?}");
        let manifest: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!(manifest["first_index"], first, "{range}");
        assert_eq!(manifest["last_index"], last, "{range}");
        let ran = verify(&dir.0, &log.vkey, "");
        assert_eq!(ran.code, 0, "{range}: {ran:?}");
        let whole = "all that the log has there";
        assert!(ran.stdout.contains(whole), "{ran:?}");
    }
}

#[test]
fn an_export_from_under_which_lines_go_says_so() {
    let log = Served::of(700);
    let dir = Dir::new();
    log.lose("tile/entries/001", true);
    assert_ne!(export(&log, &dir, "").code, 0);
    log.lose("tile/entries/001", false);
    log.prune(512);
    let ran = export(&log, &dir, "");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("Gone"), "{ran:?}");
}

#[test]
fn retention_is_shown_set_and_tried() {
    let of = |days: Value, pruned_to: u64, prunable: u64, dry_run: bool| {
        json!({
            "days": days, "holds": [], "pruned_to": pruned_to, "prunable_to": pruned_to + prunable,
            "pruned_until": (pruned_to > 0).then_some("2026-01-02T03:04:05.678Z"),
            "prunable": prunable, "dry_run": dry_run,
        })
    };
    let run = |args: &str, reply: &Value| {
        portcullis(&format!("audit retention {args}"))
            .answered(answer(200, reply))
            .run()
    };
    let (ran, asked) = run("", &of(Value::Null, 0, 0, false));
    let shown = "Lines are kept for good.\nNone is gone.\nNone may go now.\n";
    assert_eq!(ran.stdout, shown);
    assert!(asked[0].line.starts_with("GET /v1/audit/retention"));
    let (ran, asked) = run("set 400 --dry-run", &of(json!(400), 256, 512, true));
    assert_eq!(
        ran.stdout,
        "Lines would be kept for 400 days.\n\
         Those below index 256 are gone, the latest of them committed at 2026-01-02T03:04:05Z.\n\
         512 may go now, up to index 768.\n"
    );
    assert!(asked[0].line.starts_with("PUT /v1/audit/retention"));
    assert_eq!(asked[0].json(), json!({"days": 400, "dry_run": true}));
    let (_, asked) = run("unset", &of(Value::Null, 0, 0, false));
    assert_eq!(asked[0].json(), json!({"days": null, "dry_run": false}));
    for wrong in ["show --dry-run", "set", "set x", "unset 4"] {
        let ran = portcullis(&format!("audit retention {wrong}")).alone();
        assert_eq!(ran.code, 2, "{wrong}: {ran:?}");
    }
}

#[test]
fn holds_are_placed_listed_and_released() {
    let hold = json!({
        "name": "case-1", "subject": null, "placed_at": "2026-01-02T03:04:05.678Z", "placed_by": "admin",
    });
    let (ran, asked) = portcullis("audit hold place case-1 --subject okta:alice")
        .answered(answer(200, &hold))
        .run();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(asked[0].line.starts_with("PUT /v1/audit/holds/case-1"));
    assert_eq!(asked[0].json(), json!({"subject": "okta:alice"}));
    let retention = json!({"holds": [hold], "pruned_to": 0, "days": 30});
    let (ran, _) = portcullis("audit hold list")
        .answered(answer(200, &retention))
        .run();
    assert_eq!(
        ran.stdout,
        "HOLD    OF          PLACED                BY\ncase-1  everything  2026-01-02T03:04:05Z  admin\n"
    );
    let (ran, _) = portcullis("audit retention")
        .answered(answer(200, &retention))
        .run();
    let shown = "None goes while there is a hold:\nHOLD";
    assert!(ran.stdout.contains(shown), "{ran:?}");
    let (ran, asked) = portcullis("audit hold release case-1")
        .answered((204, "", String::new()))
        .run();
    let told = (ran.code, ran.stdout.as_str());
    assert_eq!(told, (0, "case-1 is released.\n"));
    assert!(asked[0].line.starts_with("DELETE /v1/audit/holds/case-1"));
    let (ran, _) = portcullis("audit hold release case-2")
        .answered(problem(404, "Not Found", "there is no such hold"))
        .run();
    assert_eq!(ran.code, 1, "{ran:?}");
}
