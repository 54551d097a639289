//! The objects: strongly consistent state, one module each.
//!
//! `service.rs` is an object without its runtime and is what the tests run; `store.rs` holds its
//! statements; `object.rs` is the adapter to the Durable Object and knows no rules.

pub mod call;
pub mod delivery;
pub mod directory;
pub mod durable_sql;
pub mod exports;
pub mod feed;
pub mod feed_delivery;
pub mod feed_outbox;
pub mod flow;
#[cfg(any(test, feature = "host"))]
pub mod host_sql;
pub mod keyring;
pub mod lane;
pub mod outbox;
pub mod policy;
pub mod sql;
pub mod subject;
