//! The few pages that people see here: plain HTML that works without scripts, under a policy that
//! lets nothing else in.

use base64ct::{Base64, Encoding};
use portcullis_core::secret::Digest;
use worker::{Response, Result};

/// The one style sheet; the policy names its hash.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}\
h1{font-size:1.5rem;line-height:1.25}\
h2{font-size:1.125rem;margin-top:1.5rem}\
li{margin:.25rem 0}\
.note{border-left:.25rem solid #b45309;padding-left:.75rem}\
form{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.5rem}\
button{font:inherit;min-height:2.75rem;padding:.5rem 1.25rem;border-radius:.375rem;border:2px solid;\
background:Canvas;color:CanvasText;cursor:pointer}\
input{font:inherit;min-height:2.75rem;padding:.25rem .75rem;border-radius:.375rem;border:2px solid;flex:1 1 16rem}\
label{flex-basis:100%}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid}\
th{overflow-wrap:normal}\
button.first{background:#1d4ed8;border-color:#1d4ed8;color:#fff}\
button:focus-visible{outline:3px solid #b45309;outline-offset:2px}";

/// A page for a person, when there is nowhere safe to send them. Title and text are our own words:
/// nothing of the request is ever shown.
pub fn page(status: u16, title: &str, text: &str) -> Result<Response> {
    let html = document(title, &format!("<p>{text}</p>"));
    shown(html, status, "'none'", "no-referrer")
}

/// A page of ours that leads nowhere. `content` is HTML.
pub fn plain_page(title: &str, content: &str) -> Result<Response> {
    shown(document(title, content), 200, "'none'", "no-referrer")
}

/// A page with a form of ours, whose answer leads to a place that `form_action` names, a source of
/// Content Security Policy.
pub fn form_page(title: &str, content: &str, form_action: &str) -> Result<Response> {
    // A page without referrer would send its form with `Origin: null`.
    let form_action = format!("'self' {form_action}");
    shown(document(title, content), 200, &form_action, "same-origin")
}

fn shown(html: String, status: u16, form_action: &str, referrer: &str) -> Result<Response> {
    let style = Base64::encode_string(Digest::of(STYLE.as_bytes()).as_bytes());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action {form_action}; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    let response = Response::from_html(html)?.with_status(status);
    let headers = response.headers();
    headers.set("cache-control", "no-store")?;
    headers.set("content-security-policy", &policy)?;
    headers.set("x-frame-options", "DENY")?;
    headers.set("x-content-type-options", "nosniff")?;
    headers.set("referrer-policy", referrer)?;
    Ok(response)
}

fn document(title: &str, content: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n{content}\n</main>\n</body>\n</html>\n"
    )
}

/// `text` as it may stand in an element or in a quoted attribute.
pub fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_markup_is_text() {
        assert_eq!(
            escaped("<a href=\"x\" b='y'>&amp;</a>"),
            "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;"
        );
        assert_eq!(escaped("Ünïcode"), "Ünïcode");
    }

    #[test]
    fn a_page_is_one_document_with_a_language_a_title_and_a_heading() {
        let html = document("A title", "<p>text</p>");
        assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"));
        assert_eq!(html.matches("A title").count(), 2);
        assert_eq!(html.matches("<h1>").count(), 1);
        assert!(!html.contains("<script"));
    }
}
