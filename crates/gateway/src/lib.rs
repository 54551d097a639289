//! The gateway: a Worker in front of an origin.
//!
//! One file says what it does ([`mod@file`]): which [`route`]s there are, who may take them, and how
//! sure that must be. What no route is for is not forwarded.
//!
//! Of every request to a guarded route it asks: is there a credential of the service's for this place
//! ([`credential`], then a signature, [`remembered`] for a while), is it still in force (as sure as the
//! route wants it ([`consistency`]), by the strict check through a service binding that offers little
//! else, or by a [`view`] of what was revoked that comes through the same binding), and has its holder
//! what the route requires. Only then
//! the request goes on, without the credential and with headers that say who is there
//! ([`headers`]). A browser without a credential is sent to log in ([`login`]). Each decision leaves
//! an audit event ([`decide`]).
//!
//! It fails closed: whatever cannot be asked is answered 503, and nothing reaches the origin.
//!
//! Everything but the module `worker` is pure; that one is the runtime's adapter, behind the
//! feature of the same name.
//!
//! A token that is bound to a key needs a proof of that key ([`proof`]). What is recorded of all this, and
//! when it is sent, is [`packer`]'s to say.
//!
//! Out of scope: upgrades to other protocols, refresh.

pub mod answer;
pub mod assertion;
pub mod caller;
pub mod config;
pub mod consistency;
pub mod cookie;
pub mod credential;
pub mod decide;
pub mod deployment;
pub mod file;
pub mod headers;
pub mod inbound;
pub mod login;
pub mod metadata;
pub mod packer;
pub mod proof;
pub mod remembered;
pub mod resource;
pub mod route;
pub mod routes;
pub mod view;
pub mod vouched;

#[cfg(feature = "worker")]
mod worker;
