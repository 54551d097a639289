//! The binary from outside, against a server in this process that says what it is told to.

mod audit;
mod connections;
mod epochs;
mod exits;
mod fake;
mod gateway;
mod log;
mod personal;
mod retention;
mod scim;
mod subjects;
