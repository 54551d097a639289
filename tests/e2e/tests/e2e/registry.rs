//! Who is known: by logging in, by being provisioned, or both; for operators, and each look is in the log.

use portcullis_e2e::Result;
use portcullis_e2e::api::bearer;
use portcullis_e2e::app::random_text;
use portcullis_e2e::connection::Connection;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::scim;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn get(site: &Site, path: &str) -> Result<Response> {
    let url = format!("{}/v1/subjects{path}", site.endpoints().service);
    Request::get(url).bearer(bearer::ADMIN).send()
}

/// Everybody whom the query finds, through all its pages.
#[track_caller]
fn listed(site: &Site, query: &[(&str, &str)]) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(query);
        if let Some(cursor) = &cursor {
            encoded.append_pair("cursor", cursor);
        }
        let page = get(site, &format!("?{}", encoded.finish()))?;
        let page = page.expect(200)?.json()?;
        found.extend(page["subjects"].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(found),
        }
    }
}

fn texts(people: &[Value], name: &str) -> Vec<String> {
    let texts = people.iter().filter_map(|one| one[name].as_str());
    texts.map(str::to_owned).collect()
}

/// A name that nobody else uses, in lower case.
fn new_name() -> Result<String> {
    let text = random_text()?.to_lowercase().replace(['_', '-'], "x");
    Ok(format!("u{}", text.get(..12).unwrap_or(&text)))
}

#[test]
fn whoever_logs_in_is_known_as_the_provider_says_and_found_by_each_of_it() -> Result {
    let connection = Connection::new()?;
    let said = json!({
        "name": "Alice Archer", "email": "Archer@x.example", "groups": ["staff", "dev"],
    });
    connection.upstream.claims("alice", &said)?;
    assert_eq!(
        listed(&connection, &[("connection", &connection.id)])?,
        [] as [Value; 0]
    );
    let tokens = connection.log_in("alice")?;
    connection.log_in("bob")?;

    let id = connection.id.as_str();
    for search in ["al", "ALICE", "alice a", "archer@"] {
        let found = listed(&connection, &[("connection", id), ("search", search)])?;
        assert_eq!(found.len(), 1, "{search}: {found:?}");
        let mut alice = found[0].clone();
        let last = alice["last_login_at"].take();
        assert!(last.is_string(), "{last}");
        assert_eq!(
            alice,
            json!({
                "subject": tokens.subject, "connection": id, "value": "alice",
                "name": "Alice Archer", "preferred_username": "alice",
                "email": "Archer@x.example", "groups": ["staff", "dev"], "state": "active",
                "last_login_at": null, "scim": null, "seat": true,
            })
        );
    }
    let nobody = listed(&connection, &[("connection", id), ("search", "archer")])?;
    assert_eq!(texts(&nobody, "value"), ["alice"], "an address begins so");
    let nobody = listed(&connection, &[("connection", id), ("search", "rcher")])?;
    assert_eq!(nobody, [] as [Value; 0]);
    let both = listed(&connection, &[("connection", id), ("limit", "1")])?;
    assert_eq!(texts(&both, "value"), ["alice", "bob"]);
    Ok(())
}

#[test]
fn somebody_is_shown_with_what_is_live_now_by_either_name() -> Result {
    let connection = Connection::new()?;
    let tokens = connection.log_in("alice")?;
    connection.log_in("alice")?;
    let show = |named: &str| get(&connection, &format!("/{named}"));
    for named in [&tokens.subject, &connection.claim("alice")] {
        let shown = show(named)?.expect(200)?.json()?;
        assert_eq!(shown["subject"], *tokens.subject);
        assert_eq!(
            (&shown["value"], &shown["connection"]),
            (&json!("alice"), &json!(connection.id))
        );
        assert_eq!(shown["live"]["sessions"], 2);
        assert!(shown["live"]["last_used_at"].is_string());
        assert_eq!(shown["live"]["disabled"], false);
    }
    let all = json!({ "subject": tokens.subject });
    connection.api.revoke(&all)?.expect(200)?;
    let shown = show(&tokens.subject)?.expect(200)?.json()?;
    let nothing = json!({"sessions": 0, "last_used_at": null, "disabled": false});
    assert_eq!(shown["live"], nothing);

    for stranger in [
        connection.claim("nobody"),
        connection.claim("ALICE"),
        "sub_AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
    ] {
        show(&stranger)?.expect(404)?.problem()?;
    }
    show("nowhere:alice")?.expect(400)?.problem()?;
    Ok(())
}

