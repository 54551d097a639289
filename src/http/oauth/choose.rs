//! `/choose`: a person says through which identity provider they log in, by its name or by their address.
//!
//! The answer counts once, and only from our page in the browser that the application sent, like the
//! answer to `/consent`.

use super::pages::{escaped, form_page};
use super::set_out::set_out;
use super::{begun, flow, is_from_our_page, page};
use crate::connections::{self, Connections};
use crate::http::context::Ctx;
use portcullis_core::connection::Connection;
use portcullis_core::connection::choose::of_address;
use portcullis_core::oauth::flow::{FlowId, ShowChoosing, TakeChoosing};
use portcullis_core::secret::{Digest, constant_time_eq};
use std::rc::Rc;
use worker::{Error, Response, Result};

/// Shows the choice.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let query = ctx.query().unwrap_or_default();
    let Some((id, browser)) = begun(&ctx, query.get("flow"))? else {
        return nothing_to_choose();
    };
    show(&ctx, &id, &browser, None).await
}

/// Takes it.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let form = ctx.form().await?.unwrap_or_default();
    let Some((id, browser)) = begun(&ctx, form.get("flow"))? else {
        return nothing_to_choose();
    };
    let expected = id.form_token(&ctx.config.routing_key, &browser);
    let token = form.get("token").map_or("", String::as_str);
    if !is_from_our_page(&ctx)? || !constant_time_eq(token.as_bytes(), expected.as_bytes()) {
        return nothing_to_choose();
    }
    let all = connections::all(&ctx.env, &ctx.config).await?;
    let chosen = match (form.get("connection"), form.get("address")) {
        (Some(id), _) => enabled(&all).find(|connection| connection.id == *id),
        (None, Some(address)) => of_address(enabled(&all), address),
        (None, None) => None,
    };
    let Some(connection) = chosen else {
        return show(&ctx, &id, &browser, form.get("address")).await;
    };
    let take = TakeChoosing {
        browser: Digest::of(browser.as_bytes()),
    };
    let choosing = flow(&ctx.env, &id, take).await;
    match choosing.map_err(|error| Error::RustError(error.to_string()))? {
        // A form's answer: whatever the browser is sent on to, it is to GET it.
        Some(one) => {
            let response = set_out(&ctx, id, connection, one.request, one.begun_at).await?;
            Ok(response.with_status(303))
        }
        None => nothing_to_choose(),
    }
}

fn enabled(all: &Connections) -> impl Iterator<Item = &Connection> {
    let enabled = all.iter().filter(|one| one.enabled && one.logs_in());
    enabled.map(Rc::as_ref)
}

fn nothing_to_choose() -> Result<Response> {
    let text = "This log-in has expired, was continued before, or was begun in another browser. \
                Please start again from the application.";
    page(400, "Log-in is not possible", text)
}

/// The page, if there is something to choose for. `unknown` is an address that led nowhere.
async fn show(ctx: &Ctx, id: &FlowId, browser: &str, unknown: Option<&String>) -> Result<Response> {
    let show = ShowChoosing {
        browser: Digest::of(browser.as_bytes()),
    };
    let choosing = flow(&ctx.env, id, show).await;
    let choosing = choosing.map_err(|error| Error::RustError(error.to_string()))?;
    if choosing.is_none() {
        return nothing_to_choose();
    }
    let all = connections::all(&ctx.env, &ctx.config).await?;
    let question = Question {
        connections: enabled(&all).collect(),
        unknown: unknown.map(String::as_str),
        flow: id.as_str(),
        token: &id.form_token(&ctx.config.routing_key, browser),
    };
    // The form leads to the provider that is chosen, wherever that is.
    let leads_to = if ctx.config.dev {
        "https: http:"
    } else {
        "https:"
    };
    form_page("How do you want to log in?", &question.html(), leads_to)
}

struct Question<'a> {
    connections: Vec<&'a Connection>,
    unknown: Option<&'a str>,
    flow: &'a str,
    token: &'a str,
}

impl Question<'_> {
    fn html(&self) -> String {
        let hidden = format!(
            "<input type=\"hidden\" name=\"flow\" value=\"{}\">\
             <input type=\"hidden\" name=\"token\" value=\"{}\">",
            escaped(self.flow),
            escaped(self.token)
        );
        let buttons: Vec<String> = self.connections.iter().map(|one| button(one)).collect();
        let buttons = buttons.concat();
        let by_address = self
            .connections
            .iter()
            .any(|one| !one.email_domains.is_empty());
        let address = if by_address {
            let failed = self.unknown.map_or("", |_| {
                "<p role=\"alert\" class=\"note\">No provider is known for that address. Please choose one.</p>"
            });
            format!(
                "{failed}<form method=\"post\" action=\"/choose\">{hidden}\
                 <label for=\"address\">Work address</label>\
                 <input id=\"address\" name=\"address\" type=\"email\" autocomplete=\"email\" required>\
                 <button class=\"first\">Continue</button></form><h2>Or choose</h2>"
            )
        } else {
            String::new()
        };
        format!("{address}<form method=\"post\" action=\"/choose\">{hidden}{buttons}</form>")
    }
}

fn button(connection: &Connection) -> String {
    format!(
        "<button name=\"connection\" value=\"{}\">{}</button>",
        escaped(&connection.id),
        escaped(connection.shown_name())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn html(domains: &[&str], unknown: Option<&str>) -> String {
        let connection: Connection = serde_json::from_value(json!({
            "id": "okta", "name": "O<k>ta", "issuer": "https://idp.example", "client_id": "c",
            "email_domains": domains,
        }))
        .expect("a connection");
        let question = Question {
            connections: vec![&connection],
            unknown,
            flow: "f",
            token: "t",
        };
        question.html()
    }

    #[test]
    fn names_are_text_and_each_form_can_be_told_from_anothers() {
        let html = html(&["example.com"], None);
        assert!(html.contains("O&lt;k&gt;ta") && !html.contains("<k>"));
        assert_eq!(
            html.matches("<form").count(),
            html.matches("name=\"token\"").count()
        );
    }

    #[test]
    fn an_address_is_asked_for_only_where_one_can_say_something() {
        assert!(!html(&[], None).contains("address"));
        let again = html(&["example.com"], Some("x@<b>.example"));
        assert!(again.contains("role=\"alert\"") && !again.contains("<b>"));
    }
}
