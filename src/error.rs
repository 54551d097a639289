//! Errors as the RFCs shape them. Causes go to the log and never to the caller.

use crate::auth::Refusal;
use serde::Serialize;
use serde_json::json;
use worker::{Response, Result};

/// A problem (RFC 9457), the error of everything under `/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
}

impl Problem {
    /// A problem whose title is the status's.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self {
            r#type: "about:blank",
            title: title(status),
            status,
            detail: detail.into(),
        }
    }

    /// The request is not what the operation needs.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, detail)
    }

    /// The body is longer than what is read of one.
    pub fn too_large(max_bytes: usize) -> Self {
        Self::new(413, format!("the body exceeds {max_bytes} bytes"))
    }

    /// Something of ours failed. Nothing is known to have changed; trying again is safe.
    pub fn unavailable() -> Self {
        Self::new(503, "the service cannot answer now; try again")
    }

    /// The status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The explanation.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The problem as a response.
    pub fn response(&self) -> Result<Response> {
        let response = json_as("application/problem+json", self.status, self)?;
        if self.status == 503 {
            response.headers().set("retry-after", "1")?;
        }
        Ok(response)
    }
}

const fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        422 => "Unprocessable Content",
        502 => "Bad Gateway",
        _ => "Service Unavailable",
    }
}

/// A JSON response that no cache keeps.
pub fn json_as(content_type: &str, status: u16, body: &impl Serialize) -> Result<Response> {
    let response = Response::from_bytes(serde_json::to_vec(body)?)?.with_status(status);
    response.headers().set("content-type", content_type)?;
    response.headers().set("cache-control", "no-store")?;
    Ok(response)
}

/// The headers of [`json`].
pub const JSON_HEADERS: [(&str, &str); 2] = [
    ("content-type", "application/json"),
    ("cache-control", "no-store"),
];

/// `application/json` that no cache keeps.
pub fn json(status: u16, body: &impl Serialize) -> Result<Response> {
    let response = Response::from_bytes(serde_json::to_vec(body)?)?.with_status(status);
    for (name, value) in JSON_HEADERS {
        response.headers().set(name, value)?;
    }
    Ok(response)
}

/// A problem in the shape of the API that was called.
pub fn shaped(problem: &Problem, scim: bool) -> Result<Response> {
    if scim {
        scim_problem(problem)
    } else {
        problem.response()
    }
}

/// A problem as a SCIM error.
pub fn scim_problem(problem: &Problem) -> Result<Response> {
    let response = scim_error(problem.status, None, &problem.detail)?;
    if problem.status == 503 {
        response.headers().set("retry-after", "1")?;
    }
    Ok(response)
}

/// Turns a caller away, in the shape of the API they called.
pub fn refused(refusal: Refusal, scim: bool) -> Result<Response> {
    let (status, challenge, detail) = match refusal {
        Refusal::Missing => (401, "Bearer", "a bearer credential is needed"),
        Refusal::Unknown => (
            401,
            r#"Bearer error="invalid_token""#,
            "the credential is not valid",
        ),
        Refusal::Forbidden => (
            403,
            r#"Bearer error="insufficient_scope""#,
            "the credential does not allow this",
        ),
    };
    let response = shaped(&Problem::new(status, detail), scim)?;
    response.headers().set("www-authenticate", challenge)?;
    Ok(response)
}

/// A SCIM error (RFC 7644 section 3.12).
pub fn scim_error(status: u16, scim_type: Option<&str>, detail: &str) -> Result<Response> {
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": status.to_string(),
        "detail": detail,
    });
    if let (Some(scim_type), Some(fields)) = (scim_type, body.as_object_mut()) {
        fields.insert("scimType".into(), scim_type.into());
    }
    json_as("application/scim+json", status, &body)
}
