//! Paths of requests, patterns of paths, and which fits which.
//!
//! Between a gateway and what it guards stands every reading of a path that differs: `/%61dmin`,
//! `/ADMIN`, `/admin;x` and `//admin` are `/admin` to some servers and something else to others. So
//! a path is read twice. Once as the careful server reads it, which is how routes match: segments
//! percent-decoded once, as they are. And once as the most careless one does: decoded until
//! nothing is left to decode, in one case, without what stands behind `;`, `?` or `#` in a segment,
//! nor dots and spaces at its ends.
//! If the two lead to different routes, the request is refused ([`super::table`]).
//!
//! What would change the number of segments in some reading is refused here, for everybody: an
//! encoded slash or backslash, an empty segment, `.` and `..` in any disguise that a URL parser leaves,
//! and control characters; so is what is no percent-encoding or no UTF-8.
//!
//! A pattern is a path whose segments are texts or `*`. `*` is any one segment, and at the end
//! whatever follows: `/a/*` fits `/a`, `/a/` and `/a/b/c`. A slash at the end makes no difference.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Why a path is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// It has a `%` that encodes nothing, or is no UTF-8.
    Encoding,
    /// A slash or a backslash is in a segment, encoded.
    Separator,
    /// Two slashes, with nothing between them that counts everywhere: as dots and spaces do not.
    EmptySegment,
    /// A segment that means this directory or the one above.
    DotSegment,
    /// A control character.
    Control,
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoding => "it is not percent-encoded UTF-8",
            Self::Separator => "it has an encoded slash or a backslash",
            Self::EmptySegment => "it has an empty segment",
            Self::DotSegment => "it has a segment . or ..",
            Self::Control => "it has a control character",
        })
    }
}

/// The path of a request, in both readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    careful: String,
    careless: String,
}

/// How a path is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As it is.
    Careful,
    /// As whoever takes most spellings for one does.
    Careless,
}

impl Path {
    /// Reads the path of a URL, as a URL parser leaves it.
    pub fn read(path: &str) -> Result<Self, BadPath> {
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Result<Vec<Segment>, BadPath> = path.split('/').map(Segment::read).collect();
        segments.map(Self)
    }
}

impl Segment {
    fn read(raw: &str) -> Result<Self, BadPath> {
        if !is_percent_encoded(raw) {
            return Err(BadPath::Encoding);
        }
        let careful = decoded(raw)?;
        let mut all_the_way = careful.clone();
        loop {
            // Each time something is decoded it becomes shorter.
            let further = decoded(&all_the_way)?;
            if further == all_the_way {
                break;
            }
            all_the_way = further;
        }
        if all_the_way.contains(['/', '\\']) {
            return Err(BadPath::Separator);
        }
        if all_the_way.contains(char::is_control) {
            return Err(BadPath::Control);
        }
        let named = all_the_way.split([';', '?', '#']).next();
        let named = named.unwrap_or_default();
        if matches!(named, "." | "..") {
            return Err(BadPath::DotSegment);
        }
        match folded(named) {
            careless if careless.is_empty() => Err(BadPath::EmptySegment),
            careless => Ok(Self { careful, careless }),
        }
    }

    fn read_as(&self, reading: Reading) -> &str {
        match reading {
            Reading::Careful => &self.careful,
            Reading::Careless => &self.careless,
        }
    }
}

/// Whether every `%` begins an encoded byte (RFC 3986 section 2.1).
fn is_percent_encoded(text: &str) -> bool {
    let mut behind = text.split('%').skip(1);
    behind.all(|text| text.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2)
}

/// Decoded once; a `%` that encodes nothing is left as it is.
fn decoded(text: &str) -> Result<String, BadPath> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| BadPath::Encoding)
}

/// In one case, however a server folds it, and without the dots and spaces at its ends that file systems
/// and some servers leave out.
fn folded(text: &str) -> String {
    let text = text
        .trim()
        .trim_end_matches(|it: char| it == '.' || it.is_whitespace());
    text.to_uppercase().to_lowercase()
}

