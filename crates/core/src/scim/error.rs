//! Errors as RFC 7644 section 3.12 shapes them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The schema of an error.
pub const ERROR_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// Why a SCIM request was refused. Append only: the order is the wire form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScimError {
    /// The body is not what the operation needs.
    InvalidSyntax(String),
    /// A value is missing or of the wrong type.
    InvalidValue(String),
    /// The filter is not supported.
    InvalidFilter,
    /// The `path` of a patch operation is not supported.
    InvalidPath(String),
    /// The attribute cannot be changed.
    Mutability(String),
    /// Another user has that `userName`.
    Uniqueness,
    /// No such resource.
    NotFound,
    /// The filter is malformed or not supported, and how.
    FilterRefused(String),
    /// The `path` of a patch operation leads to nothing.
    NoTarget(String),
    /// The filter or the sorting would be too much work.
    TooMany(String),
    /// The version of the protocol is not supported.
    InvalidVersion,
    /// What was asked for must not stand in a URL.
    Sensitive(String),
    /// `If-Match` names a version that the resource does not have any more, or `If-None-Match` one that
    /// it has.
    PreconditionFailed,
    /// The request has more operations, or is longer, than the service says it takes.
    TooLarge(String),
    /// What the operation rests on is not there.
    Conflict(String),
    /// The operation is none that the service has.
    Unsupported(String),
    /// The secret that came is not, or not any more, one of the connection's.
    SecretRefused,
    /// The directory goes by another rule than the connection has now, of who a user is.
    OtherMatching,
    /// Another resource has the same value of that attribute, of which each has its own.
    Taken(String),
    /// As many of these are being carried out as the service takes at once.
    Busy,
}

impl ScimError {
    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::SecretRefused => 401,
            Self::Sensitive(_) => 403,
            Self::NotFound => 404,
            Self::Uniqueness | Self::Conflict(_) | Self::Taken(_) => 409,
            Self::PreconditionFailed => 412,
            Self::TooLarge(_) => 413,
            Self::Busy => 429,
            Self::Unsupported(_) => 501,
            Self::OtherMatching => 500,
            _ => 400,
        }
    }

    /// `scimType`, where the RFC names one.
    #[must_use]
    pub const fn scim_type(&self) -> Option<&'static str> {
        match self {
            Self::InvalidSyntax(_) => Some("invalidSyntax"),
            Self::InvalidValue(_) | Self::Conflict(_) => Some("invalidValue"),
            Self::InvalidFilter | Self::FilterRefused(_) => Some("invalidFilter"),
            Self::InvalidPath(_) => Some("invalidPath"),
            Self::Mutability(_) => Some("mutability"),
            Self::Uniqueness | Self::Taken(_) => Some("uniqueness"),
            Self::NoTarget(_) => Some("noTarget"),
            Self::TooMany(_) => Some("tooMany"),
            Self::InvalidVersion => Some("invalidVers"),
            Self::Sensitive(_) => Some("sensitive"),
            Self::NotFound
            | Self::PreconditionFailed
            | Self::TooLarge(_)
            | Self::Unsupported(_)
            | Self::SecretRefused
            | Self::OtherMatching
            | Self::Busy => None,
        }
    }

    /// For a person to read.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::InvalidSyntax(what)
            | Self::TooMany(what)
            | Self::Sensitive(what)
            | Self::TooLarge(what)
            | Self::Conflict(what)
            | Self::Unsupported(what) => what.clone(),
            Self::InvalidValue(attribute) => format!("{attribute} is missing or of a wrong type"),
            Self::InvalidFilter => "the filter is not supported".into(),
            Self::InvalidPath(path) => format!("the path {path} is not supported"),
            Self::Mutability(attribute) => format!("{attribute} cannot be changed"),
            Self::Uniqueness => "another one has this name, or is known by this value".into(),
            Self::Taken(what) => format!("another resource has this {what}"),
            Self::Busy => "too many of these are being carried out; try again later".into(),
            Self::NotFound => "no such resource".into(),
            Self::FilterRefused(why) => format!("the filter is not supported: {why}"),
            Self::NoTarget(path) => format!("the path {path} leads to nothing"),
            Self::InvalidVersion => "only version 2.0 of SCIM is supported".into(),
            Self::PreconditionFailed => "the resource has another version".into(),
            Self::SecretRefused => "the credential is not valid".into(),
            Self::OtherMatching => {
                "the connection matches users by another rule than the one they were \
                 provisioned under: have the old one back, or make another connection"
                    .into()
            }
        }
    }

    /// The body. The status is a text there.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = json!({
            "schemas": [ERROR_SCHEMA],
            "status": self.status().to_string(),
            "detail": self.detail(),
        });
        if let (Some(scim_type), Some(fields)) = (self.scim_type(), body.as_object_mut()) {
            fields.insert("scimType".into(), json!(scim_type));
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn every_scim_type_of_the_rfc_has_its_status() {
        let what = || "x".to_owned();
        for (error, status, scim_type) in [
            (ScimError::InvalidFilter, 400, "invalidFilter"),
            (ScimError::FilterRefused(what()), 400, "invalidFilter"),
            (ScimError::TooMany(what()), 400, "tooMany"),
            (ScimError::Uniqueness, 409, "uniqueness"),
            (ScimError::Mutability(what()), 400, "mutability"),
            (ScimError::InvalidSyntax(what()), 400, "invalidSyntax"),
            (ScimError::InvalidPath(what()), 400, "invalidPath"),
            (ScimError::NoTarget(what()), 400, "noTarget"),
            (ScimError::InvalidValue(what()), 400, "invalidValue"),
            (ScimError::InvalidVersion, 400, "invalidVers"),
            (ScimError::Sensitive(what()), 403, "sensitive"),
            (ScimError::Conflict(what()), 409, "invalidValue"),
            (ScimError::Taken(what()), 409, "uniqueness"),
        ] {
            let body = error.body();
            assert_eq!(body["status"], status.to_string(), "{error:?}");
            assert_eq!(body["scimType"], scim_type, "{error:?}");
            assert_eq!(body["schemas"], json!([ERROR_SCHEMA]));
        }
        for (error, status) in [
            (ScimError::SecretRefused, 401),
            (ScimError::NotFound, 404),
            (ScimError::PreconditionFailed, 412),
            (ScimError::TooLarge(what()), 413),
            (ScimError::Busy, 429),
            (ScimError::Unsupported(what()), 501),
            (ScimError::OtherMatching, 500),
        ] {
            assert_eq!((error.status(), error.scim_type()), (status, None));
            assert!(error.body().get("scimType").is_none());
        }
    }

    #[test]
    fn golden_bytes() {
        for (error, bytes) in [
            (ScimError::InvalidFilter, vec![1, 2]),
            (ScimError::NotFound, vec![1, 6]),
            (ScimError::FilterRefused("x".into()), vec![1, 7, 1, b'x']),
            (ScimError::PreconditionFailed, vec![1, 12]),
            (ScimError::Unsupported(String::new()), vec![1, 15, 0]),
            (ScimError::SecretRefused, vec![1, 16]),
            (ScimError::OtherMatching, vec![1, 17]),
            (ScimError::Taken("x".into()), vec![1, 18, 1, b'x']),
            (ScimError::Busy, vec![1, 19]),
        ] {
            assert_eq!(wire::encode(&error), Ok(bytes), "{error:?}");
        }
    }
}
