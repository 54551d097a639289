//! A view of the revocation feed: what may have been ended, and how old that knowledge is.

pub mod chunks;
pub mod cover;
pub mod names;
pub mod seed;
pub mod table;
