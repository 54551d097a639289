//! The audit log: what is recorded, how it travels, and how it reads.

pub mod event;
pub mod pack;
