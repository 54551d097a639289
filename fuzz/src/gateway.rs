//! The gateway's file, and the paths that are held against it.

use crate::parted;
use portcullis_gateway::file;
use portcullis_gateway::inbound::Inbound;
use portcullis_gateway::route::Route;
use portcullis_gateway::route::path::{Path, Reading};
use portcullis_gateway::route::table::{Routed, Table};
use url::Url;

const GUARDED: &str = r#"
[upstreams]
app = "https://app.example"
[[routes]]
path = "/admin/*"
upstream = "app"
[[routes]]
path = "/*"
upstream = "app"
public = true
"#;

/// As a file, and as `FILE \0 PATH`.
pub fn gateway_file(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        let _ = read(text);
    }
    if let Some((text, path)) = parted(data)
        && let Some(table) = read(text)
    {
        let _ = routed(&table, path);
    }
}

/// As the path of a request to a gateway that guards `/admin` and nothing else.
pub fn gateway_path(data: &[u8]) {
    let table = read(GUARDED).expect("a valid file");
    let Ok(path) = str::from_utf8(data) else {
        return;
    };
    if routed(&table, path) != Some(true) {
        return;
    }
    // Whoever passes unasked asks for nothing that any server takes for what is guarded.
    let mut read = path.to_owned();
    for _ in 0..4 {
        read = percent_encoding::percent_decode_str(&read)
            .decode_utf8_lossy()
            .into_owned();
        let url = Url::parse(&format!("https://app.example/{read}"));
        let parsed = url.map_or_else(|_| read.clone(), |url| url.path().to_owned());
        let first = parsed
            .split(['/', '\\'])
            .find(|segment| !segment.is_empty());
        let first = first
            .and_then(|segment| segment.split(';').next())
            .unwrap_or_default();
        assert!(
            !first.eq_ignore_ascii_case("admin"),
            "{path} is read as {parsed}"
        );
    }
}

/// A file that is accepted has routes to upstreams that it has; one that is not has a fault with
/// a place.
fn read(text: &str) -> Option<Table> {
    match file::read(text) {
        Ok(declared) => {
            let table = declared.table;
            assert!(!table.routes.is_empty());
            let upstreams = table.upstreams.len();
            assert!(table.routes.iter().all(|route| route.upstream < upstreams));
            assert_eq!(file::described(&table).len(), table.routes.len());
            Some(table)
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            assert!(
                faults
                    .iter()
                    .all(|fault| fault.line >= 1 && fault.column >= 1)
            );
            None
        }
    }
}

/// A request takes a route that fits it in every reading, if any; whether that one is public.
fn routed(table: &Table, path: &str) -> Option<bool> {
    let mut url = Url::parse("https://app.example").expect("a URL");
    url.set_path(path);
    let inbound = Inbound {
        method: "GET".to_owned(),
        url,
        headers: Vec::new(),
        asn: None,
        country: None,
    };
    let Routed::To(route) = table.route(&inbound) else {
        return None;
    };
    let path = Path::read(inbound.url.path()).expect("it was routed");
    assert!(route.path.fits(&path, Reading::Careful));
    assert!(route.path.fits(&path, Reading::Careless));
    assert!(route.allows("GET"));
    Some(is_public(route))
}

fn is_public(route: &Route) -> bool {
    route.guard().is_none()
}
