//! The signing keys. They are made here and live here, from published to forgotten, and their
//! private halves are sealed wherever they are at rest or on the way; the Worker opens them in
//! memory (see [`crate::keys`]). The rules are core's ([`portcullis_core::keyring`]).
//!
//! Beside them it keeps what outlives an isolate of the keys of others ([`crate::kept_documents`]), and what
//! was sent of them to API Shield ([`crate::jwks_sync`]).

pub mod call;
#[cfg(test)]
mod document_tests;
mod documents;
mod maker;
mod object;
pub mod service;
mod store;
#[cfg(test)]
mod sync_tests;
mod syncs;
#[cfg(test)]
mod tests;

pub use maker::opened;
