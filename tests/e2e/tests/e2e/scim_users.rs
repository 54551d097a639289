//! Users over SCIM beyond what every provider sends: replaced, found by filters, on conditions; and what
//! the service says of itself (RFC 7644 sections 3.4, 3.5.1, 3.9, 3.14 and 4).

use crate::scim::{expect_error, somebody};
use portcullis_e2e::Result;
use portcullis_e2e::http::Response;
use portcullis_e2e::json::text;
use portcullis_e2e::people::Site;
use portcullis_e2e::scim::user;
use serde_json::{Value, json};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn put(site: &Site, id: &str, body: &Value) -> Result<Response> {
    let path = format!("/Users/{id}");
    site.scim.with_body("PUT", &path, body).send()
}

fn get(site: &Site, id: &str) -> Result<Response> {
    site.scim.request("GET", &format!("/Users/{id}")).send()
}

fn etag(response: &Response) -> String {
    response.header("etag").unwrap_or_default().to_owned()
}

/// The names of a list, which must be whole.
fn names(list: &Value) -> Vec<&str> {
    let resources = list["Resources"].as_array().into_iter().flatten();
    let names: Vec<&str> = resources
        .filter_map(|one| one["userName"].as_str())
        .collect();
    assert_eq!(list["totalResults"], names.len(), "{list}");
    assert_eq!(list["itemsPerPage"], names.len(), "{list}");
    names
}

#[test]
fn what_the_service_says_it_can_do_is_what_it_can() -> Result {
    let site = Site::any()?;
    let read = |path: &str| site.scim.request("GET", path).send()?.expect(200)?.json();
    let config = read("/ServiceProviderConfig")?;
    for (what, supported) in [
        ("patch", true),
        ("filter", true),
        ("sort", true),
        ("etag", true),
        ("bulk", true),
        ("changePassword", false),
    ] {
        assert_eq!(config[what]["supported"], supported, "{what}");
    }
    assert_eq!(config["filter"]["maxResults"], 100);
    assert!(
        config["authenticationSchemes"]
            .as_array()
            .is_some_and(|all| all.len() == 1)
    );
    expect_error(&site.scim.request("GET", "/Bulk").send()?, 405, None)?;
    let unknown = site.scim.with_body("POST", "/Me", &json!({})).send()?;
    expect_error(&unknown, 404, None)?;
    expect_error(&site.scim.request("PUT", "/Users").send()?, 405, None)?;
    for (path, ids) in [
        ("/ResourceTypes", &["User", "Group"][..]),
        ("/Schemas", &[USER, ENTERPRISE, GROUP]),
    ] {
        let list = read(path)?;
        assert_eq!(list["totalResults"], ids.len());
        for (at, id) in ids.iter().enumerate() {
            let one = read(&format!("{path}/{id}"))?;
            assert_eq!(one, list["Resources"][at], "{path}");
            let location = format!("{}/scim/v2{path}/{id}", site.endpoints().service);
            assert_eq!(one["meta"]["location"], location.as_str());
        }
        let unknown = site.scim.request("GET", &format!("{path}/Device")).send()?;
        expect_error(&unknown, 404, None)?;
        let filtered = site
            .scim
            .request("GET", &format!("{path}?filter=id%20pr"))
            .send()?;
        expect_error(&filtered, 403, None)?;
    }
    Ok(())
}

