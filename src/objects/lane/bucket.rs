//! A lane's archive in R2.
//!
//! `put` has no condition in crate `worker` that means "unless there is one": it is bound here, with the header that
//! does. A condition that does not hold is an answer of its own and no failure.

use super::archive::{Archive, ArchiveError, Archived};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use worker::{Bucket, Env};

#[wasm_bindgen]
extern "C" {
    type RawBucket;

    #[wasm_bindgen(method, catch)]
    fn put(
        this: &RawBucket,
        name: &str,
        value: Uint8Array,
        options: &Object,
    ) -> Result<Promise, JsValue>;
}

/// The bucket of this deployment.
pub struct R2(Bucket);

impl R2 {
    /// By its binding.
    pub fn of(env: &Env) -> Result<Self, ArchiveError> {
        env.bucket("AUDIT_BUCKET").map(Self).map_err(failed)
    }
}

impl Archive for R2 {
    async fn read(&self, name: &str) -> Result<Option<Archived>, ArchiveError> {
        let Some(object) = self.0.get(name).execute().await.map_err(failed)? else {
            return Ok(None);
        };
        let body = object.body();
        let body = body.ok_or_else(|| ArchiveError(format!("{name} has no body")))?;
        Ok(Some(Archived {
            bytes: body.bytes().await.map_err(failed)?,
            version: object.etag(),
        }))
    }

    async fn put(
        &self,
        name: &str,
        bytes: &[u8],
        over: Option<&str>,
    ) -> Result<Option<String>, ArchiveError> {
        let put = self.begin(name, bytes, over).map_err(of_js)?;
        let object = JsFuture::from(put).await.map_err(of_js)?;
        if object.is_null() {
            return Ok(None);
        }
        let etag = Reflect::get(&object, &"etag".into()).map_err(of_js)?;
        let etag = etag.as_string();
        etag.map(Some)
            .ok_or_else(|| ArchiveError(format!("{name} has no version")))
    }

    async fn remove(&self, names: &[String]) -> Result<(), ArchiveError> {
        let names = names.iter().map(String::as_str).collect();
        self.0.delete_multiple(names).await.map_err(failed)
    }
}

impl R2 {
    fn begin(&self, name: &str, bytes: &[u8], over: Option<&str>) -> Result<Promise, JsValue> {
        let condition: JsValue = if let Some(version) = over {
            object(&"etagMatches".into(), &version.into())?.into()
        } else {
            // "If-None-Match: *", which the form with fields cannot say.
            let headers = web_sys::Headers::new()?;
            headers.set("if-none-match", "*")?;
            headers.into()
        };
        let options = object(&"onlyIf".into(), &condition)?;
        let bucket: &JsValue = self.0.as_ref();
        let bucket: &RawBucket = bucket.unchecked_ref();
        bucket.put(name, Uint8Array::from(bytes), &options)
    }
}

fn object(field: &JsValue, value: &JsValue) -> Result<Object, JsValue> {
    Object::from_entries(&Array::of1(&Array::of2(field, value)))
}

#[expect(clippy::needless_pass_by_value, reason = "used as a map_err function")]
fn failed(error: worker::Error) -> ArchiveError {
    ArchiveError(error.to_string())
}

fn of_js(error: JsValue) -> ArchiveError {
    failed(error.into())
}
