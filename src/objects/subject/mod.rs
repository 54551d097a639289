//! One person or service: sessions, codes, what was revoked, and the outbox.

pub mod object;
pub mod service;
mod store;
#[cfg(test)]
mod tests;
