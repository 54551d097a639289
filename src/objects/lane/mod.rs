//! A lane of the audit log: the one place where events get their index.

mod append;
pub mod archive;
#[cfg(test)]
mod archive_tests;
mod bucket;
mod index;
mod log;
pub mod object;
mod page;
pub mod service;
pub mod signer;
mod store;
#[cfg(test)]
mod tests;
mod tree;
#[cfg(test)]
mod tree_tests;
