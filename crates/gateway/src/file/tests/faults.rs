//! What is wrong with a file is told, all of it and with its place.

use super::*;

#[test]
fn everything_that_is_wrong_is_told_with_its_place() {
    let text = r#"[upstreams]
app = "http://app.example"
"b c" = { port = 1 }

[defaults]
browser_login = "yes"

[[routes]]
path = "a/*"
upstream = "ap"
rolls_any = ["admin"]

[[routes]]
upstream = "app"
path = "/b"
roles_any = []
consistency = { bounded = "2 s", when_stale = "never" }

[retries]
"#;
    let told = told(text);
    let places: Vec<&str> = told
        .iter()
        .filter_map(|line| line.split(": ").next())
        .collect();
    assert_eq!(
        places,
        [
            "2:7", "3:1", "3:9", "3:11", "6:17", "9:8", "10:12", "11:1", "16:13", "17:27", "17:47",
            "19:2"
        ],
        "{told:#?}"
    );
    assert_eq!(
        told.get(7).map(String::as_str),
        Some(
            "11:1: unknown key \"rolls_any\"; known here: path, upstream, host, methods, public, \
             roles_any, roles_all, groups_any, groups_all, scopes, consistency, audit, headers, \
             browser_login, assertion"
        )
    );
}

#[test]
fn a_text_that_is_no_toml_has_its_faults_by_line() {
    let told = told("[upstreams]\na = \nb = 1 2\n[[routes]\na = \"x\"\na = \"y\"\n");
    assert!(told.len() >= 3, "{told:#?}");
    let in_lines = |line: &str| told.iter().any(|it| it.starts_with(line));
    assert!(
        in_lines("2:") && in_lines("3:") && in_lines("4:"),
        "{told:#?}"
    );
}

#[test]
fn a_file_without_upstreams_or_routes_forwards_nothing_and_is_refused() {
    assert_eq!(
        told(""),
        [
            "1:1: \"routes\" is missing",
            "1:1: \"upstreams\" is missing"
        ]
    );
    assert_eq!(
        told(&format!("routes = []\n{UPSTREAMS}")),
        ["1:10: no route: nothing would be forwarded"]
    );
    assert_eq!(
        told("[upstreams]\na = 1\n[routes]\n"),
        [
            "2:5: \"a\" must be a text, not a number",
            "3:1: \"routes\" must be a list of tables, not a table"
        ]
    );
}

#[test]
fn what_a_route_is_for_is_judged_value_by_value() {
    for (keys, told) in [
        (
            "host = \"A.example\"",
            "6:8: write this host as \"a.example\"",
        ),
        (
            "host = \"a.example.\"",
            "6:8: write this host as \"a.example\"",
        ),
        (
            "host = \"a.example:80\"",
            "6:8: this is no host: a name or an address, without a port",
        ),
        (
            "host = \"*\"",
            "6:8: this is no host: a name or an address, without a port",
        ),
        (
            "methods = [\"get\"]",
            "6:12: a method is written in capital letters",
        ),
        (
            "methods = [\"GET\", \"GET\"]",
            "6:19: \"GET\" is in the list already",
        ),
        (
            "methods = \"GET\"",
            "6:11: \"methods\" must be a list of texts, not a text",
        ),
        (
            "methods = []",
            "6:11: the list \"methods\" is empty: leave it out",
        ),
        (
            "scopes = [\"a b\"]",
            "6:11: a scope has no spaces, quotes or backslashes; list each by itself",
        ),
        (
            "roles_all = [\"\"]",
            "6:14: nobody has a role or group without a name",
        ),
        (
            "roles_all = [1]",
            "6:14: \"roles_all\" must be texts, not a number",
        ),
        (
            "public = \"yes\"",
            "6:10: \"public\" must be true or false, not a text",
        ),
    ] {
        assert_eq!(of_a_route(keys), [told], "{keys}");
    }
}

