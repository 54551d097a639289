//! A connection's users as SCIM provisions them.

pub mod object;
pub mod service;
mod store;
#[cfg(test)]
mod tests;
