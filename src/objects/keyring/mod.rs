//! The signing keys. They are made here and live here, from published to forgotten, and their
//! private halves are sealed wherever they are at rest or on the way; the Worker opens them in
//! memory (see [`crate::keys`]). The rules are core's ([`portcullis_core::keyring`]).

pub mod call;
mod maker;
mod object;
pub mod service;
mod store;
#[cfg(test)]
mod tests;

pub use maker::opened;
