//! One person or service: sessions, codes, what was revoked, and the outbox.

mod announce;
pub mod object;
pub mod service;
mod store;
#[cfg(test)]
mod tests;
