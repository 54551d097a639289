//! The gateway's file, `gateway.toml`: its text becomes a [`Table`] of routes, or the list of
//! everything that is wrong with it, each with its line.
//!
//! ```toml
//! [upstreams]
//! app = "https://app.internal.example"
//! api = { url = "https://api.internal.example", var = "API_ORIGIN" }
//!
//! [defaults]                            # of guarded routes; a route's own key replaces it whole
//! browser_login = true
//!
//! [[routes]]
//! path = "/assets/*"
//! upstream = "app"
//! public = true
//!
//! [[routes]]
//! path = "/api/*"
//! methods = ["GET", "POST"]
//! upstream = "api"
//! roles_any = ["admin", "owner"]
//! consistency = { bounded = "1s", when_stale = "strict" }
//! ```
//!
//! `docs/gateway.md` is the reference of every key. What the Worker does at first use and what
//! `portcullis gateway check` does is [`read`], and nothing else.
//!
//! Out of scope: what differs between deployments of one file (issuer, audience, client, keys, and
//! an upstream's variable); that is [`crate::deployment`]'s.

mod described;
mod fields;
mod problem;
mod reach;
mod values;

pub use described::described;
pub use problem::Problem;

use crate::config;
use crate::consistency::Consistency;
use crate::route::access::Requirements;
use crate::route::audit::Audit;
use crate::route::claim::Claim;
use crate::route::path::Pattern;
use crate::route::table::{Table, Upstream};
use crate::route::{Access, Guard, Route};
use crate::routes;
use fields::{Field, Fields};
use problem::Problems;
use toml::de::{DeTable, DeValue};

/// What a file declares.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// The routes.
    pub table: Table,
    /// What is not wrong, and perhaps not meant.
    pub warnings: Vec<Problem>,
}

/// Reads a file. If anything is wrong with it, it says all that is found, in the order of the text.
pub fn read(text: &str) -> Result<Declared, Vec<Problem>> {
    let (document, malformed) = DeTable::parse_recoverable(text);
    let mut problems = Problems::of(text);
    for error in &malformed {
        problems.add(&error.span().unwrap_or_default(), error.message());
    }
    if !malformed.is_empty() {
        // What else could be said would rest on a guess.
        return Err(problems.sorted());
    }
    let mut top = Fields::of(document.get_ref(), 0..0);
    let mut names = Vec::new();
    if let Some(field) = require(&mut top, "upstreams", &mut problems) {
        names = upstreams(field, &mut problems);
    }
    let defaults = top.take("defaults").and_then(|field| {
        let mut fields = field.table(&mut problems)?;
        let options = Options::read(&mut fields, &mut problems);
        fields.finish(&mut problems);
        Some(options)
    });
    let mut table = Table {
        upstreams: names.iter().map(|(upstream, _)| upstream.clone()).collect(),
        routes: Vec::new(),
    };
    if let Some(field) = require(&mut top, "routes", &mut problems) {
        let declared = field.tables(&mut problems);
        if declared.is_empty() && problems.is_empty() {
            field.refuse(&mut problems, "no route: nothing would be forwarded");
        }
        let mut spans = Vec::new();
        for mut fields in declared {
            let span = fields.span.clone();
            let defaults = defaults.clone().unwrap_or_default();
            let route = route(&mut fields, &table.upstreams, defaults, &mut problems);
            fields.finish(&mut problems);
            if let Some(route) = route {
                spans.push(span);
                table.routes.push(route);
            }
        }
        reach::check(&table.routes, &spans, &mut problems);
    }
    top.finish(&mut problems);
    if !problems.is_empty() {
        return Err(problems.sorted());
    }
    let mut warnings = Problems::of(text);
    for (at, (upstream, span)) in names.iter().enumerate() {
        if table.routes.iter().all(|route| route.upstream != at) {
            let name = &upstream.name;
            warnings.add(span, format!("no route leads to the upstream {name:?}"));
        }
    }
    Ok(Declared {
        table,
        warnings: warnings.sorted(),
    })
}

/// A key that must be there.
fn require<'t>(
    fields: &mut Fields<'t>,
    name: &'static str,
    problems: &mut Problems<'_>,
) -> Option<Field<'t>> {
    let field = fields.take(name);
    if field.is_none() {
        problems.add(&fields.span, format!("{name:?} is missing"));
    }
    field
}

type Span = std::ops::Range<usize>;

fn upstreams(field: Field<'_>, problems: &mut Problems<'_>) -> Vec<(Upstream, Span)> {
    let named = field.table(problems).map(Fields::into_rest);
    let mut upstreams = Vec::new();
    for field in named.into_iter().flatten() {
        let of_a_name = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
        if field.name.is_empty() || !field.name.bytes().all(of_a_name) {
            field.refuse_key(problems, "an upstream is named by letters, digits, - and _");
        }
        let (origin, var) = match field.value() {
            DeValue::Table(_) => of_a_variable(field, problems),
            _ => (origin(field, problems), None),
        };
        let upstream = Upstream {
            name: field.name.to_owned(),
            origin,
            var,
        };
        upstreams.push((upstream, field.key_span()));
    }
    upstreams
}

