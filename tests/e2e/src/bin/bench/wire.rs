//! As much of HTTP/1.1 as a load generator needs: finding where one response ends.

use std::str;

/// A whole response at the beginning of what was read.
pub struct Framed<'b> {
    /// The status code.
    pub status: u16,
    /// Status line and header fields.
    pub head: &'b [u8],
    /// The body; a chunked one still has its framing.
    pub body: &'b [u8],
    /// How many bytes of the buffer it takes.
    pub length: usize,
}

/// The response at the beginning of `bytes`: `None` if more must be read, an error if it is none.
pub fn frame(bytes: &[u8]) -> Result<Option<Framed<'_>>, &'static str> {
    let Some(head_length) = find(bytes, b"\r\n\r\n").map(|at| at + 4) else {
        return Ok(None);
    };
    let head = bytes
        .get(..head_length)
        .and_then(|head| str::from_utf8(head).ok());
    let mut lines = head.ok_or("a head that is no text")?.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|line| line.get(..3)?.parse().ok())
        .ok_or("no status line")?;
    let rest = bytes.get(head_length..).unwrap_or_default();
    let body = match status {
        204 => Body::Sized(0), // there is none, and no length of it (RFC 9110 section 8.6)
        _ => body(lines)?,
    };
    let body_length = match body {
        Body::Sized(length) => Some(length).filter(|length| rest.len() >= *length),
        // No trailers and no chunk that holds these bytes: our own stack sends neither.
        Body::Chunked if rest.starts_with(b"0\r\n\r\n") => Some(5),
        Body::Chunked => find(rest, b"\r\n0\r\n\r\n").map(|at| at + 7),
    };
    Ok(body_length.map(|body_length| Framed {
        status,
        head: bytes.get(..head_length).unwrap_or_default(),
        body: rest.get(..body_length).unwrap_or_default(),
        length: head_length + body_length,
    }))
}

enum Body {
    Sized(usize),
    Chunked,
}

fn body<'h>(lines: impl Iterator<Item = &'h str>) -> Result<Body, &'static str> {
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            return value
                .trim()
                .parse()
                .map(Body::Sized)
                .map_err(|_| "an odd Content-Length");
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(Body::Chunked);
        }
    }
    Err("a body without a length")
}

/// Where `needle` first stands in `bytes`.
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(text: &str) -> Result<Option<(u16, usize)>, &'static str> {
        Ok(frame(text.as_bytes())?.map(|framed| (framed.status, framed.length)))
    }

    #[test]
    fn a_response_ends_where_its_length_or_its_last_chunk_says() {
        let sized = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(framed(sized), Ok(Some((200, sized.len()))));
        assert_eq!(
            framed(&format!("{sized}HTTP/1.1 ")),
            Ok(Some((200, sized.len())))
        );
        let chunked = "HTTP/1.1 401 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        assert_eq!(framed(chunked), Ok(Some((401, chunked.len()))));
    }

    #[test]
    fn a_response_without_content_ends_with_its_head() {
        let none = "HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\n\r\n";
        assert_eq!(framed(none), Ok(Some((204, none.len()))));
    }

    #[test]
    fn half_a_response_is_none_yet() {
        for half in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
        ] {
            assert_eq!(framed(half), Ok(None), "{half:?}");
        }
    }
}
