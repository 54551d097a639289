//! A lane of the audit log: the one place where events get their index.

pub mod object;
pub mod service;
mod store;
#[cfg(test)]
mod tests;