fn of_a_variable(
    field: Field<'_>,
    problems: &mut Problems<'_>,
) -> (Option<String>, Option<String>) {
    let Some(mut fields) = field.table(problems) else {
        return (None, None);
    };
    let url = fields.take("url");
    let var = fields.take("var");
    fields.finish(problems);
    if url.is_none() && var.is_none() {
        field.refuse(
            problems,
            "an upstream has a \"url\", a \"var\" that names it, or both",
        );
    }
    let origin = url.and_then(|url| origin(url, problems));
    let var = var.and_then(|field| {
        let name = field.text(problems)?;
        if !config::is_variable(name) {
            let message =
                "a variable is named by capital letters, digits and _, and not as a setting is";
            field.refuse(problems, message);
        }
        Some(name.to_owned())
    });
    (origin, var)
}

fn origin(field: Field<'_>, problems: &mut Problems<'_>) -> Option<String> {
    let text = field.text(problems)?;
    if !config::is_https_origin(text) {
        field.refuse(
            problems,
            "an upstream is an https origin without a path, such as \"https://app.example\"; \
             another one for development comes from a \"var\"",
        );
    }
    Some(text.to_owned())
}

/// What a route can say and `[defaults]` can say for it.
#[derive(Clone, Default)]
struct Options {
    consistency: Option<Consistency>,
    audit: Option<Audit>,
    headers: Option<Vec<(String, Claim)>>,
    browser_login: Option<bool>,
    assertion: Option<bool>,
}

impl Options {
    fn read(fields: &mut Fields<'_>, problems: &mut Problems<'_>) -> Self {
        let mut take = |name| fields.take(name);
        Self {
            consistency: take("consistency").and_then(|it| values::consistency(it, problems)),
            audit: take("audit").and_then(|it| values::audit(it, problems)),
            headers: take("headers").and_then(|it| values::claim_headers(it, problems)),
            browser_login: take("browser_login").and_then(|it| it.flag(problems)),
            assertion: take("assertion").and_then(|it| it.flag(problems)),
        }
    }

    fn or(self, defaults: Self) -> Self {
        Self {
            consistency: self.consistency.or(defaults.consistency),
            audit: self.audit.or(defaults.audit),
            headers: self.headers.or(defaults.headers),
            browser_login: self.browser_login.or(defaults.browser_login),
            assertion: self.assertion.or(defaults.assertion),
        }
    }
}

/// The keys that only a guarded route can have.
const OF_A_GUARD: [&str; 10] = [
    "roles_any",
    "roles_all",
    "groups_any",
    "groups_all",
    "scopes",
    "consistency",
    "audit",
    "headers",
    "browser_login",
    "assertion",
];

fn route(
    fields: &mut Fields<'_>,
    upstreams: &[Upstream],
    defaults: Options,
    problems: &mut Problems<'_>,
) -> Option<Route> {
    let line = problems.line(fields.span.start);
    let path = require(fields, "path", problems).and_then(|field| path(field, problems));
    let upstream = require(fields, "upstream", problems).and_then(|field| {
        let name = field.text(problems)?;
        let at = upstreams.iter().position(|upstream| upstream.name == name);
        if at.is_none() {
            field.refuse(problems, format!("no upstream is called {name:?}"));
        }
        at
    });
    let host = fields
        .take("host")
        .map(|field| values::host(field, problems));
    let methods = fields
        .take("methods")
        .map(|field| values::methods(field, problems));
    let public = fields.take("public").and_then(|field| field.flag(problems));
    let access = if public == Some(true) {
        for name in OF_A_GUARD {
            if let Some(field) = fields.take(name) {
                let message =
                    format!("a public route has no {name:?}: nobody is asked who they are");
                field.refuse_key(problems, message);
            }
        }
        Access::Public
    } else {
        Access::Guarded(Box::new(guard(fields, defaults, problems)))
    };
    Some(Route {
        line,
        // One that is invalid is no host, rather than all of them.
        host: host.map(Option::unwrap_or_default),
        path: path?,
        methods,
        upstream: upstream?,
        access,
    })
}

fn guard(fields: &mut Fields<'_>, defaults: Options, problems: &mut Problems<'_>) -> Guard {
    let mut names = |name| {
        let field = fields.take(name);
        field.map_or_else(Vec::new, |field| values::names(field, problems))
    };
    let mut requirements = Requirements {
        roles_any: names("roles_any"),
        roles_all: names("roles_all"),
        groups_any: names("groups_any"),
        groups_all: names("groups_all"),
        scopes: Vec::new(),
    };
    if let Some(field) = fields.take("scopes") {
        requirements.scopes = values::scopes(field, problems);
    }
    let options = Options::read(fields, problems).or(defaults);
    Guard {
        requirements,
        consistency: options.consistency.unwrap_or_default(),
        audit: options.audit.unwrap_or_default(),
        headers: options.headers.unwrap_or_default(),
        browser_login: options.browser_login.unwrap_or_default(),
        assertion: options.assertion.unwrap_or_default(),
    }
}

fn path(field: Field<'_>, problems: &mut Problems<'_>) -> Option<Pattern> {
    match field.text(problems)?.parse::<Pattern>() {
        Ok(pattern) if routes::are_ours(&pattern) => {
            field.refuse(problems, "this path is the gateway's own");
            None
        }
        Ok(pattern) => Some(pattern),
        Err(bad) => {
            field.refuse(problems, bad);
            None
        }
    }
}

#[cfg(test)]
mod tests;
