use super::*;
use crate::consistency::WhenStale;
use crate::route::audit::{Loss, Sample};
use proptest::prelude::*;

mod faults;

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