/// What paths a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
    /// Whether anything may follow.
    open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text { text: String, folded: String },
    Any,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPattern {
    /// It does not begin with a slash.
    Relative,
    /// It ends with a slash.
    SlashAtTheEnd,
    /// Nothing is between two slashes.
    EmptySegment,
    /// A segment that means this directory or the one above.
    DotSegment,
    /// `*` is part of a segment.
    PartlyAny,
    /// A character that paths are not to be told apart by.
    Character(char),
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relative => "a path begins with /",
            Self::SlashAtTheEnd => {
                "leave out the slash at the end: a path fits with and without one"
            }
            Self::EmptySegment => "there is nothing between two slashes",
            Self::DotSegment => "no request has a segment . or ..",
            Self::PartlyAny => "* stands for a whole segment, or at the end for all that follow",
            Self::Character(found) => {
                return write!(
                    f,
                    "{found:?} cannot be in a path here; write it as it is when decoded, \
                     without ; ? # % or \\"
                );
            }
        })
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let path = text.strip_prefix('/').ok_or(BadPattern::Relative)?;
        let (path, open) = match path.strip_suffix('*') {
            Some("") => ("", true),
            Some(front) if front.ends_with('/') => (front.strip_suffix('/').unwrap_or(front), true),
            _ => (path, false),
        };
        if path.is_empty() && (!open || text == "/*") {
            let parts = Vec::new();
            return Ok(Self { parts, open });
        }
        if path.ends_with('/') && !open {
            return Err(BadPattern::SlashAtTheEnd);
        }
        let parts: Result<Vec<Part>, BadPattern> = path.split('/').map(Part::read).collect();
        parts.map(|parts| Self { parts, open })
    }
}

impl Part {
    fn read(text: &str) -> Result<Self, BadPattern> {
        let forbidden = |it: &char| it.is_control() || ";?#%\\".contains(*it);
        if let Some(found) = text.chars().find(forbidden) {
            return Err(BadPattern::Character(found));
        }
        match text {
            "" => Err(BadPattern::EmptySegment),
            "." | ".." => Err(BadPattern::DotSegment),
            "*" => Ok(Self::Any),
            text if text.contains('*') => Err(BadPattern::PartlyAny),
            text => match folded(text) {
                folded if folded.is_empty() => Err(BadPattern::EmptySegment),
                folded => Ok(Self::Text {
                    text: text.to_owned(),
                    folded,
                }),
            },
        }
    }

    fn fits(&self, segment: &Segment, reading: Reading) -> bool {
        match (self, reading) {
            (Self::Any, _) => true,
            (Self::Text { text, .. }, Reading::Careful) => text == segment.read_as(reading),
            (Self::Text { folded, .. }, Reading::Careless) => folded == segment.read_as(reading),
        }
    }

    /// Whether everything that fits `other` fits this, to whoever takes all cases for one.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Text { .. }, Self::Any) => false,
            (Self::Text { folded: ours, .. }, Self::Text { folded, .. }) => ours == folded,
        }
    }
}

impl Pattern {
    /// Whether a path fits.
    ///
    /// What fits in the careful reading fits in the careless one, as patterns have no character that
    /// is read in two ways: so that no reading between the two can lead anywhere else.
    #[must_use]
    pub fn fits(&self, Path(segments): &Path, reading: Reading) -> bool {
        let length = if self.open {
            segments.len() >= self.parts.len()
        } else {
            segments.len() == self.parts.len()
        };
        let mut pairs = self.parts.iter().zip(segments);
        length && pairs.all(|(part, segment)| part.fits(segment, reading))
    }

    /// Whether every path that fits `other` fits this, to whoever takes all cases for one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let length = if self.open {
            other.parts.len() >= self.parts.len()
        } else {
            !other.open && other.parts.len() == self.parts.len()
        };
        let mut pairs = self.parts.iter().zip(&other.parts);
        length && pairs.all(|(ours, theirs)| ours.covers(theirs))
    }

    /// The text of its segment `at`, where that is a text.
    #[must_use]
    pub fn text_at(&self, at: usize) -> Option<&str> {
        match self.parts.get(at)? {
            Part::Text { folded, .. } => Some(folded),
            Part::Any => None,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text { text, .. } => write!(f, "/{text}")?,
                Part::Any => f.write_str("/*")?,
            }
        }
        match (self.open, self.parts.is_empty()) {
            (true, _) => f.write_str("/*"),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
