//! The audit log: what is recorded, how it travels, and how it reads.
//!
//! A producer numbers its [events](event::Event) and sends them in [packs](pack::Pack). A lane of
//! the log remembers which numbers it has ([`ranges`]), gives each new event the next index, and
//! keeps it as a [line](line::Line) of JSON, in which what is personal is [sealed]. Readers [query](query) lines by index, and take them away as an
//! [export](export) that can be verified without us.

pub mod addresses;
pub mod again;
pub mod backlog;
pub mod call;
pub mod detail;
mod earlier;
pub mod event;
pub mod export;
pub mod follow;
pub mod letters;
pub mod line;
pub mod log;
pub mod pack;
pub mod personal;
pub mod places;
pub mod postings;
pub mod query;
pub mod ranges;
pub mod refusals;
pub mod remembered;
pub mod retention;
pub mod runs;
pub mod scrub;
pub mod sealed;
pub mod submitted;
pub mod terms;
