//! The audit log: what is recorded, how it travels, and how it reads.
//!
//! A producer numbers its [events](event::Event) and sends them in [packs](pack::Pack). A lane of
//! the log remembers which numbers it has ([`ranges`]), gives each new event the next index, and
//! keeps it as a [line](line::Line) of JSON. Readers [query](query) lines by index, and take them away as an
//! [export](export) that can be verified without us.

pub mod call;
pub mod detail;
mod earlier;
pub mod event;
pub mod export;
pub mod line;
pub mod log;
pub mod pack;
pub mod postings;
pub mod query;
pub mod ranges;
pub mod refusals;
pub mod scrub;
pub mod terms;
