//! SCIM 2.0 (RFC 7643, RFC 7644): what resources are, how they are asked for and changed, and what a
//! change does to people.
//!
//! Everything is decided by one table of attributes ([`schema`]). A user is kept as the JSON the
//! identity provider sent, with the few attributes that decide something lifted out ([`user`]).
//!
//! Out of scope: storage, and which connection a request is for.

pub mod bulk;
pub mod call;
pub mod change;
pub mod error;
pub mod filter;
pub mod matching;
pub mod patch;
pub mod path;
pub mod query;
pub mod resource;
pub mod schema;
pub mod user;
pub mod value;

pub use error::ScimError;
