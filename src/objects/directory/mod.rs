//! Whom a connection's provider knows: users and groups as SCIM provisions them, and whoever logs in through it.

mod bulk;
mod bulk_runner;
mod command;
mod delivery;
mod effects;
mod group_store;
mod groups;
mod jobs;
mod logins;
pub mod object;
mod registry;
mod render;
mod resources;
mod runner;
mod search;
mod secrets;
pub mod service;
mod store;
#[cfg(test)]
mod tests;
mod upstream;
