use super::*;
use crate::consistency::WhenStale;
use crate::route::audit::{Loss, Sample};
use proptest::prelude::*;

const UPSTREAMS: &str = "[upstreams]\napp = \"https://app.internal.example\"\n";

fn declared(text: &str) -> Declared {
    read(text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
}

/// `LINE:COLUMN: message` of each.
fn told(text: &str) -> Vec<String> {
    let problems = read(text).expect_err(text);
    problems.iter().map(ToString::to_string).collect()
}

/// The problems of a file with one route, which begins in line 3, with these keys on top.
fn of_a_route(keys: &str) -> Vec<String> {
    told(&format!(
        "{UPSTREAMS}[[routes]]\npath = \"/a\"\nupstream = \"app\"\n{keys}\n"
    ))
}

fn guard(keys: &str) -> Guard {
    let text = format!("{UPSTREAMS}[[routes]]\npath = \"/a\"\nupstream = \"app\"\n{keys}\n");
    let declared = declared(&text);
    let guard = declared.table.routes.first().and_then(Route::guard);
    guard.expect("guarded").clone()
}

fn paths(paths: &[&str]) -> String {
    let route = |path: &&str| format!("[[routes]]\npath = \"{path}\"\nupstream = \"app\"\n");
    paths.iter().map(route).collect()
}

#[test]
fn a_file_says_where_requests_go_and_who_may_send_them() {
    let declared = declared(
        r#"
[upstreams]
app = "https://app.internal.example"
api = { url = "https://api.internal.example:8443", var = "API_ORIGIN" }

[defaults]
browser_login = true
audit = { sample = 0.5 }
headers = { X-User = "sub" }

[[routes]]
host = "static.example"
path = "/assets/*"
methods = ["GET"]
upstream = "app"
public = true

[[routes]]
path = "/api/*"
upstream = "api"
roles_any = ["admin", "owner"]
groups_all = ["staff"]
scopes = ["orders:read"]
consistency = { bounded = "500ms", when_stale = "strict" }
audit = { sample = 1, loss = "wait" }
headers = { X-User-Email = "idp_claims.email" }
browser_login = false
assertion = true

[[routes]]
path = "/*"
upstream = "app"
"#,
    );
    assert_eq!(declared.warnings, []);
    let Table { upstreams, routes } = &declared.table;
    let api = upstreams.first().expect("sorted by name");
    assert_eq!(
        api.origin.as_deref(),
        Some("https://api.internal.example:8443")
    );
    assert_eq!(api.var.as_deref(), Some("API_ORIGIN"));
    let [assets, guarded, rest] = routes.as_slice() else {
        panic!("{routes:?}");
    };
    assert_eq!((assets.line, assets.upstream), (11, 1));
    assert_eq!(assets.host.as_deref(), Some("static.example"));
    assert_eq!(assets.access, Access::Public);
    let guard = guarded.guard().expect("guarded");
    assert_eq!(guard.requirements.roles_any, ["admin", "owner"]);
    assert_eq!(guard.requirements.groups_all, ["staff"]);
    assert_eq!(guard.requirements.scopes, ["orders:read"]);
    assert_eq!(
        guard.consistency,
        Consistency::Bounded {
            max_age_ms: 500,
            when_stale: WhenStale::Strict
        }
    );
    assert_eq!(guard.audit.loss, Loss::Wait);
    let email = Claim::IdpClaim("email".to_owned());
    assert_eq!(guard.headers, [("X-User-Email".to_owned(), email)]);
    assert!(guard.assertion && !guard.browser_login);
    let rest = rest.guard().expect("guarded");
    assert!(rest.browser_login);
    assert_eq!(rest.consistency, Consistency::Strict);
    assert_eq!(Some(rest.audit.sample), Sample::new(0.5));
    assert_eq!(rest.headers, [("X-User".to_owned(), Claim::Sub)]);
}

#[test]
fn what_is_not_said_is_the_safe_thing() {
    let guard = guard("");
    assert_eq!(guard, Guard::default());
    assert_eq!(guard.consistency, Consistency::Strict);
    assert_eq!(guard.audit.sample, Sample::default());
    assert!(!guard.browser_login && !guard.assertion);
}

#[test]
fn how_sure_a_route_must_be_is_written_in_three_ways() {
    let bounded = |max_age_ms, when_stale| Consistency::Bounded {
        max_age_ms,
        when_stale,
    };
    for (text, read) in [
        ("\"strict\"", Consistency::Strict),
        ("\"signature-only\"", Consistency::SignatureOnly),
        ("\"bounded\"", bounded(1_000, WhenStale::Refresh)),
        ("{ bounded = \"1m\" }", bounded(60_000, WhenStale::Refresh)),
        (
            "{ bounded = \"2s\", when_stale = \"refuse\" }",
            bounded(2_000, WhenStale::Refuse),
        ),
    ] {
        assert_eq!(guard(&format!("consistency = {text}")).consistency, read);
    }
}

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
            "6:11: unknown key \"denials\"; known here: sample, loss",
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

#[test]
fn an_upstream_without_a_route_is_perhaps_not_meant() {
    let text = format!("{UPSTREAMS}b = \"https://b.example\"\n{}", paths(&["/*"]));
    let warnings: Vec<String> = declared(&text)
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(warnings, ["3:1: no route leads to the upstream \"b\""]);
}

#[test]
fn routes_are_told_with_what_the_defaults_say() {
    let text = format!(
        "{UPSTREAMS}[defaults]\nbrowser_login = true\nconsistency = \"bounded\"\n{}",
        paths(&["/*"])
    );
    let routes = described(&declared(&text).table);
    let [route] = routes.as_slice() else {
        panic!("{routes:?}");
    };
    for (name, value) in [
        ("path", serde_json::json!("/*")),
        ("line", serde_json::json!(6)),
        ("upstream", serde_json::json!("app")),
        (
            "consistency",
            serde_json::json!("bounded 1000ms, else refresh"),
        ),
        ("audit", serde_json::json!("1 tolerate")),
        ("browser_login", serde_json::json!(true)),
    ] {
        assert_eq!(route.get(name), Some(&value), "{name}");
    }
}

fn likely() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "[upstreams]\n",
        "[[routes]]\n",
        "[defaults]\n",
        "app = \"https://a.example\"\n",
        "path = \"/a/*\"\n",
        "path = ",
        "upstream = \"app\"\n",
        "public = true\n",
        "\"",
        "\n",
        "= ",
        "{ ",
        " }",
        "[",
        "]",
        "consistency = ",
        "\"strict\"",
        "bounded = \"1s\"",
        "audit = ",
        "sample = 0.1",
        "headers = ",
        "X-A = \"sub\"",
        "methods = [\"GET\"]\n",
        "ä",
        "\r\n",
        "#",
        "1",
    ]);
    prop::collection::vec(words, 0..30).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn whatever_a_file_says_it_is_read_or_its_faults_have_places(
        text in prop_oneof![likely(), any::<String>()],
    ) {
        match read(&text) {
            Ok(declared) => {
                prop_assert!(!declared.table.routes.is_empty());
                let upstreams = declared.table.upstreams.len();
                prop_assert!(declared.table.routes.iter().all(|it| it.upstream < upstreams));
                prop_assert_eq!(described(&declared.table).len(), declared.table.routes.len());
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                let lines = text.matches('\n').count() + 1;
                prop_assert!(problems.iter().all(|it| it.line <= lines && it.column >= 1));
            }
        }
    }
}

