//! SCIM 2.0 users (RFC 7643, RFC 7644): parsing, patching, and what a change does to a subject.
//!
//! A user is kept as the JSON the identity provider sent, with the few attributes that decide
//! something lifted out: `userName`, `externalId` and `active`. Out of scope so far: groups, bulk,
//! sorting, value paths, and any filter but `userName eq`.

pub mod call;
pub mod error;
pub mod filter;
pub mod patch;
pub mod user;

pub use error::ScimError;