#[test]
fn a_put_replaces_a_user_and_what_it_does_not_say_is_gone() -> Result {
    let site = Site::any()?;
    let name = somebody()?;
    let id = site.scim.provision(&name)?;
    let mut body = user(&name, true);
    body["id"] = json!("another");
    body["title"] = json!("t");
    body["password"] = json!("not kept");
    body["emails"] = json!({ "value": "a@x.example", "primary": "True" });
    body[ENTERPRISE] = json!({ "department": "d", "manager": "m" });
    let whole = put(&site, &id, &body)?.expect(200)?.json()?;
    assert_eq!(whole["id"], id.as_str());
    assert_eq!(whole["schemas"], json!([USER, ENTERPRISE]));
    assert_eq!(whole["title"], "t");
    assert_eq!(
        whole["emails"],
        json!([{ "value": "a@x.example", "primary": true }])
    );
    assert_eq!(
        whole[ENTERPRISE],
        json!({ "department": "d", "manager": { "value": "m" } })
    );
    assert!(whole.get("password").is_none());
    assert_eq!(get(&site, &id)?.expect(200)?.json()?, whole);
    let less = put(&site, &id, &user(&name, true))?.expect(200)?.json()?;
    assert!(less.get("title").is_none() && less.get(ENTERPRISE).is_none());
    assert_eq!(less["schemas"], json!([USER]));
    assert_eq!(less["meta"]["created"], whole["meta"]["created"]);
    let taken = somebody()?;
    site.scim.provision(&taken)?;
    expect_error(
        &put(&site, &id, &user(&taken, true))?,
        409,
        Some("uniqueness"),
    )?;
    expect_error(&put(&site, &id, &json!({}))?, 400, Some("invalidValue"))?;
    expect_error(&put(&site, "unknown", &body)?, 404, None)
}

#[test]
fn whoever_is_out_stays_out_when_a_put_says_nothing_of_it() -> Result {
    let site = Site::any()?;
    let name = somebody()?;
    let id = site.scim.provision(&name)?;
    site.scim.set_active(&id, false)?;
    let silent = json!({ "schemas": [USER], "userName": name });
    let after = put(&site, &id, &silent)?.expect(200)?.json()?;
    assert_eq!(after["active"], false);
    Ok(())
}

#[test]
fn users_are_found_by_the_whole_grammar() -> Result {
    let site = Site::any()?;
    let (one, other) = (somebody()?, somebody()?);
    let mark = somebody()?;
    for (name, title) in [(&one, "B"), (&other, "a")] {
        let mut body = user(name, true);
        body["externalId"] = json!(mark);
        body["title"] = json!(title);
        body["emails"] = json!([{ "value": format!("{name}@x.example"), "type": "work" }]);
        site.scim
            .with_body("POST", "/Users", &body)
            .send()?
            .expect(201)?;
    }
    let mark_is = format!("externalId eq \"{mark}\"");
    for (filter, expected) in [
        (format!("{mark_is} and title eq \"A\""), vec![&other]),
        (format!("{mark_is} and not (title sw \"A\")"), vec![&one]),
        (
            format!("{mark_is} and emails[type eq \"work\" and value sw \"{one}\"]"),
            vec![&one],
        ),
        (format!("{mark_is} and active eq false"), vec![]),
        (
            format!("userName eq \"{one}\" or userName eq \"{other}\" and title pr"),
            {
                let mut both = vec![&one, &other];
                both.sort_by_key(|name| name.to_lowercase());
                both
            },
        ),
    ] {
        let list = site.scim.find(&filter)?.expect(200)?.json()?;
        assert_eq!(names(&list), expected, "{filter}");
    }
    for (order, expected) in [
        ("ascending", [&other, &one]),
        ("descending", [&one, &other]),
    ] {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "filter": mark_is, "sortBy": "title", "sortOrder": order,
        });
        for path in ["/Users/.search", "/.search"] {
            let list = site.scim.with_body("POST", path, &body).send()?;
            assert_eq!(names(&list.expect(200)?.json()?), expected, "{path}");
        }
        let page = json!({
            "filter": mark_is, "sortBy": "title", "sortOrder": order, "startIndex": 2, "count": 1,
        });
        let page = site.scim.with_body("POST", "/.search", &page).send()?;
        let page = page.expect(200)?.json()?;
        assert_eq!(
            (&page["totalResults"], &page["startIndex"]),
            (&json!(2), &json!(2))
        );
        assert_eq!(page["Resources"][0]["userName"], expected[1].as_str());
    }
    for body in [
        json!([]),
        json!({ "schemas": ["urn:x"] }),
        json!({ "count": "1" }),
    ] {
        let refused = site.scim.with_body("POST", "/.search", &body).send()?;
        assert_eq!(refused.status, 400, "{body}");
    }
    expect_error(
        &site.scim.list("sortBy=nonsense")?,
        400,
        Some("invalidValue"),
    )?;
    expect_error(&site.scim.list("count=x")?, 400, Some("invalidValue"))
}

