//! A SCIM endpoint for each connection, and the secrets by which providers prove themselves there.

use crate::scim::{expect_error, somebody};
use portcullis_e2e::api::bearer;
use portcullis_e2e::app::{App, parameter};
use portcullis_e2e::browser::Browser;
use portcullis_e2e::connection::Connection;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::json::text;
use portcullis_e2e::people::Site;
use portcullis_e2e::scim::{Scim, user};
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A secret as it was made: its id, and what opens the endpoint.
struct Made {
    id: String,
    secret: String,
    url: String,
}

impl Made {
    fn read(answer: &Response) -> Result<Self> {
        let made = answer.json()?;
        Ok(Self {
            id: text(&made, "id")?.to_owned(),
            secret: text(&made, "secret")?.to_owned(),
            url: text(&made, "scim_url")?.to_owned(),
        })
    }

    fn scim(&self) -> Scim {
        Scim::at(&self.url, &self.secret)
    }

    fn users(&self) -> Result<Response> {
        self.scim().list("count=1")
    }

    /// Fails unless it is refused as what is nobody's.
    #[track_caller]
    fn expect_refused(&self) -> Result {
        expect_unknown(&self.users()?)
    }
}

/// Fails unless a credential was refused, in SCIM's words.
#[track_caller]
fn expect_unknown(response: &Response) -> Result {
    let challenge = response.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    expect_error(response, 401, None)
}

fn make(connection: &Connection, asked: &Value) -> Result<Made> {
    let made = connection.about("POST", "/scim-secrets", Some(asked))?;
    Made::read(&made.expect(201)?)
}

fn listed(connection: &Connection) -> Result<Vec<Value>> {
    let listed = connection
        .about("GET", "/scim-secrets", None)?
        .expect(200)?;
    let listed = listed.json()?;
    Ok(listed["secrets"].as_array().cloned().unwrap_or_default())
}

/// An operator's request to a stack of a test's own.
fn admin(stack: &Stack, method: &'static str, path: &str) -> Result<Response> {
    let url = format!("{}{path}", stack.at.service);
    Request::new(method, url).bearer(bearer::ADMIN).send()
}

