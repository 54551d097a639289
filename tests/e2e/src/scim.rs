//! The identity provider's other hand: provisioning over SCIM 2.0 (RFC 7644).

use crate::Result;
use crate::api::bearer;
use crate::http::{Request, Response};
use crate::json::text;
use crate::stack::Endpoints;
use serde_json::{Value, json};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const MEDIA_TYPE: &str = "application/scim+json";

/// The SCIM endpoint of one stack.
#[derive(Clone, Debug)]
pub struct Scim {
    base: String,
    bearer: String,
}

impl Scim {
    /// The SCIM endpoint of the service of these endpoints.
    #[must_use]
    pub fn new(at: &Endpoints) -> Self {
        Self {
            base: format!("{}/scim/v2", at.service),
            bearer: bearer::SCIM.to_owned(),
        }
    }

    /// The endpoint at that URL, by that secret.
    #[must_use]
    pub fn at(base: &str, secret: &str) -> Self {
        Self {
            base: base.to_owned(),
            bearer: secret.to_owned(),
        }
    }

    /// A request below the endpoint, with the provider's bearer.
    #[must_use]
    pub fn request(&self, method: &'static str, path: &str) -> Request {
        Request::new(method, format!("{}{path}", self.base))
            .bearer(&self.bearer)
            .header("accept", MEDIA_TYPE)
    }

    /// A request with a body.
    #[must_use]
    pub fn with_body(&self, method: &'static str, path: &str, body: &Value) -> Request {
        self.request(method, path)
            .body(MEDIA_TYPE, body.to_string())
    }

    /// `POST /Users`, as it comes.
    pub fn post_user(&self, user_name: &str, active: bool) -> Result<Response> {
        self.with_body("POST", "/Users", &user(user_name, active))
            .send()
    }

    /// Provisions a user and gives back the id.
    #[track_caller]
    pub fn provision(&self, user_name: &str) -> Result<String> {
        let created = self.post_user(user_name, true)?.expect(201)?.json()?;
        text(&created, "id").map(str::to_owned)
    }

    /// `GET /Users` with a filter, as it comes.
    pub fn find(&self, filter: &str) -> Result<Response> {
        let query: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        self.request("GET", &format!("/Users?filter={query}"))
            .send()
    }

    /// `GET /Users` with these parameters, already encoded, as it comes.
    pub fn list(&self, query: &str) -> Result<Response> {
        self.request("GET", &format!("/Users?{query}")).send()
    }

    /// `POST /Groups` of that name with these members, and its id.
    #[track_caller]
    pub fn push_group(&self, name: &str, members: &[&str]) -> Result<String> {
        let body = group(name, members);
        let created = self.with_body("POST", "/Groups", &body).send()?;
        text(&created.expect(201)?.json()?, "id").map(str::to_owned)
    }

    /// `PATCH /Groups/{id}` with these operations, as it comes.
    pub fn patch_group(&self, id: &str, operations: &Value) -> Result<Response> {
        let body = json!({ "schemas": [PATCH_OP], "Operations": operations });
        self.with_body("PATCH", &format!("/Groups/{id}"), &body)
            .send()
    }

    /// `PATCH /Users/{id}` with these operations, as it comes.
    pub fn patch(&self, id: &str, operations: &Value) -> Result<Response> {
        let body = json!({ "schemas": [PATCH_OP], "Operations": operations });
        self.with_body("PATCH", &format!("/Users/{id}"), &body)
            .send()
    }

    /// Sets `active` the way the RFC says.
    #[track_caller]
    pub fn set_active(&self, id: &str, active: bool) -> Result<Response> {
        let operations = json!([{ "op": "replace", "path": "active", "value": active }]);
        let response = self.patch(id, &operations)?;
        // RFC 7644 section 3.5.2: 200 with the resource, or 204.
        if response.status == 204 {
            Ok(response)
        } else {
            response.expect(200)
        }
    }

    /// `DELETE /Users/{id}`, as it comes.
    pub fn delete(&self, id: &str) -> Result<Response> {
        self.request("DELETE", &format!("/Users/{id}")).send()
    }
}

/// The smallest user that identity providers send.
#[must_use]
pub fn user(user_name: &str, active: bool) -> Value {
    json!({ "schemas": [USER], "userName": user_name, "active": active })
}

/// A group as identity providers push it.
#[must_use]
pub fn group(name: &str, members: &[&str]) -> Value {
    let members: Value = members.iter().map(|id| json!({ "value": id })).collect();
    json!({ "schemas": [GROUP], "displayName": name, "members": members })
}
