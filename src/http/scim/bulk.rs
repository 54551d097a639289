//! `POST /Bulk`: many operations in one request (RFC 7644 section 3.7).
//!
//! Each operation is carried out by itself, and its outcome is in the answer, which waits for what all of them
//! mean for people. What was begun is finished, also if the caller does not wait: a 503 says no more
//! than that the answer got lost.
//!
//! | what | answer |
//! |---|---|
//! | more than 1 MiB, or than 1,000 operations | 413 |
//! | no request of Bulk | 400 |
//! | five others are being carried out | 429 |

use super::{Admitted, CONTENT_TYPE, failed, unavailable};
use crate::error::scim_problem;
use crate::runtime::new_id;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::bulk::LIMITS;
use portcullis_core::scim::call::{BulkId, RunBulk};
use worker::{Response, Result};

/// POST.
pub async fn post(mut ctx: Admitted) -> Result<Response> {
    let body = match ctx.text_within(LIMITS.max_payload_bytes).await? {
        Ok(body) => body,
        Err(problem) => return scim_problem(&problem),
    };
    let id = BulkId::from_bytes(new_id()?);
    match ctx.ask(RunBulk { id, body }).await {
        Ok(Ok(done)) => {
            let response = Response::ok(done)?;
            response.headers().set("content-type", CONTENT_TYPE)?;
            response.headers().set("cache-control", "no-store")?;
            Ok(response)
        }
        Ok(Err(error)) => {
            let response = failed(&error)?;
            if error == ScimError::Busy {
                response.headers().set("retry-after", "1")?;
            }
            Ok(response)
        }
        Err(error) => unavailable(&error),
    }
}