/// Every file below a directory.
fn files(below: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut directories = vec![below.to_owned()];
    while let Some(directory) = directories.pop() {
        let unreadable = |error| Failure::new(format!("{}: {error}", directory.display()));
        for entry in fs::read_dir(&directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// The files of directories' objects, whose connections somebody has asked.
fn directory_objects(stack: &Stack) -> Result<BTreeSet<PathBuf>> {
    let files = files(stack.directory())?.into_iter();
    let of_directories = files.filter(|path| {
        path.extension().is_some_and(|it| it == "sqlite")
            && path.to_string_lossy().to_lowercase().contains("directory")
    });
    Ok(of_directories.collect())
}

#[test]
fn a_secret_is_shown_once_and_opens_its_connections_endpoint() -> Result {
    let connection = Connection::new()?;
    let none = connection
        .about("POST", "/scim-secrets", None)?
        .expect(201)?;
    assert_eq!(none.header("cache-control"), Some("no-store"));
    let made = Made::read(&none)?;
    let url = format!(
        "{}/scim/{}/v2",
        connection.endpoints().service,
        connection.id
    );
    assert_eq!(made.url, url);
    let shown = connection.about("GET", "", None)?.expect(200)?.json()?;
    assert_eq!(shown["scim_url"], url.as_str());
    // What was shown can be sent back.
    connection.about("PUT", "", Some(&shown))?.expect(200)?;
    assert!(made.secret.starts_with("pc_scim_"), "{}", made.id);
    let secrets = listed(&connection)?;
    assert_eq!(secrets[0]["id"], made.id.as_str());
    for name in ["good_until", "last_used_at"] {
        assert!(secrets[0][name].is_null(), "{name}");
    }

    let name = somebody()?;
    let created = made.scim().post_user(&name, true)?.expect(201)?;
    let id = created.json()?["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let location = format!("{url}/Users/{id}");
    assert_eq!(created.header("location"), Some(location.as_str()));
    assert_eq!(created.json()?["meta"]["location"], location.as_str());
    let config = made
        .scim()
        .request("GET", "/ServiceProviderConfig")
        .send()?;
    let config = config.expect(200)?.json()?;
    let location = format!("{url}/ServiceProviderConfig");
    assert_eq!(config["meta"]["location"], location.as_str());

    let used = listed(&connection)?[0]["last_used_at"].clone();
    let used = used.as_str().unwrap_or_default();
    assert!(used.ends_with(":00:00.000Z"), "{used}");
    for answer in [
        connection.about("GET", "/scim-secrets", None)?,
        connection.about("GET", "", None)?,
        connection.api.audit("order=newest&limit=1000")?,
    ] {
        assert!(!answer.body.contains(&made.secret));
        assert!(!answer.body.contains("pc_scim_"), "{}", answer.body);
    }
    Ok(())
}

#[test]
fn earlier_secrets_stay_good_for_as_long_as_was_said_and_at_most_a_few() -> Result {
    let connection = Connection::new()?;
    let first = make(&connection, &json!({}))?;
    let second = make(&connection, &json!({}))?;
    for made in [&first, &second] {
        made.users()?.expect(200)?;
    }
    let secrets = listed(&connection)?;
    assert!(secrets[0]["good_until"].is_string() && secrets[1]["good_until"].is_null());
    let third = make(&connection, &json!({"overlap_secs": 2}))?;
    first.users()?.expect(200)?;
    until("the end of the overlap", || {
        Ok((first.users()?.status == 401).then_some(()))
    })?;
    second.expect_refused()?;
    third.users()?.expect(200)?;

    let fourth = make(&connection, &json!({"overlap_secs": 0}))?;
    third.expect_refused()?;
    fourth.users()?.expect(200)?;
    for _ in 0..4 {
        make(&connection, &json!({}))?;
    }
    let too_many = connection.about("POST", "/scim-secrets", Some(&json!({})))?;
    too_many.expect(409)?.problem()?;
    fourth.users()?.expect(200)?;
    for asked in [
        json!({"overlap_secs": 7_776_001}),
        json!({"overlap": 1}),
        json!([]),
    ] {
        let refused = connection.about("POST", "/scim-secrets", Some(&asked))?;
        refused.expect(400)?.problem()?;
    }
    let unknown = connection.admin("POST", "/v1/connections/no-such/scim-secrets", None)?;
    unknown.expect(404)?;
    Ok(())
}

#[test]
fn a_removed_secret_is_refused_at_once_and_the_log_has_which_but_not_what() -> Result {
    let connection = Connection::new()?;
    let other = Connection::new()?;
    let (made, stays) = (
        make(&connection, &json!({}))?,
        make(&connection, &json!({}))?,
    );
    let name = somebody()?;
    let id = made.scim().provision(&name)?;
    let path = format!("/scim-secrets/{}", made.id);
    other.about("DELETE", &path, None)?.expect(404)?;
    connection
        .about("DELETE", "/scim-secrets/x", None)?
        .expect(404)?;
    connection.about("DELETE", &path, None)?.expect(204)?;
    made.expect_refused()?;
    expect_unknown(&made.scim().delete(&id)?)?;
    for route in ["/ServiceProviderConfig", "/Schemas", "/ResourceTypes/User"] {
        expect_unknown(&made.scim().request("GET", route).send()?)?;
    }
    connection.about("DELETE", &path, None)?.expect(404)?;
    let kept = stays
        .scim()
        .request("GET", &format!("/Users/{id}"))
        .send()?;
    kept.expect(200)?;

    let in_log = made.id.replacen("scs_", "h_", 1);
    let reasons = |action: &str| {
        let events = connection.api.events(&format!("action={action}"))?;
        let ours = events.iter().filter(|event| event["token"] == *in_log);
        let reasons = ours.filter_map(|event| event["reason"].as_str().map(str::to_owned));
        Ok::<_, Failure>(reasons.collect::<Vec<_>>())
    };
    until("what became of the secret", || {
        let told = reasons("connection.changed")?;
        Ok((told == ["scim_secret_created", "scim_secret_deleted"]).then_some(()))
    })?;
    // The first for a reason is logged with what it is, or counted with those of other tests.
    until("the refusal", || {
        let events = connection.api.events("action=credential.refused")?;
        let found = events
            .iter()
            .any(|event| event["reason"] == "scim_secret_removed");
        Ok(found.then_some(()))
    })
}

#[test]
fn what_was_made_and_removed_stays_so_through_a_restart_and_no_secret_is_stored() -> Result {
    let mut stack = Stack::start()?;
    let path = "/v1/connections/demo/scim-secrets";
    let gone = Made::read(&admin(&stack, "POST", path)?.expect(201)?)?;
    let made = Made::read(&admin(&stack, "POST", path)?.expect(201)?)?;
    let path = format!("{path}/{}", gone.id);
    admin(&stack, "DELETE", &path)?.expect(204)?;
    made.users()?.expect(200)?;
    stack.restart(&Settings::default())?;
    made.users()?.expect(200)?;
    gone.expect_refused()?;
    // Of the configuration's connection, at both of its URLs and beside the role's credential.
    let own = format!("{}/scim/demo/v2", stack.at.service);
    for (base, secret) in [
        (&made.url, made.secret.as_str()),
        (&own, &made.secret),
        (&made.url, bearer::SCIM),
        (&own, bearer::SCIM),
    ] {
        let types = Scim::at(base, secret).request("GET", "/ResourceTypes/User");
        let location = types.send()?.expect(200)?.json()?["meta"]["location"].clone();
        assert_eq!(location, format!("{base}/ResourceTypes/User"));
    }
    stack.kill_hard()?;
    for path in files(stack.directory())? {
        let bytes = fs::read(&path).unwrap_or_default();
        for made in [&made, &gone] {
            let (body, _) = made.secret.rsplit_once('.').unwrap_or_default();
            let found = bytes.windows(body.len()).any(|it| it == body.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
    Ok(())
}

#[test]
fn a_flood_of_bad_secrets_wakes_no_directory_and_does_not_flood_the_log() -> Result {
    let stack = std::sync::Arc::new(Stack::start()?);
    let connection = Connection::at(
        Site::at(std::sync::Arc::clone(&stack))?,
        |client| client,
        &json!({}),
    )?;
    let path = "/v1/connections/demo/scim-secrets";
    let made = Made::read(&admin(&stack, "POST", path)?.expect(201)?)?;
    let url = format!("{}/scim/{}/v2", stack.at.service, connection.id);
    let before = directory_objects(&stack)?;
    assert!(
        !before.is_empty(),
        "the objects of directories are not found"
    );
    let (body, _) = made.secret.rsplit_once('.').unwrap_or_default();
    let forged = format!("{body}.00000000");
    for number in 0..30 {
        let guess = format!("pc_scim_{number}");
        for bad in [&made.secret, &forged, &guess, bearer::SCIM] {
            expect_unknown(&Scim::at(&url, bad).list("count=1")?)?;
        }
    }
    assert_eq!(directory_objects(&stack)?, before);
    let refused = connection.api.events("action=credential.refused")?;
    assert!((1..=12).contains(&refused.len()), "{refused:#?}");
    until("the count of those that followed", || {
        let refused = connection.api.events("action=credential.refused")?;
        let count = |reason: &str| {
            let of_reason = refused.iter().filter(|event| event["reason"] == reason);
            of_reason
                .map(|event| event["count"].as_u64().unwrap_or(1))
                .sum::<u64>()
        };
        let counts = (
            count("unknown_credential"),
            count("scim_secret_of_another_connection"),
        );
        Ok((counts == (60, 60)).then_some(()))
    })?;
    Ok(())
}

#[test]
fn every_other_credential_is_refused_at_a_connections_endpoint() -> Result {
    let connection = Connection::new()?;
    let url = format!(
        "{}/scim/{}/v2",
        connection.endpoints().service,
        connection.id
    );
    for row in rows(&connection, ["x", "x"])? {
        let ask = |token: Option<&str>| {
            let request = row.request(&url);
            match token {
                Some(token) => request.bearer(token).send(),
                None => request.send(),
            }
        };
        for (token, status) in [
            (None, 401),
            (Some("wrong"), 401),
            (Some(bearer::SCIM), 401),
            (Some(bearer::ADMIN), 403),
            (Some(bearer::AUDITOR), 403),
            (Some(bearer::GATEWAY), 403),
        ] {
            expect_error(&ask(token)?, status, None)?;
        }
    }
    Ok(())
}

#[test]
fn a_connection_that_is_off_or_gone_is_not_provisioned() -> Result {
    let connection = Connection::new()?;
    let made = make(&connection, &json!({}))?;
    made.users()?.expect(200)?;
    connection.about("POST", "/disable", None)?.expect(200)?;
    expect_error(&made.users()?, 403, None)?;
    connection.about("POST", "/enable", None)?.expect(200)?;
    made.users()?.expect(200)?;
    connection.about("DELETE", "", None)?.expect(204)?;
    expect_error(&made.users()?, 404, None)?;
    connection
        .about("GET", "/scim-secrets", None)?
        .expect(404)?;
    connection
        .about("POST", "/scim-secrets", None)?
        .expect(404)?;
    let again = connection.document(&json!({}));
    let again = connection.admin("POST", "/v1/connections", Some(&again))?;
    again.expect(409)?;
    expect_error(&made.users()?, 404, None)?;

    let stack = Stack::start()?;
    let scim = Scim::new(&stack.at);
    scim.list("count=1")?.expect(200)?;
    admin(&stack, "POST", "/v1/connections/demo/disable")?.expect(200)?;
    expect_error(&scim.list("count=1")?, 403, None)?;
    admin(&stack, "POST", "/v1/connections/demo/enable")?.expect(200)?;
    scim.list("count=1")?.expect(200)?;
    Ok(())
}

/// A row of SCIM as every connection has it.
struct Row {
    method: &'static str,
    /// Below the endpoint, with somebody's id in it.
    path: String,
    has_id: bool,
}

impl Row {
    /// A request that would do something if it were let in.
    fn request(&self, url: &str) -> Request {
        let request = Request::new(self.method, format!("{url}{}", self.path));
        let body = match self.method {
            "PATCH" => json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "replace", "path": "displayName", "value": "changed"}],
            }),
            "PUT" => {
                let mut whole = user("changed", false);
                whole["displayName"] = json!("changed");
                whole
            }
            "POST" => json!({"userName": "made-by-another", "displayName": "made-by-another"}),
            _ => return request,
        };
        request.body("application/scim+json", body.to_string())
    }
}

/// Every row of SCIM, as the description has it, about that user and that group.
fn rows(site: &Site, [user, group]: [&str; 2]) -> Result<Vec<Row>> {
    let url = format!("{}/openapi.json", site.endpoints().service);
    let document = Request::get(url).send()?.expect(200)?.json()?;
    let mut rows = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        let Some(path) = path.strip_prefix("/scim/{connection}/v2") else {
            continue;
        };
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if item.get(method.to_lowercase()).is_some() {
                let named = path.replace("{name}", "User");
                let named = named.replace("{urn}", "urn:ietf:params:scim:schemas:core:2.0:User");
                let id = if path.starts_with("/Groups") {
                    group
                } else {
                    user
                };
                rows.push(Row {
                    method,
                    path: named.replace("{id}", id),
                    has_id: path.contains("{id}"),
                });
            }
        }
    }
    assert!(rows.len() >= 13, "only {} rows", rows.len());
    Ok(rows)
}

/// What a provider has made at its connection: a user, and where there are groups one that has them.
struct Provisioned {
    key: Made,
    user: String,
    group: Option<String>,
}

impl Provisioned {
    fn new(connection: &Connection, name: &str) -> Result<Self> {
        let key = make(connection, &json!({}))?;
        let user = key.scim().provision(name)?;
        let has_groups = rows(connection, ["x", "x"])?
            .iter()
            .any(|row| (row.method, row.path.as_str()) == ("POST", "/Groups"));
        let group = if has_groups {
            let body = json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
                "displayName": name, "members": [{"value": user}],
            });
            let made = key.scim().with_body("POST", "/Groups", &body).send()?;
            Some(text(&made.expect(201)?.json()?, "id")?.to_owned())
        } else {
            None
        };
        Ok(Self { key, user, group })
    }

    /// All that there is.
    fn state(&self) -> Result<Vec<Value>> {
        let mut state = Vec::new();
        let groups = self.group.as_ref().map(|_| "/Groups?count=100");
        for path in std::iter::once("/Users?count=100").chain(groups) {
            let list = self.key.scim().request("GET", path).send()?.expect(200)?;
            let list = list.json()?;
            assert_eq!(list["totalResults"], 1, "{list}");
            state.push(list);
        }
        Ok(state)
    }
}

