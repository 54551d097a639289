//! A browser as far as a log-in needs one: cookies, redirects, and a form filled in. Of scripts it knows
//! one: the page of a SAML provider that sends its form by itself.

use crate::cookies::Jar;
use crate::http::{Request, Response};
use crate::{Failure, Result};
use url::Url;

const MOST_REDIRECTS: usize = 20;
/// Everyone's second factor at the demo identity provider.
const ONE_TIME_CODE: &str = "000000";
const USER_AGENT: &str = "Mozilla/5.0 (portcullis-e2e)";

/// A person's browser.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// What it remembers.
    pub jar: Jar,
}

/// Where a navigation came to rest.
#[derive(Clone, Debug)]
pub enum Landing {
    /// A page that the browser shows.
    Page(Page),
    /// The application's redirect URI, which nobody serves: the test is the application.
    App(Url),
}

/// A page and where it is from.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its address.
    pub url: Url,
    /// The page.
    pub response: Response,
}

impl Landing {
    /// The page; a failure if the browser left for the application.
    #[track_caller]
    pub fn page(self) -> Result<Page> {
        match self {
            Self::Page(page) => Ok(page),
            Self::App(url) => Err(Failure::new(format!("expected a page, was sent to {url}"))),
        }
    }

    /// The address at the application; a failure that shows the page otherwise.
    #[track_caller]
    pub fn app(self) -> Result<Url> {
        match self {
            Self::App(url) => Ok(url),
            Self::Page(page) => Err(page
                .response
                .unexpected(&format!("a redirect to the application (at {})", page.url))),
        }
    }
}

impl Page {
    /// Where the page's form goes, if it asks for a password.
    fn login_form(&self) -> Option<Url> {
        self.asks_for("password").then(|| self.form())?
    }

    /// Where the page's form goes.
    #[must_use]
    pub fn form(&self) -> Option<Url> {
        let (_, rest) = self.response.body.split_once("action=\"")?;
        let (action, _) = rest.split_once('"')?;
        self.url.join(&action.replace("&amp;", "&")).ok()
    }

    /// Whether the page has a field of that name.
    #[must_use]
    pub fn asks_for(&self, name: &str) -> bool {
        self.response.body.contains(&format!("name=\"{name}\""))
    }

    /// The names and values of the form's hidden fields.
    #[must_use]
    pub fn hidden_fields(&self) -> Vec<(String, String)> {
        let attribute = |tag: &str, name: &str| {
            let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        let tags = self.response.body.split("<input type=\"hidden\"").skip(1);
        tags.filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?)))
            .collect()
    }
}

impl Browser {
    /// One that was never used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Types an address, follows redirects, and stops at a page or at `app`'s address.
    pub fn go(&mut self, url: &Url, app: Option<&Url>) -> Result<Landing> {
        let response = self.step(url)?;
        self.follow(url.clone(), response, app)
    }

    /// One navigation to `url`, without following where it points.
    pub fn step(&mut self, url: &Url) -> Result<Response> {
        self.send(url, navigation(Request::get(url.as_str()), "none"))
    }

    /// The same as [`go`](Self::go), logging in when the identity provider asks.
    pub fn go_as(&mut self, user: &str, url: &Url, app: Option<&Url>) -> Result<Landing> {
        let landing = self.go(url, app)?;
        let Landing::Page(page) = &landing else {
            return Ok(landing);
        };
        let Some(form) = page.login_form() else {
            return Ok(landing);
        };
        let mut fields = vec![("login", user), ("password", user)];
        if page.asks_for("code") {
            fields.push(("code", ONE_TIME_CODE));
        }
        let response = self.submit(&page.url, &form, &fields)?;
        self.follow(form, response, app)
    }

