//! `GET /healthz`: reaching this means that the configuration is valid.

use super::context::Ctx;
use crate::error::json;
use serde_json::json;
use worker::{Response, Result};

/// 200 `{"status":"ok"}`.
pub async fn get(_ctx: Ctx) -> Result<Response> {
    json(200, &json!({"status": "ok"}))
}
