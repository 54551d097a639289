//! Exports of the audit log as jobs of the service.

mod bucket;
pub mod object;
pub mod service;
mod store;
#[cfg(test)]
mod tests;
mod work;
#[cfg(test)]
mod world;

use portcullis_core::audit::export::job::ExportId;

/// The name in the bucket of a part of a file; without a file, what the names of all of an export's parts begin with.
pub fn part_name(id: ExportId, part: Option<(&str, u64)>) -> String {
    let export = id.to_text();
    match part {
        Some((file, number)) => format!("exports/{export}/{file}/{number:08}"),
        None => format!("exports/{export}/"),
    }
}
