//! SCIM 2.0 (RFC 7643, RFC 7644): what resources are, how they are asked for and changed, and what a
//! change does to people.
//!
//! Everything is decided by one table of attributes ([`schema`]):
//!
//! | what | where |
//! |---|---|
//! | bodies, answers, lists, versions | [`resource`] |
//! | what a list is asked by | [`query`], with [`filter`] |
//! | changes | [`patch`], by [`path`]s |
//! | many operations in one request | [`bulk`] |
//! | what a provider proves itself by | [`secret`] |
//! | who a user is, and what a change does to them | [`matching`], [`change`], by a connection's [`rules`] |
//!
//! [`user`], [`group`] and [`call`] are what the directory keeps and is asked: the few attributes that decide
//! something are lifted out of the JSON the provider sent.
//!
//! Out of scope: storage, and which connection a request is for.

pub mod bulk;
pub mod call;
pub mod change;
pub mod error;
pub mod filter;
pub mod group;
mod id;
pub mod job;
pub mod matching;
pub mod patch;
pub mod path;
pub mod query;
pub mod resource;
pub mod rules;
pub mod schema;
pub mod secret;
pub mod user;
pub mod value;

pub use error::ScimError;