#[test]
fn whoever_is_only_provisioned_is_known_too_and_is_one_with_who_logs_in() -> Result {
    let person = Person::new()?;
    let site: &Site = &person;
    let record = |named: &str| -> Result<Value> {
        let found = listed(site, &[("connection", "demo"), ("search", named)])?;
        let mine = found.iter().find(|one| one["value"] == *named);
        Ok(mine.cloned().unwrap_or_default())
    };
    let name = new_name()?;
    let mut body = scim::user(&name, true);
    body["displayName"] = json!("Somebody Provisioned");
    body["emails"] = json!([{"value": "p@x.example", "primary": true}]);
    let created = site.scim.with_body("POST", "/Users", &body).send()?;
    let created = created.expect(201)?.json()?;
    let id = created["id"].as_str().unwrap_or_default();
    let known = record(&name)?;
    assert_eq!(known["scim"], json!({"id": id, "active": true}));
    assert_eq!(
        (&known["name"], &known["email"]),
        (&json!("Somebody Provisioned"), &json!("p@x.example"))
    );
    assert_eq!(
        (&known["last_login_at"], &known["state"]),
        (&Value::Null, &json!("active"))
    );

    site.scim.set_active(id, false)?;
    let known = record(&name)?;
    assert_eq!(
        (&known["state"], &known["scim"]["active"]),
        (&json!("disabled"), &json!(false))
    );
    let query = [
        ("connection", "demo"),
        ("search", &name),
        ("state", "disabled"),
    ];
    assert_eq!(texts(&listed(site, &query)?, "value"), [name.as_str()]);
    let query = [
        ("connection", "demo"),
        ("search", &name),
        ("state", "active"),
    ];
    assert_eq!(listed(site, &query)?, [] as [Value; 0]);
    let shown = get(site, &format!("/demo:{name}"))?.expect(200)?.json()?;
    assert_eq!(shown["live"]["disabled"], true);
    site.scim.delete(id)?.expect(204)?;
    assert_eq!(record(&name)?, Value::Null);

    site.app.log_in(person.name)?;
    let id = site.scim.provision(person.name)?;
    let both = record(person.name)?;
    assert_eq!(both["scim"]["id"], *id);
    assert!(both["last_login_at"].is_string());
    site.scim.delete(&id)?.expect(204)?;
    let left = record(person.name)?;
    assert_eq!(
        (&left["scim"], &left["state"]),
        (&Value::Null, &json!("disabled"))
    );
    Ok(())
}

#[test]
fn pages_go_through_every_connection_in_order_and_show_nobody_twice() -> Result {
    let (one, other) = (Connection::new()?, Connection::new()?);
    let mine: BTreeSet<(String, String)> = [(&one, "alice"), (&one, "bob"), (&other, "alice")]
        .into_iter()
        .map(|(connection, user)| {
            connection.log_in(user)?;
            Ok((connection.id.clone(), user.to_owned()))
        })
        .collect::<Result<_>>()?;
    for query in [
        &[("limit", "2")][..],
        &[("limit", "1"), ("search", "alice")],
    ] {
        let people = listed(&one, query)?;
        let places: Vec<(String, String)> = texts(&people, "connection")
            .into_iter()
            .zip(texts(&people, "value"))
            .collect();
        let ids: Vec<&String> = places.iter().map(|(connection, _)| connection).collect();
        assert!(ids.is_sorted(), "{ids:?}");
        let distinct: BTreeSet<_> = places.iter().cloned().collect();
        assert_eq!(distinct.len(), places.len(), "{places:?}");
        let searched = query.len() > 1;
        let wanted = mine.iter().filter(|(_, user)| !searched || user == "alice");
        for place in wanted {
            assert!(distinct.contains(place), "{place:?} in {places:?}");
        }
    }
    // Whose connection is gone is not shown any more, and a cursor into it goes on behind it.
    let page = get(&one, &format!("?connection={}&limit=1", one.id))?.expect(200)?;
    let cursor = page.json()?["next"].as_str().unwrap_or_default().to_owned();
    assert!(!cursor.is_empty());
    one.about("DELETE", "", None)?.expect(204)?;
    get(&other, &format!("?connection={}", one.id))?.expect(400)?;
    let rest = get(&other, &format!("?cursor={cursor}"))?.expect(200)?;
    let rest = rest.json()?["subjects"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert!(
        texts(&rest, "connection").iter().all(|id| *id > one.id),
        "{rest:?}"
    );
    Ok(())
}

#[test]
fn a_query_that_is_not_understood_is_refused() -> Result {
    let site = Site::any()?;
    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "state=x",
        "state=",
        "cursor=x",
        "cursor=",
        "conection=demo",
        "connection=nowhere",
        "limit=1&limit=2",
    ] {
        let refused = get(&site, &format!("?{query}"))?;
        refused.expect(400)?.problem()?;
    }
    let long = "x".repeat(321);
    get(&site, &format!("?search={long}"))?.expect(400)?;
    Ok(())
}

#[test]
fn each_look_is_in_the_log_with_who_looked_and_without_what_for() -> Result {
    let connection = Connection::new()?;
    let tokens = connection.log_in("alice")?;
    let secret = new_name()?;
    get(&connection, &format!("?search={secret}"))?.expect(200)?;
    get(&connection, &format!("/{}", connection.claim("alice")))?.expect(200)?;
    // A look that was answered is in the log already.
    let query = format!("action=registry.read&subject={}", tokens.subject);
    let looks = connection.api.events(&query)?;
    assert_eq!(looks.len(), 1, "{looks:?}");
    assert_eq!(looks[0]["actor"]["id"], "admin");
    assert_eq!(looks[0]["request"]["status"], 200);
    let all = connection.api.events("action=registry.read")?;
    let lists = all
        .iter()
        .filter(|one| one["request"]["path"] == "/v1/subjects");
    assert!(lists.count() >= 1);
    assert!(!all.iter().any(|one| one.to_string().contains(&secret)));
    Ok(())
}