#[test]
fn a_connection_never_touches_what_is_anothers() -> Result {
    let (ours, theirs) = (Connection::new()?, Connection::new()?);
    let name = somebody()?;
    let (here, there) = (
        Provisioned::new(&ours, &name)?,
        Provisioned::new(&theirs, &name)?,
    );
    assert_ne!(here.user, there.user);
    let (before, before_there) = (here.state()?, there.state()?);
    let group = here.group.as_deref().unwrap_or("x");
    for row in rows(&ours, [&here.user, group])? {
        // Their secret at our URL, with our ids.
        let theirs_here = row.request(&here.key.url).bearer(&there.key.secret);
        expect_unknown(&theirs_here.send()?)?;
        // Our ids at their URL, where only what is theirs is found.
        if row.has_id {
            let ours_there = row.request(&there.key.url).bearer(&there.key.secret);
            expect_error(&ours_there.send()?, 404, None)?;
        }
    }
    assert_eq!(here.state()?, before);
    assert_eq!(there.state()?, before_there);
    let by_id = format!("id eq \"{}\"", here.user);
    let found = there.key.scim().find(&by_id)?.expect(200)?;
    assert_eq!(found.json()?["totalResults"], 0);
    if let Some(group) = &there.group {
        // Whatever becomes of it there.
        let join = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "add", "path": "members", "value": [{"value": here.user}]}],
        });
        let path = format!("/Groups/{group}");
        there.key.scim().with_body("PATCH", &path, &join).send()?;
        assert_eq!(here.state()?, before);
    }
    // The same name is another person, who can be ended without the one here.
    there.key.scim().delete(&there.user)?.expect(204)?;
    assert_eq!(here.state()?, before);
    Ok(())
}

