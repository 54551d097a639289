//! Whom a connection's provider knows: users as SCIM provisions them, and whoever logs in through it.

mod command;
mod logins;
pub mod object;
mod registry;
mod search;
mod secrets;
pub mod service;
mod store;
#[cfg(test)]
mod tests;
mod upstream;
