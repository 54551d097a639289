//! The provisioning protocol (RFC 7643, RFC 7644), apart from the kills it triggers.

use portcullis_e2e::Result;
use portcullis_e2e::app::random_text;
use portcullis_e2e::http::Response;
use portcullis_e2e::json::text;
use portcullis_e2e::people::Site;
use portcullis_e2e::scim::user;
use serde_json::{Value, json};
use std::thread;

const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const UNKNOWN: &str = "/Users/00000000-0000-4000-8000-000000000000";

/// Fails unless this is a SCIM error (RFC 7644 section 3.12) of that status and type.
#[track_caller]
pub fn expect_error(response: &Response, status: u16, scim_type: Option<&str>) -> Result {
    let error = response.json()?;
    let whole = response.status == status
        && response
            .header("content-type")
            .is_some_and(|value| value.starts_with("application/scim+json"))
        && error["schemas"] == json!([ERROR])
        && error["status"] == json!(status.to_string())
        && error["scimType"].as_str() == scim_type;
    if whole {
        Ok(())
    } else {
        Err(response.unexpected(&format!("SCIM error {status} {scim_type:?}")))
    }
}

/// Fails unless what is too long is refused as that. The service need not read it to know (RFC 9110 section
/// 15.5.14), and who is still sending when it hangs up may not hear why: then it is sent again.
#[track_caller]
pub fn expect_too_long(send: impl Fn() -> Result<Response>) -> Result {
    let mut tries = 0;
    loop {
        match send() {
            Ok(response) => return expect_error(&response, 413, None),
            Err(_) if tries < 20 => tries += 1,
            Err(failure) => return Err(failure),
        }
    }
}

pub fn somebody() -> Result<String> {
    Ok(format!("scim-{}", random_text()?))
}

#[test]
fn a_new_user_is_created_with_an_id_a_location_and_meta() -> Result {
    let site = Site::any()?;
    let name = somebody()?;
    let mut body = user(&name, true);
    body["externalId"] = json!("00u1");
    body["name"] = json!({ "givenName": "Ada", "familyName": "L" });
    body["emails"] = json!([{ "value": "ada@example.com", "primary": true, "type": "work" }]);
    let response = site
        .scim
        .with_body("POST", "/Users", &body)
        .send()?
        .expect(201)?;
    let media_type = response.header("content-type").unwrap_or_default();
    assert!(
        media_type.starts_with("application/scim+json"),
        "{media_type}"
    );
    let created = response.json()?;
    let id = text(&created, "id")?;
    let location = format!("{}/scim/v2/Users/{id}", site.endpoints().service);
    assert_eq!(response.header("location"), Some(location.as_str()));
    assert_eq!(created["meta"]["location"], location.as_str());
    assert_eq!(created["meta"]["resourceType"], "User");
    assert!(created["meta"]["created"].is_string() && created["meta"]["lastModified"].is_string());
    assert_eq!(created["userName"], name.as_str());
    assert_eq!(created["active"], true);
    assert_eq!(created["externalId"], "00u1");
    let read = site
        .scim
        .request("GET", &format!("/Users/{id}"))
        .send()?
        .expect(200)?;
    assert_eq!(read.json()?, created);
    Ok(())
}

#[test]
fn a_user_name_is_taken_whatever_its_case() -> Result {
    let site = Site::any()?;
    let name = somebody()?;
    site.scim.provision(&name)?;
    for again in [name.clone(), name.to_uppercase()] {
        expect_error(&site.scim.post_user(&again, true)?, 409, Some("uniqueness"))?;
    }
    Ok(())
}

#[test]
fn of_several_created_at_once_under_one_name_one_is() -> Result {
    let site = Site::any()?;
    let name = somebody()?;
    let statuses = thread::scope(|scope| {
        let post = || {
            site.scim
                .post_user(&name, true)
                .map(|response| response.status)
        };
        let posts: Vec<_> = (0..4).map(|_| scope.spawn(post)).collect();
        posts
            .into_iter()
            .map(|post| post.join().expect("no panic"))
            .collect::<Result<Vec<u16>>>()
    })?;
    let count = |status| statuses.iter().filter(|&&got| got == status).count();
    assert_eq!((count(201), count(409)), (1, 3), "{statuses:?}");
    Ok(())
}

#[test]
fn a_user_is_found_by_name_whatever_its_case_and_nobody_by_another() -> Result {
    let site = Site::any()?;
    let name = somebody()?;
    let id = site.scim.provision(&name)?;
    for (filter, found) in [
        (format!("userName eq \"{name}\""), 1),
        (format!("username EQ \"{}\"", name.to_uppercase()), 1),
        ("userName eq \"nobody-at-all\"".to_owned(), 0),
        (
            "userName eq \"x\\\" or userName pr or userName eq \\\"\"".to_owned(),
            0,
        ),
    ] {
        let list = site.scim.find(&filter)?.expect(200)?.json()?;
        assert_eq!(list["schemas"], json!([LIST]), "{filter}");
        assert_eq!(list["totalResults"], found, "{filter}: {list}");
        let resources = list["Resources"].as_array().map_or(0, Vec::len);
        assert_eq!(resources, found, "{filter}: {list}");
        if found == 1 {
            assert_eq!(list["Resources"][0]["id"], id.as_str());
        }
    }
    Ok(())
}

