//! A file per command: its arguments, what it asks of the service, how the answer is shown.

pub mod audit;
pub mod connections;
pub mod gateway;
pub mod revoke;
pub mod scim;
pub mod sessions;
pub mod subjects;