#[test]
fn every_answer_has_the_attributes_that_are_asked_for() -> Result {
    let site = Site::any()?;
    let name = somebody()?;
    let mut body = user(&name, true);
    body["name"] = json!({ "givenName": "A", "familyName": "B" });
    body["title"] = json!("t");
    let asked = "attributes=userName,name.givenName";
    let created = site
        .scim
        .with_body("POST", &format!("/Users?{asked}"), &body)
        .send()?
        .expect(201)?;
    assert!(!etag(&created).is_empty());
    let created = created.json()?;
    let id = text(&created, "id")?;
    let narrow = json!({
        "schemas": [USER], "id": id, "userName": name, "name": { "givenName": "A" },
    });
    assert_eq!(created, narrow);
    let read = get(&site, &format!("{id}?{asked}"))?.expect(200)?.json()?;
    assert_eq!(read, narrow);
    let replaced = put(&site, &format!("{id}?{asked}"), &body)?;
    assert_eq!(replaced.expect(200)?.json()?, narrow);
    let operations = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "replace", "path": "title", "value": "u" }],
    });
    let patched = site
        .scim
        .with_body("PATCH", &format!("/Users/{id}?{asked}"), &operations)
        .send()?;
    assert_eq!(patched.expect(200)?.json()?, narrow);
    let query = format!("{asked}&filter=userName%20eq%20%22{name}%22");
    let list = site.scim.list(&query)?.expect(200)?.json()?;
    assert_eq!(list["Resources"], json!([narrow]));
    let without = get(&site, &format!("{id}?excludedAttributes=name,meta,id"))?;
    let without = without.expect(200)?.json()?;
    assert!(without.get("name").is_none() && without.get("meta").is_none());
    assert_eq!(
        (&without["id"], &without["title"]),
        (&json!(id), &json!("u"))
    );
    // Refused before anything is written.
    let wrong = put(&site, &format!("{id}?attributes=a%20b"), &user("x", false))?;
    expect_error(&wrong, 400, Some("invalidValue"))?;
    assert_eq!(get(&site, id)?.expect(200)?.json()?["active"], true);
    Ok(())
}

#[test]
fn a_version_is_a_condition_of_changes_and_saves_reading_again() -> Result {
    let site = Site::any()?;
    let name = somebody()?;
    let id = site.scim.provision(&name)?;
    let path = format!("/Users/{id}");
    let read = get(&site, &id)?.expect(200)?;
    let first = etag(&read);
    assert_eq!(read.json()?["meta"]["version"], first.as_str());
    let on = |method: &'static str, header: &str, tag: &str, body: Option<Value>| {
        let request = match body {
            Some(body) => site.scim.with_body(method, &path, &body),
            None => site.scim.request(method, &path),
        };
        request.header(header, tag).send()
    };
    let same = on("GET", "if-none-match", &first, None)?.expect(304)?;
    assert_eq!(etag(&same), first);
    let mut titled = user(&name, true);
    titled["title"] = json!("t");
    let put = on("PUT", "if-match", &first, Some(titled.clone()))?.expect(200)?;
    let second = etag(&put);
    assert_ne!(second, first);
    let deactivate = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "replace", "path": "active", "value": false }],
    });
    for (method, body) in [
        ("PUT", Some(user(&name, false))),
        ("PATCH", Some(deactivate.clone())),
        ("DELETE", None),
        ("GET", None),
    ] {
        let refused = on(method, "if-match", &first, body.clone())?;
        expect_error(&refused, 412, None)?;
        let malformed = on(method, "if-match", "1", body)?;
        expect_error(&malformed, 400, Some("invalidSyntax"))?;
    }
    let now = on("GET", "if-none-match", &first, None)?.expect(200)?;
    assert_eq!(
        (etag(&now), &now.json()?["active"]),
        (second.clone(), &json!(true))
    );
    // What changes nothing has the same version.
    let again = on("PUT", "if-match", &second, Some(titled))?.expect(200)?;
    assert_eq!(etag(&again), second);
    let patched = on("PATCH", "if-match", &second, Some(deactivate))?.expect(200)?;
    assert_eq!(patched.json()?["active"], false);
    on("DELETE", "if-match", &second, None)?.expect(412)?;
    on("DELETE", "if-match", &etag(&patched), None)?.expect(204)?;
    get(&site, &id)?.expect(404).map(drop)
}
