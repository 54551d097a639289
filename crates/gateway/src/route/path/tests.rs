use super::*;
use proptest::prelude::*;
use url::Url;

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap_or_else(|bad| panic!("{text}: {bad}"))
}

/// As a server sees it, behind a URL parser.
fn path(text: &str) -> Result<Path, BadPath> {
    let url = Url::parse(&format!("https://app.example{text}")).expect("a URL");
    Path::read(url.path())
}

fn fits(pattern_text: &str, path_text: &str, reading: Reading) -> bool {
    let path = path(path_text).unwrap_or_else(|bad| panic!("{path_text}: {bad}"));
    pattern(pattern_text).fits(&path, reading)
}

#[test]
fn a_pattern_fits_as_it_reads() {
    for (text, fit, other) in [
        ("/", vec!["/", "", "/?q"], vec!["/a"]),
        ("/*", vec!["/", "/a", "/a/b/"], vec![]),
        ("/a", vec!["/a", "/a/", "/%61"], vec!["/", "/a/b", "/ab"]),
        (
            "/a/*",
            vec!["/a", "/a/", "/a/b", "/a/b/c"],
            vec!["/", "/ab"],
        ),
        (
            "/*/b",
            vec!["/a/b", "/x%20/b/"],
            vec!["/b", "/a/b/c", "/a/c"],
        ),
        ("/a/*/*", vec!["/a/b", "/a/b/c"], vec!["/a"]),
        ("/ä b", vec!["/ä b", "/%c3%a4%20b"], vec!["/a b"]),
        ("/a+b", vec!["/a+b", "/a%2Bb"], vec!["/a b"]),
    ] {
        for it in fit {
            assert!(fits(text, it, Reading::Careful), "{text} {it}");
        }
        for it in other {
            assert!(!fits(text, it, Reading::Careful), "{text} {it}");
        }
    }
}

#[test]
fn other_spellings_fit_in_the_careless_reading_only() {
    for spelling in [
        "/ADMIN",
        "/Admin/",
        "/admin;a=b",
        "/admin%3bx",
        "/admin%3fx",
        "/admin%23",
        "/%2561dmin",
        "/%25252561dmin;x",
        "/adm\u{131}n",
        "/adm%C4%B1n",
        "/admin.",
        "/admin%20.%20",
        "/%20admin",
    ] {
        assert!(!fits("/admin", spelling, Reading::Careful), "{spelling}");
        assert!(fits("/admin", spelling, Reading::Careless), "{spelling}");
    }
}

#[test]
fn what_servers_split_differently_is_refused() {
    for (text, why) in [
        ("/a%2fb", BadPath::Separator),
        ("/a%2Fb", BadPath::Separator),
        ("/a%5cb", BadPath::Separator),
        ("/a%252fb", BadPath::Separator),
        ("/a%25252Fb", BadPath::Separator),
        ("//a", BadPath::EmptySegment),
        ("/a//b", BadPath::EmptySegment),
        ("/a///", BadPath::EmptySegment),
        ("//", BadPath::EmptySegment),
        ("/;x/a", BadPath::EmptySegment),
        ("/a/;x", BadPath::EmptySegment),
        ("/a/.../b", BadPath::EmptySegment),
        ("/a/%20/b", BadPath::EmptySegment),
        ("/a/..;/b", BadPath::DotSegment),
        ("/a/.;x=y/b", BadPath::DotSegment),
        ("/a/%252e%252e/b", BadPath::DotSegment),
        ("/a/.%252e/b", BadPath::DotSegment),
        ("/a%00", BadPath::Control),
        ("/a%0d%0ab", BadPath::Control),
        ("/a%2500", BadPath::Control),
        ("/a%", BadPath::Encoding),
        ("/a%4", BadPath::Encoding),
        ("/a%zz", BadPath::Encoding),
        ("/%c0%af", BadPath::Encoding),
        ("/%ff", BadPath::Encoding),
        ("/%25ff", BadPath::Encoding),
    ] {
        assert_eq!(path(text), Err(why), "{text}");
    }
}

