//! The service as its users meet it: real Workers in the real runtime, a certified identity
//! provider, a gateway and an origin. Each test names a property.
//!
//! `tests/conformance.md` says which requirement each of them shows.

mod audit;
mod audit_log;
mod authorize;
mod backchannel_logout;
mod bad_tokens;
mod callback;
mod check;
mod check_batch;
mod client_auth;
mod clients;
mod config;
mod conformance;
mod connections;
mod consent;
mod crash;
mod example_gateway;
mod feed;
mod feed_faults;
mod gateway;
mod gateway_bounded;
mod gateway_browser;
mod gateway_dpop;
mod gateway_events;
mod gateway_file;
mod idp_tokens;
mod introspection;
mod keys;
mod keys_in_step;
mod kill;
mod log_in;
mod lying_provider;
mod machine;
mod paging;
mod par;
mod race;
mod refresh;
mod register;
mod registry;
mod revocation_endpoint;
mod revocations;
mod routes;
mod saml;
mod scim;
mod scim_oracles;
mod scim_users;
mod sessions;
mod step_up;
mod stock_client;
mod token;
mod triggers;
mod upstream_logout;
mod userinfo;
mod workload;