    /// Answers our question for consent, `allow` or `deny`, without following where that leads.
    pub fn answer(&mut self, question: &Page, answer: &str) -> Result<Response> {
        let form = question.form();
        let form = form.ok_or_else(|| question.response.unexpected("a page with a form"))?;
        let hidden = question.hidden_fields();
        let mut fields: Vec<(&str, &str)> = hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        fields.push(("answer", answer));
        self.submit(&question.url, &form, &fields)
    }

    /// Posts a form that stands on the page `from`, without following where the answer points.
    pub fn submit(&mut self, from: &Url, to: &Url, fields: &[(&str, &str)]) -> Result<Response> {
        let request = Request::post(to.as_str())
            .form(fields)
            .header("origin", from.origin().ascii_serialization());
        self.send(to, navigation(request, site(from, to)))
    }

    /// Does what the script on a SAML provider's page does: posts the page's form to another site, without
    /// following where the answer points. No cookie goes along: those of the service are `SameSite=Lax`, and such
    /// a cookie goes to another site with a GET only (RFC 6265bis section 5.6.7.1).
    pub fn deliver(&mut self, page: &Page) -> Result<Response> {
        let to = page.form();
        let to = to.ok_or_else(|| page.response.unexpected("a page with a form"))?;
        let hidden = page.hidden_fields();
        let fields: Vec<(&str, &str)> = hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        // Whatever the hosts are called here: in earnest they are sites apart.
        let request = Request::post(to.as_str())
            .form(&fields)
            .header("origin", page.url.origin().ascii_serialization());
        let request = navigation(request, "cross-site").header("user-agent", USER_AGENT);
        let response = request.send()?;
        self.remember(&to, &response);
        Ok(response)
    }

    /// A script's request to its own origin: cookies, but no navigation.
    pub fn fetch(&mut self, url: &Url) -> Result<Response> {
        let request = Request::get(url.as_str())
            .header("accept", "application/json")
            .header("sec-fetch-mode", "cors")
            .header("sec-fetch-dest", "empty")
            .header("sec-fetch-site", "same-origin");
        self.send(url, request)
    }

    /// Follows what `response` from `url` points to.
    pub fn follow(
        &mut self,
        mut url: Url,
        mut response: Response,
        app: Option<&Url>,
    ) -> Result<Landing> {
        for _ in 0..MOST_REDIRECTS {
            let location = match response.header("location") {
                Some(location) if (300..400).contains(&response.status) => location,
                _ => {
                    let page = Page { url, response };
                    let Some(to) = page.form().filter(|_| page.asks_for("SAMLResponse")) else {
                        return Ok(Landing::Page(page));
                    };
                    response = self.deliver(&page)?;
                    url = to;
                    continue;
                }
            };
            let next = url.join(location)?;
            if app.is_some_and(|app| is_at(&next, app)) {
                return Ok(Landing::App(next));
            }
            let request = navigation(Request::get(next.as_str()), site(&url, &next));
            response = self.send(&next, request)?;
            url = next;
        }
        Err(Failure::new(format!(
            "redirected without end, last to {url}"
        )))
    }

    fn send(&mut self, url: &Url, mut request: Request) -> Result<Response> {
        request = request.header("user-agent", USER_AGENT);
        if let Some(cookies) = self.jar.header(url) {
            request = request.header("cookie", cookies);
        }
        let response = request.send()?;
        self.remember(url, &response);
        Ok(response)
    }

    fn remember(&mut self, url: &Url, response: &Response) {
        for set_cookie in response.headers("set-cookie") {
            self.jar.store(url, set_cookie);
        }
    }
}

fn navigation(request: Request, site: &str) -> Request {
    request
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-user", "?1")
        .header("sec-fetch-site", site)
}

/// Fetch Metadata's relation between where a request is from and where it goes.
fn site(from: &Url, to: &Url) -> &'static str {
    if from.origin() == to.origin() {
        "same-origin"
    } else if from.host() == to.host() {
        "same-site"
    } else {
        "cross-site"
    }
}

fn is_at(url: &Url, app: &Url) -> bool {
    url.origin() == app.origin() && url.path() == app.path()
}
