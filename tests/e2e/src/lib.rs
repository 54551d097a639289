//! The harness: starts the local stack and talks to it as browsers, applications, identity
//! providers and operators do.
//!
//! Nothing here shares code with the service beyond identifiers and their text form: what a test
//! knows, it knows from the wire. Everything returns a [`Failure`] that says what was expected and
//! what came, so that the tests, the demo and the measurements fail in the same words.
//!
//! Out of scope: building the Workers (`cargo xtask build`).

pub mod api;
pub mod api_shield;
pub mod app;
pub mod audit_log;
pub mod browser;
pub mod chaos;
pub mod cli;
pub mod connection;
pub mod cookies;
pub mod documents;
pub mod example;
pub mod failure;
pub mod forge;
pub mod history;
pub mod http;
pub mod json;
pub mod oauth;
pub mod people;
pub mod ports;
mod program;
pub mod python;
pub mod receiver;
pub mod saml;
pub mod scim;
pub mod scratch;
mod server;
pub mod stack;
pub mod stock;
pub mod upstream;
pub mod wait;

pub use failure::{Failure, Result};