#[test]
fn what_a_url_parser_makes_plain_is_plain() {
    for (text, plain) in [
        ("/a/../b", "/b"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/.%2E/b", "/b"),
        ("/a/./b", "/a/b"),
        ("/../../b", "/b"),
        ("\\b", "/b"),
        ("/a\\..\\b", "/b"),
        ("/\t/b", "//b"),
    ] {
        assert_eq!(path(text), path(plain), "{text}");
    }
}

#[test]
fn honest_paths_are_read() {
    for text in [
        "/",
        "/a/b/c.html",
        "/a%20b/c;d",
        "/100%25",
        "/What%3F",
        "/~user/@scope/a+b,c=d&e:f!",
        "/k%C3%B6che",
        "/.well-known/a",
        "/a..b",
    ] {
        assert!(path(text).is_ok(), "{text}");
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    for (text, why) in [
        ("", BadPattern::Relative),
        ("a", BadPattern::Relative),
        ("*", BadPattern::Relative),
        ("/a/", BadPattern::SlashAtTheEnd),
        ("/a//b", BadPattern::EmptySegment),
        ("//a", BadPattern::EmptySegment),
        ("//", BadPattern::SlashAtTheEnd),
        ("//*", BadPattern::EmptySegment),
        ("/a//*", BadPattern::EmptySegment),
        ("/...", BadPattern::EmptySegment),
        ("/a/../b", BadPattern::DotSegment),
        ("/./*", BadPattern::DotSegment),
        ("/a*", BadPattern::PartlyAny),
        ("/*a/b", BadPattern::PartlyAny),
        ("/**", BadPattern::PartlyAny),
        ("/a/**", BadPattern::PartlyAny),
        ("/a%20b", BadPattern::Character('%')),
        ("/a?b", BadPattern::Character('?')),
        ("/a;b", BadPattern::Character(';')),
        ("/a\\b", BadPattern::Character('\\')),
        ("/a\nb", BadPattern::Character('\n')),
    ] {
        assert_eq!(text.parse::<Pattern>(), Err(why), "{text}");
    }
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let part = prop::sample::select(vec!["a", "A", "b", "a.", "admin", "ä", "*"]);
    (prop::collection::vec(part, 0..4), any::<bool>()).prop_map(|(parts, open)| {
        let mut text: String = parts.iter().flat_map(|part| ["/", part]).collect();
        if open || text.is_empty() {
            text.push_str(if open { "/*" } else { "/" });
        }
        pattern(&text)
    })
}

fn any_path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "A", "b", "admin", "ADMIN", "%61", "%2561", ";x", "..", ".", "%2e", "%252e", "%2f",
        "%5c", "\\", "ä", "%C3%84", "%", "%00", "%3f", "%3b", "/", "/", "/", "//", "*",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn the_careless_reading_fits_wherever_the_careful_one_does(
        pattern in any_pattern(),
        text in any_path(),
    ) {
        if let Ok(path) = path(&text)
            && pattern.fits(&path, Reading::Careful)
        {
            prop_assert!(pattern.fits(&path, Reading::Careless), "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_covered_fits_what_covers(
        first in any_pattern(),
        second in any_pattern(),
        text in any_path(),
    ) {
        if let Ok(path) = path(&text)
            && first.covers(&second)
            && second.fits(&path, Reading::Careless)
        {
            prop_assert!(first.fits(&path, Reading::Careless), "{first} {second} {text}");
        }
    }

    #[test]
    fn a_path_that_is_read_has_one_way_to_be_split(text in any_path()) {
        if let Ok(Path(segments)) = path(&text) {
            for segment in segments {
                prop_assert!(!segment.careful.contains(['/', '\\']));
                prop_assert!(!["", ".", ".."].contains(&segment.careful.as_str()));
                prop_assert!(!["", ".", ".."].contains(&segment.careless.as_str()));
                prop_assert!(!segment.careless.contains([';', '/', '\\', '?', '#']));
            }
        }
    }

    #[test]
    fn patterns_read_back_as_they_are_written(pattern in any_pattern()) {
        prop_assert_eq!(pattern.to_string().parse(), Ok(pattern));
    }

    #[test]
    fn arbitrary_text_never_panics(text: String) {
        drop(Path::read(&text));
        drop(text.parse::<Pattern>());
    }
}
