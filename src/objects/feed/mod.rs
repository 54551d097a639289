//! A feed: the one sequence of what was ended and may still be presented.
//!
//! What an entry means and how readers use it is `portcullis_core::feed`.

pub mod object;
pub mod service;
mod store;
#[cfg(test)]
mod tests;
