//! Connections: identity providers.

pub mod sync;
