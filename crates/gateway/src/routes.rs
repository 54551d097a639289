//! The gateway's own paths. Everything else is the origin's.

use crate::resource;
use crate::route::path::Pattern;

/// Below this nothing reaches the origin, whatever comes to be here later.
const PREFIX: &str = "/.portcullis/";
/// The same as a pattern.
const OURS: &str = "/.portcullis/*";
/// Where browsers come back to from logging in.
pub const CALLBACK: &str = "/.portcullis/callback";
/// Where browsers land after logging out.
pub const LOGGED_OUT: &str = "/.portcullis/logged-out";

/// | path | method | authorization |
/// |---|---|---|
/// | `/.portcullis/healthz` | GET | none |
/// | `/.portcullis/callback` | GET | the cookie of the log-in that began here |
/// | `/.portcullis/jwks.json` | GET | none |
/// | `/.portcullis/logout` | POST | same origin |
/// | `/.portcullis/logged-out` | GET | none |
///
/// And [`resource::METADATA`], alone or with any path behind it: GET, none.
const ROUTES: [(&str, &str, Route); 5] = [
    ("/.portcullis/healthz", "GET", Route::Health),
    (CALLBACK, "GET", Route::Callback),
    ("/.portcullis/jwks.json", "GET", Route::Keys),
    ("/.portcullis/logout", "POST", Route::LogOut),
    (LOGGED_OUT, "GET", Route::LoggedOut),
];

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To where the file says, if it may.
    Guarded,
    /// Says that the Worker runs and is configured.
    Health,
    /// Says with which key assertions are verified.
    Keys,
    /// Ends a log-in.
    Callback,
    /// Ends the session.
    LogOut,
    /// Says that it has been ended.
    LoggedOut,
    /// Says where tokens for what is behind the gateway come from.
    ResourceMetadata,
    /// A browser asks whether a page of another origin may read that.
    ResourceMetadataPreflight,
    /// A path of ours that does not exist.
    NotFound,
    /// A path of ours with another method; this one is allowed.
    WrongMethod(&'static str),
}

impl Route {
    /// The route of a request.
    #[must_use]
    pub fn of(method: &str, path: &str) -> Self {
        if resource::is_metadata(path) {
            return match method {
                "GET" | "HEAD" => Self::ResourceMetadata,
                "OPTIONS" => Self::ResourceMetadataPreflight,
                _ => Self::WrongMethod("GET"),
            };
        }
        if !path.starts_with(PREFIX) {
            return Self::Guarded;
        }
        match ROUTES.iter().find(|(known, _, _)| *known == path) {
            Some((_, allowed, route)) if *allowed == method => *route,
            Some((_, allowed, _)) => Self::WrongMethod(allowed),
            None => Self::NotFound,
        }
    }
}

/// Whether everything that fits `pattern` is ours, so that no route can be for it.
#[must_use]
pub fn are_ours(pattern: &Pattern) -> bool {
    [OURS, resource::OURS].iter().any(|ours| {
        let ours = ours.parse::<Pattern>();
        ours.is_ok_and(|ours| ours.covers(pattern))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_paths_never_reach_the_origin() {
        assert_eq!(Route::of("GET", "/.portcullis/healthz"), Route::Health);
        assert_eq!(Route::of("GET", "/.portcullis/jwks.json"), Route::Keys);
        assert_eq!(Route::of("POST", CALLBACK), Route::WrongMethod("GET"));
        assert_eq!(
            Route::of("GET", "/.portcullis/logout"),
            Route::WrongMethod("POST")
        );
        assert_eq!(Route::of("GET", "/.portcullis/admin"), Route::NotFound);
        assert_eq!(Route::of("GET", "/.portcullis/"), Route::NotFound);
        assert_eq!(Route::of("GET", "/"), Route::Guarded);
        assert_eq!(Route::of("GET", "/.portcullisx"), Route::Guarded);
    }

    #[test]
    fn the_resource_metadata_is_ours_with_any_path_behind_it() {
        let of = |method, behind| Route::of(method, &format!("{}{behind}", resource::METADATA));
        for behind in ["", "/", "/mcp", "/a/b"] {
            assert_eq!(of("GET", behind), Route::ResourceMetadata);
            assert_eq!(of("HEAD", behind), Route::ResourceMetadata);
            assert_eq!(of("OPTIONS", behind), Route::ResourceMetadataPreflight);
            assert_eq!(of("POST", behind), Route::WrongMethod("GET"));
        }
        assert_eq!(of("GET", "x"), Route::Guarded);
        assert_eq!(Route::of("GET", "/.well-known/other"), Route::Guarded);
    }
}
