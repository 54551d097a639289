//! A lane of the audit log: the one place where events get their index.

mod append;
pub mod archive;
#[cfg(test)]
pub mod archive_tests;
mod bucket;
mod commit;
mod epochs;
#[cfg(test)]
mod epochs_history_tests;
#[cfg(test)]
pub mod epochs_tests;
#[cfg(test)]
mod epochs_waiting_tests;
mod index;
#[cfg(test)]
mod ingest_tests;
mod letter_store;
mod letters;
#[cfg(test)]
mod letters_tests;
mod lines;
#[cfg(test)]
mod lines_tests;
mod log;
mod log_keys;
mod memory;
pub mod object;
mod opening;
mod page;
#[cfg(test)]
mod peers_tests;
mod person_store;
mod personal;
#[cfg(test)]
mod places_tests;
mod producers;
mod retained;
mod retention;
#[cfg(test)]
mod retention_history_tests;
#[cfg(test)]
mod retention_tests;
#[cfg(test)]
mod rounds_tests;
mod sealing;
#[cfg(test)]
mod sealing_tests;
pub mod service;
pub mod signer;
mod store;
#[cfg(test)]
pub mod tests;
mod tree;
#[cfg(test)]
pub mod tree_tests;
mod upkeep;