#[test]
fn the_file_that_a_gateway_comes_with_lets_the_known_pass_and_nobody_else() {
    let declared = declared(include_str!("../../gateway.toml"));
    assert_eq!(declared.warnings, []);
    let [route] = declared.table.routes.as_slice() else {
        panic!("{declared:?}");
    };
    let guard = Guard {
        browser_login: true,
        ..Guard::default()
    };
    assert_eq!(route.guard(), Some(&guard));
    assert_eq!(route.path.to_string(), "/*");
}

#[test]
fn the_example_of_the_documentation_guards_what_it_says_it_guards() {
    use crate::inbound::Inbound;
    use crate::route::table::Routed;
    let table = declared(include_str!("../../../../docs/examples/gateway.toml")).table;
    for (method, url, line) in [
        (
            "GET",
            "https://shop.example/assets/a.css",
            Some("/assets/*"),
        ),
        (
            "POST",
            "https://shop.example/webhooks/payments",
            Some("/webhooks/payments"),
        ),
        (
            "GET",
            "https://shop.example/admin/users/1",
            Some("/admin/users/*"),
        ),
        (
            "DELETE",
            "https://shop.example/admin/reports",
            Some("/admin/*"),
        ),
        ("GET", "https://shop.example/Admin/reports", None),
        ("POST", "https://shop.example/assets/a.css", None),
        ("GET", "https://api.shop.example/orders/1", Some("/*")),
        ("TRACE", "https://api.shop.example/orders/1", None),
        ("GET", "https://shop.example/basket", Some("/*")),
    ] {
        let inbound = Inbound {
            url: url.parse().expect("a URL"),
            ..crate::inbound::example(method, "/", &[])
        };
        let taken = match table.route(&inbound) {
            Routed::To(route) => Some(route.path.to_string()),
            _ => None,
        };
        assert_eq!(taken.as_deref(), line, "{method} {url}");
    }
    let public = table.routes.iter().filter(|route| route.guard().is_none());
    assert_eq!(public.count(), 3);
}