#[test]
fn a_connections_own_provider_deactivates_its_people_and_no_others() -> Result {
    let settings = json!({"subject_claim": "preferred_username"});
    let (ours, theirs) = (Connection::with(&settings)?, Connection::with(&settings)?);
    for connection in [&ours, &theirs] {
        let said = json!({"preferred_username": "robin"});
        connection.upstream.claims("alice", &said)?;
    }
    let (here, there) = (ours.log_in("alice")?, theirs.log_in("alice")?);
    let scim = make(&ours, &json!({}))?.scim();
    let id = scim.provision("robin")?;
    ours.api.expect_active(&here)?;
    scim.set_active(&id, false)?;
    ours.api.expect_denied(&here, "subject_disabled")?;
    theirs.api.expect_active(&there)?;
    assert_eq!(ours.refused_log_in("alice")?, "access_denied");
    scim.set_active(&id, true)?;
    ours.log_in("alice")?;
    Ok(())
}

#[test]
fn whose_connection_went_while_they_were_asked_is_not_let_in() -> Result {
    let connection = Connection::new()?;
    let app = App {
        client_id: "demo-third-party".to_owned(),
        ..connection.app.clone()
    };
    let address = format!("somebody@{}", connection.domain);
    let attempt = app.attempt_with(&[("login_hint", &address)])?;
    let mut browser = Browser::new();
    let page = app.authorize(&mut browser, "alice", &attempt)?.page()?;
    assert_eq!(page.url.path(), "/consent");
    connection.about("DELETE", "", None)?.expect(204)?;
    let answer = browser.answer(&page, "allow")?;
    let back = browser.follow(page.url.clone(), answer, Some(&app.redirect_uri))?;
    let back = back.app()?;
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(
        connection.reasons("session.login")?,
        ["connection_disabled"]
    );
    Ok(())
}
