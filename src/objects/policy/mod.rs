//! The policy: wide revocations, registered clients and trusts, under one version.

mod object;
mod service;
mod store;
#[cfg(test)]
mod tests;
