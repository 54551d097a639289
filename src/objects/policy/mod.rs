//! The policy: wide revocations, registered clients, trusts and connections, under one version.

mod connections;
mod object;
mod service;
mod store;
#[cfg(test)]
mod tests;
