//! A lane of the audit log: the one place where events get their index.

mod append;
mod archive;
#[cfg(test)]
pub mod archive_tests;
mod bucket;
mod lines;
#[cfg(test)]
mod lines_tests;
mod log;
pub mod object;
mod page;
pub mod service;
mod signer;
mod store;
#[cfg(test)]
pub mod tests;
mod tree;
#[cfg(test)]
pub mod tree_tests;
