//! The decisions of Portcullis: what a session is, what a kill covers, what an audit event says.
//!
//! Everything here is pure. There is no runtime, no clock and no randomness: `now` and entropy are
//! arguments, and what should happen is returned as data for a shell to carry out. That is what
//! lets the rules be tested by the thousand on a laptop and run unchanged in the Worker.
//!
//! Out of scope: storage (the shell's `store.rs` files), HTTP, and the runtime's objects.

pub mod audit;
pub mod client;
pub mod connection;
pub mod feed;
pub mod fetch;
pub mod id;
pub mod jwt;
pub mod keyring;
pub mod oauth;
pub mod policy;
pub mod registry;
pub mod saml;
pub mod scim;
pub mod seal;
pub mod secret;
pub mod session;
pub mod text;
pub mod time;
pub mod wire;