#[test]
fn how_a_route_is_guarded_is_judged_value_by_value() {
    for (keys, told) in [
        (
            "audit = { sample = 1.5 }",
            "6:20: \"sample\" must be a number from 0 to 1",
        ),
        (
            "audit = { sample = nan }",
            "6:20: \"sample\" must be a number from 0 to 1",
        ),
        (
            "audit = { sample = -1 }",
            "6:20: \"sample\" must be a number from 0 to 1",
        ),
        (
            "audit = { loss = \"maybe\" }",
            "6:18: unknown \"loss\" \"maybe\"; there are tolerate and wait",
        ),
        (
            "audit = { denials = 0 }",
            "6:11: unknown key \"denials\"; known here: sample, loss, claims",
        ),
        (
            "consistency = { bounded = \"61s\" }",
            "6:27: longer than 60s is not bounded by anything",
        ),
        (
            "consistency = { bounded = \"0ms\" }",
            "6:27: nothing is known at once: say consistency = \"strict\"",
        ),
        (
            "consistency = { bounded = 1 }",
            "6:27: \"bounded\" must be a text, not a number",
        ),
        (
            "consistency = { when_stale = \"strict\" }",
            "6:15: \"bounded\" is missing: how old what is known may be",
        ),
        (
            "consistency = true",
            "6:15: \"consistency\" must be a text or a table",
        ),
        (
            "headers = { Cookie = \"sub\" }",
            "6:13: \"Cookie\" cannot be a header of a claim",
        ),
        (
            "headers = { Portcullis-Role = \"roles\" }",
            "6:13: \"Portcullis-Role\" cannot be a header of a claim",
        ),
        (
            "headers = { X-Original-URL = \"sub\" }",
            "6:13: \"X-Original-URL\" cannot be a header of a claim",
        ),
        (
            "headers = { \"X Y\" = \"sub\" }",
            "6:13: \"X Y\" cannot be a header of a claim",
        ),
        (
            "headers = { X-A = \"sub\", x-a = \"acr\" }",
            "6:26: servers take \"x-a\" for another one here",
        ),
    ] {
        assert_eq!(of_a_route(keys), [told], "{keys}");
    }
    let unknown_claim = of_a_route("audit = { claims = [\"acr\", \"email\"] }");
    assert!(
        unknown_claim[0].starts_with("6:28: no such claim; there are sub,"),
        "{unknown_claim:?}"
    );
    let many: Vec<String> = (0..17).map(|n| format!("\"idp_claims.{n}\"")).collect();
    let many = format!("audit = {{ claims = [{}] }}", many.join(", "));
    assert_eq!(of_a_route(&many), ["6:20: more than 16 claims"]);
    let unknown_claim = of_a_route("headers = { X-Email = \"email\" }");
    assert!(
        unknown_claim
            .iter()
            .all(|it| it.starts_with("6:23: no such claim; there are sub"))
    );
}

#[test]
fn a_public_route_requires_nothing() {
    for name in OF_A_GUARD {
        let told = of_a_route(&format!("public = true\n{name} = true"));
        let expected = format!("7:1: a public route has no {name:?}: nobody is asked who they are");
        assert_eq!(told, [expected]);
    }
}

#[test]
fn an_upstream_is_an_https_origin_or_a_variable() {
    for (value, told) in [
        ("\"https://a.example/\"", 7),
        ("\"https://a.example/path\"", 7),
        ("\"https://user@a.example\"", 7),
        ("\"http://127.0.0.1:8790\"", 7),
        ("\"a.example\"", 7),
        ("{}", 7),
        ("{ var = \"origin\" }", 15),
        ("{ var = \"ISSUER\" }", 15),
        ("{ url = \"http://a.example\", var = \"A\" }", 15),
    ] {
        let text = format!("[upstreams]\napp = {value}\n{}", paths(&["/*"]));
        let problems = read(&text).expect_err(value);
        let places: Vec<_> = problems.iter().map(|it| (it.line, it.column)).collect();
        assert_eq!(places, [(2, told)], "{value} {problems:?}");
    }
}

#[test]
fn a_route_that_no_request_reaches_is_refused() {
    let second = |routes: &str| told(&format!("{UPSTREAMS}{routes}"));
    let takes_all =
        ["6:1: no request reaches this route: that at line 3 takes all that fit its path"];
    for shadowed in [
        ["/*", "/a"],
        ["/a/*", "/a/b"],
        ["/a/*", "/a"],
        ["/*/b", "/a/b"],
        ["/A/*", "/a/b"],
    ] {
        assert_eq!(second(&paths(&shadowed)), takes_all, "{shadowed:?}");
    }
    assert_eq!(
        second(&paths(&["/a", "/a"])),
        ["6:1: no request reaches this route: that at line 3 takes every method of its path"]
    );
    assert_eq!(
        second(&paths(&["/a", "/A"])),
        ["6:1: the route at line 3 has this path in another case: requests to either are refused"]
    );
    let by_method =
        "[[routes]]\npath = \"/a\"\nmethods = [\"GET\", \"POST\"]\nupstream = \"app\"\n";
    let again = by_method.replace("\"GET\"", "\"HEAD\"");
    assert_eq!(
        second(&format!("{by_method}{again}")),
        ["7:1: the route at line 3 takes HEAD, POST of this path"]
    );
    let on_a_host = "[[routes]]\nhost = \"a.example\"\npath = \"/a\"\nupstream = \"app\"\n";
    assert_eq!(second(&format!("{}{on_a_host}", paths(&["/*"]))), takes_all);
    for reached in [
        paths(&["/a", "/a/*", "/*/b", "/*"]),
        format!("{on_a_host}{}", paths(&["/a"])),
        format!("{by_method}{}", paths(&["/a"])),
        format!(
            "{by_method}{}",
            by_method.replace("\"GET\", \"POST\"", "\"PUT\"")
        ),
    ] {
        declared(&format!("{UPSTREAMS}{reached}"));
    }
}

#[test]
fn no_route_is_for_what_is_the_gateways_own() {
    for path in [
        "/.portcullis/*",
        "/.Portcullis/x",
        "/.portcullis",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
    ] {
        let told = told(&format!("{UPSTREAMS}{}", paths(&[path])));
        assert_eq!(told, ["4:8: this path is the gateway's own"], "{path}");
    }
    declared(&format!("{UPSTREAMS}{}", paths(&["/.well-known/*", "/*"])));
}
