//! Which route a request takes.
//!
//! The first route whose host and path fit decides. If it does not allow the method, only routes
//! of exactly its host and path are looked at further, and without one of those the answer is 405: a
//! guard of `GET` is no hole for `POST` to a laxer route behind it. Without any route the request
//! is refused; nothing is forwarded that was not declared.
//!
//! This is done in both [readings](super::path::Reading) of the path, and who would take one route
//! in the one and another in the other is refused.

use super::Route;
use super::path::{BadPath, Path, Reading};
use crate::consistency::Consistency;
use crate::inbound::Inbound;

/// The routes, and where they lead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Where requests can go.
    pub upstreams: Vec<Upstream>,
    /// The routes; the first that fits decides.
    pub routes: Vec<Route>,
}

/// Where requests can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// What the file calls it.
    pub name: String,
    /// The origin that the file names.
    pub origin: Option<String>,
    /// The variable that names it, before the file.
    pub var: Option<String>,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Routed<'t> {
    /// This way.
    To(&'t Route),
    /// Nowhere: no route is for it.
    NoRoute,
    /// Nowhere: routes are for it with these methods.
    WrongMethod(Vec<&'t str>),
    /// Nowhere: its path is not looked at.
    BadPath(BadPath),
    /// Nowhere: servers would take its path for different ones.
    Ambiguous,
}

impl Table {
    /// How old a view of the revocations may be for the route that wants the freshest, in milliseconds, if any
    /// is content with a view.
    #[must_use]
    pub fn freshest_view_ms(&self) -> Option<u64> {
        let wanted = self
            .routes
            .iter()
            .filter_map(|route| match route.guard()?.consistency {
                Consistency::Bounded { max_age_ms, .. } => Some(max_age_ms),
                Consistency::Strict | Consistency::SignatureOnly => None,
            });
        wanted.min()
    }

    /// The route of a request.
    #[must_use]
    pub fn route(&self, inbound: &Inbound) -> Routed<'_> {
        let path = match Path::read(inbound.url.path()) {
            Ok(path) => path,
            Err(bad) => return Routed::BadPath(bad),
        };
        let host = inbound.url.host_str().unwrap_or_default();
        // The same host, written to the root (RFC 1034 section 3.1).
        let host = host.strip_suffix('.').unwrap_or(host);
        let first = |reading| {
            self.routes
                .iter()
                .position(|route| route.is_for_host(host) && route.path.fits(&path, reading))
        };
        match (first(Reading::Careful), first(Reading::Careless)) {
            (None, None) => Routed::NoRoute,
            (Some(careful), Some(careless)) if careful == careless => {
                self.by_method(careful, &inbound.method)
            }
            _ => Routed::Ambiguous,
        }
    }

    /// The route for a method, of those beside the one at `first`.
    fn by_method(&self, first: usize, method: &str) -> Routed<'_> {
        let Some((decided, behind)) = self.routes.get(first..).and_then(<[Route]>::split_first)
        else {
            return Routed::NoRoute;
        };
        let beside = behind.iter().filter(|route| decided.is_beside(route));
        let mut candidates = std::iter::once(decided).chain(beside);
        if let Some(route) = candidates.clone().find(|route| route.allows(method)) {
            return Routed::To(route);
        }
        let mut methods: Vec<&str> = Vec::new();
        for method in candidates
            .by_ref()
            .flat_map(|route| route.methods.iter().flatten())
        {
            if !methods.contains(&method.as_str()) {
                methods.push(method);
            }
        }
        Routed::WrongMethod(methods)
    }

    /// The names of all headers that hold claims on any route. None of them comes from outside,
    /// whatever the route.
    pub fn claim_headers(&self) -> impl Iterator<Item = &str> {
        self.routes
            .iter()
            .filter_map(Route::guard)
            .flat_map(|guard| &guard.headers)
            .map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbound::example;
    use crate::route::Access;
    use proptest::prelude::*;
    use url::Url;

    /// Host, path and methods.
    type Row<'r> = (Option<&'r str>, &'r str, Option<&'r [&'r str]>);

    /// These routes; the upstream is the index.
    fn table(rows: &[Row<'_>]) -> Table {
        let route = |(at, (host, path, methods)): (usize, &Row<'_>)| {
            let list = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect();
            Route {
                line: at + 1,
                host: host.map(str::to_owned),
                path: path.parse().expect("a pattern"),
                methods: methods.map(list),
                upstream: at,
                access: Access::Guarded(Box::default()),
            }
        };
        Table {
            upstreams: Vec::new(),
            routes: rows.iter().enumerate().map(route).collect(),
        }
    }

    fn taken(table: &Table, method: &str, path: &str) -> Result<usize, u16> {
        taken_at(table, method, &format!("https://app.example{path}"))
    }

    fn taken_at(table: &Table, method: &str, url: &str) -> Result<usize, u16> {
        let inbound = Inbound {
            url: Url::parse(url).expect("a URL"),
            ..example(method, "/", &[])
        };
        match table.route(&inbound) {
            Routed::To(route) => Ok(route.upstream),
            Routed::NoRoute => Err(404),
            Routed::WrongMethod(_) => Err(405),
            Routed::BadPath(_) | Routed::Ambiguous => Err(400),
        }
    }

    #[test]
    fn the_first_that_fits_decides() {
        let table = table(&[
            (None, "/a/b", None),
            (None, "/a/*", None),
            (Some("other.example"), "/*", None),
        ]);
        assert_eq!(taken(&table, "GET", "/a/b"), Ok(0));
        assert_eq!(taken(&table, "GET", "/a/b/"), Ok(0));
        assert_eq!(taken(&table, "GET", "/a/b/c"), Ok(1));
        assert_eq!(taken(&table, "GET", "/a"), Ok(1));
        for elsewhere in ["/", "/b", "/ab"] {
            assert_eq!(taken(&table, "GET", elsewhere), Err(404), "{elsewhere}");
        }
        for other in [
            "https://other.example/x",
            "https://OTHER.example:8443/x",
            "https://other.example./x",
        ] {
            assert_eq!(taken_at(&table, "GET", other), Ok(2), "{other}");
        }
    }

    #[test]
    fn without_a_route_nothing_is_forwarded() {
        assert_eq!(taken(&Table::default(), "GET", "/"), Err(404));
    }

    #[test]
    fn another_method_falls_into_no_laxer_route() {
        let table = table(&[
            (None, "/orders", Some(&["GET"])),
            (None, "/*", None),
            (None, "/orders", Some(&["POST", "GET"])),
        ]);
        assert_eq!(taken(&table, "GET", "/orders"), Ok(0));
        assert_eq!(taken(&table, "HEAD", "/orders"), Ok(0));
        assert_eq!(taken(&table, "POST", "/orders"), Ok(2));
        for method in ["PUT", "OPTIONS", "get", "GETS", ""] {
            assert_eq!(taken(&table, method, "/orders"), Err(405), "{method}");
        }
        let refused = table.route(&example("PUT", "/orders", &[]));
        assert_eq!(refused, Routed::WrongMethod(vec!["GET", "POST"]));
        assert_eq!(taken(&table, "PUT", "/orders/1"), Ok(1));
    }

    #[test]
    fn no_other_spelling_of_a_guarded_path_falls_into_a_laxer_route() {
        let table = table(&[(None, "/admin/*", None), (None, "/*", None)]);
        for guarded in [
            "/admin",
            "/admin/",
            "/admin/x",
            "/%61dmin/x",
            "/x/../admin/y",
            "/x/%2e%2e/admin",
        ] {
            assert_eq!(taken(&table, "GET", guarded), Ok(0), "{guarded}");
        }
        for refused in [
            "/ADMIN/x",
            "/Admin",
            "/admin;a/x",
            "/admin%3fx",
            "/admin%23/x",
            "/%2561dmin",
            "//admin",
            "/x/..;/admin",
            "/x%2f..%2fadmin",
            "/admin%2fx",
            "/admin%5cx",
            "/%2e%2e%2fadmin",
            "/x/%252e%252e/admin",
            "/;/admin",
            "/admin%00",
            "/adm\u{131}n",
        ] {
            assert_eq!(taken(&table, "GET", refused), Err(400), "{refused}");
        }
        for lax in [
            "/",
            "/administrator",
            "/a;b",
            "/a%20b/c;d",
            "/Users/ADMIN",
            "/x%3f",
        ] {
            assert_eq!(taken(&table, "GET", lax), Ok(1), "{lax}");
        }
    }

    #[test]
    fn a_lax_route_is_for_its_own_spelling_only() {
        let table = table(&[(None, "/assets/*", None), (None, "/*", None)]);
        assert_eq!(taken(&table, "GET", "/assets/x"), Ok(0));
        assert_eq!(taken(&table, "GET", "/Assets/x"), Err(400));
        assert_eq!(taken(&table, "GET", "/assets;/x"), Err(400));
    }

    fn any_table() -> impl Strategy<Value = Table> {
        let pattern = prop::sample::select(vec![
            "/", "/*", "/a", "/a/*", "/a/b", "/*/b", "/admin/*", "/admin", "/Admin/x", "/a/*/c",
        ]);
        let methods =
            prop::sample::select(vec![None, Some(&["GET"][..]), Some(&["POST", "PUT"][..])]);
        let host = prop::sample::select(vec![None, Some("app.example"), Some("other.example")]);
        prop::collection::vec((host, pattern, methods), 0..5).prop_map(|routes| table(&routes))
    }

    fn any_path() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "a", "b", "c", "admin", "x", "A", "%61", "%2561", ";x", "..", "%2e", "%2f", "%5c",
            "\\", "/", "/", "/", "ADMIN", "%3b", "%", "%00",
        ]);
        prop::collection::vec(piece, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    /// What servers do to paths, one or several of them, before they look.
    fn as_a_server_reads(path: &str, ways: [bool; 6]) -> String {
        let [decode, again, cut, case, slashes, dots] = ways;
        let mut read = path.to_owned();
        for _ in 0..usize::from(decode) + usize::from(again) {
            read = percent_encoding::percent_decode_str(&read)
                .decode_utf8_lossy()
                .into_owned();
        }
        let mut segments: Vec<String> = Vec::new();
        for segment in read.split('/') {
            let named = if cut {
                segment.split(';').next().unwrap_or_default()
            } else {
                segment
            };
            match named {
                "" if slashes => {}
                ".." if dots => drop(segments.pop()),
                "." if dots => {}
                named if case => segments.push(named.to_lowercase()),
                named => segments.push(named.to_owned()),
            }
        }
        segments.join("/").trim_matches('/').to_owned()
    }

    proptest! {
        #[test]
        fn whatever_a_server_makes_of_a_path_its_guard_was_asked(
            path in any_path(),
            ways: [bool; 6],
            lax_first: bool,
        ) {
            let guarded = usize::from(lax_first);
            let routes: &[Row<'_>] = if lax_first {
                &[(None, "/a/*", None), (None, "/admin/*", None), (None, "/*", None)]
            } else {
                &[(None, "/admin/*", None), (None, "/*", None)]
            };
            let table = table(routes);
            let url = Url::parse(&format!("https://app.example{path}")).expect("a URL");
            if let Ok(at) = taken(&table, "GET", &path) {
                let read = as_a_server_reads(url.path(), ways);
                let reaches = read == "admin" || read.starts_with("admin/");
                prop_assert!(!reaches || at == guarded, "{path} is read as {read}");
            }
        }

        #[test]
        fn a_request_takes_a_route_that_is_for_it_and_the_first_such(
            table in any_table(),
            path in any_path(),
            method in prop::sample::select(vec!["GET", "HEAD", "POST", "DELETE"]),
        ) {
            let inbound = example(method, &path, &[]);
            let Ok(read) = Path::read(inbound.url.path()) else {
                prop_assert!(matches!(table.route(&inbound), Routed::BadPath(_)));
                return Ok(());
            };
            if let Routed::To(route) = table.route(&inbound) {
                prop_assert!(route.path.fits(&read, Reading::Careful));
                prop_assert!(route.is_for_host("app.example") && route.allows(method));
                let earlier = table.routes.iter().take_while(|it| it.line < route.line);
                for it in earlier.filter(|it| it.is_for_host("app.example")) {
                    let passed_over = it.is_beside(route) && !it.allows(method);
                    prop_assert!(passed_over || !it.path.fits(&read, Reading::Careless));
                }
            }
        }
    }
}
