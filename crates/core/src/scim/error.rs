//! Errors as RFC 7644 section 3.12 shapes them.

use serde::{Deserialize, Serialize};

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
}

impl ScimError {
    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Uniqueness => 409,
            _ => 400,
        }
    }

    /// `scimType`, where the RFC names one.
    #[must_use]
    pub const fn scim_type(&self) -> Option<&'static str> {
        match self {
            Self::InvalidSyntax(_) => Some("invalidSyntax"),
            Self::InvalidValue(_) => Some("invalidValue"),
            Self::InvalidFilter => Some("invalidFilter"),
            Self::InvalidPath(_) => Some("invalidPath"),
            Self::Mutability(_) => Some("mutability"),
            Self::Uniqueness => Some("uniqueness"),
            Self::NotFound => None,
        }
    }

    /// For a person to read.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::InvalidSyntax(what) => what.clone(),
            Self::InvalidValue(attribute) => format!("{attribute} is missing or of a wrong type"),
            Self::InvalidFilter => "the only filter supported is: userName eq \"value\"".into(),
            Self::InvalidPath(path) => format!("the path {path} is not supported"),
            Self::Mutability(attribute) => format!("{attribute} cannot be changed"),
            Self::Uniqueness => "a user with this userName exists".into(),
            Self::NotFound => "no such resource".into(),
        }
    }
}