#[test]
fn a_filter_that_is_not_understood_is_refused_and_not_ignored() -> Result {
    let site = Site::any()?;
    for filter in [
        "",
        "userName",
        "userName eq",
        "userName eq alice",
        "userName zz \"a\"",
        "x eq \"a",
        "(",
    ] {
        expect_error(&site.scim.find(filter)?, 400, Some("invalidFilter"))?;
    }
    Ok(())
}

#[test]
fn an_unknown_user_is_not_found_by_any_method() -> Result {
    let site = Site::any()?;
    for path in [UNKNOWN, "/Users/x", "/Users/%00"] {
        let operations = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "replace", "path": "active", "value": false }],
        });
        expect_error(&site.scim.request("GET", path).send()?, 404, None)?;
        expect_error(&site.scim.request("DELETE", path).send()?, 404, None)?;
        expect_error(
            &site.scim.with_body("PATCH", path, &operations).send()?,
            404,
            None,
        )?;
    }
    Ok(())
}

#[test]
fn what_is_no_user_is_not_created() -> Result {
    let site = Site::any()?;
    let wrong = [
        json!({}),
        json!([]),
        json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"] }),
        user("", true),
        json!({ "schemas": [], "userName": 7, "active": true }),
        json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "x", "active": 3 }),
        // A number here was once taken for somebody's internal id (CVE-2025-41115).
        json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "x", "externalId": 1 }),
    ];
    for body in wrong {
        let response = site.scim.with_body("POST", "/Users", &body).send()?;
        let scim_type = response.json()?["scimType"].as_str().map(str::to_owned);
        assert!(
            matches!(scim_type.as_deref(), Some("invalidValue" | "invalidSyntax")),
            "{body}: {response:?}"
        );
        expect_error(&response, 400, scim_type.as_deref())?;
    }
    let response = site
        .scim
        .request("POST", "/Users")
        .body("application/scim+json", "{")
        .send()?;
    expect_error(&response, 400, Some("invalidSyntax"))?;
    let large = site
        .scim
        .with_body("POST", "/Users", &user(&"x".repeat(70_000), true))
        .send()?;
    expect_error(&large, 413, None)?;
    let list = site.scim.find("userName eq \"x\"")?.expect(200)?.json()?;
    assert_eq!(list["totalResults"], 0);
    Ok(())
}

#[test]
fn a_patch_applies_as_a_whole_or_not_at_all() -> Result {
    let site = Site::any()?;
    let name = somebody()?;
    let id = site.scim.provision(&name)?;
    let wrong: &[Value] = &[
        json!([{ "op": "explode", "path": "active", "value": false }]),
        json!([{ "op": "replace", "path": "active", "value": "perhaps" }]),
        json!([{ "op": "replace", "path": "active" }]),
        json!([{ "op": "replace", "path": "active[", "value": false }]),
        json!([
            { "op": "replace", "path": "active", "value": false },
            { "op": "replace", "path": "userName", "value": 7 },
        ]),
        json!([]),
    ];
    for operations in wrong {
        let response = site.scim.patch(&id, operations)?;
        let scim_type = response.json()?["scimType"].as_str().map(str::to_owned);
        assert!(
            matches!(
                scim_type.as_deref(),
                Some("invalidValue" | "invalidSyntax" | "invalidPath" | "noTarget")
            ),
            "{operations}: {response:?}"
        );
        expect_error(&response, 400, scim_type.as_deref())?;
        let read = site
            .scim
            .request("GET", &format!("/Users/{id}"))
            .send()?
            .expect(200)?;
        assert_eq!(read.json()?["active"], true, "{operations} was applied");
    }
    Ok(())
}

#[test]
fn a_name_cannot_be_changed_to_one_that_is_taken() -> Result {
    let site = Site::any()?;
    let taken = somebody()?;
    site.scim.provision(&taken)?;
    let id = site.scim.provision(&somebody()?)?;
    let operations = json!([{ "op": "replace", "path": "userName", "value": taken }]);
    expect_error(&site.scim.patch(&id, &operations)?, 409, Some("uniqueness"))
}

#[test]
fn every_change_is_in_the_log() -> Result {
    let site = Site::any()?;
    let name = somebody()?;
    let id = site.scim.provision(&name)?;
    site.scim.set_active(&id, false)?;
    site.scim.set_active(&id, true)?;
    site.scim.delete(&id)?.expect(204)?;
    let subject = site
        .api
        .revoke(&json!({ "subject": format!("demo:{name}"), "dry_run": true }))?;
    let subject = subject.expect(200)?.json()?;
    let query = format!("subject={}&action=scim.changed", text(&subject, "subject")?);
    let events = site.api.expect_events(&query, 4)?;
    for event in &events {
        assert_eq!(event["actor"]["type"], "connection", "{event}");
        assert_eq!(event["outcome"], "success", "{event}");
    }
    let log = serde_json::to_string(&events)?;
    assert!(!log.contains(&name), "the user's name is in the log: {log}");
    Ok(())
}
