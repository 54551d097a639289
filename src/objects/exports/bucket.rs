//! Where the files lie: the bucket of the log's archive, under `exports/`.

use super::work::Bucket;
use worker::{Env, Error};

/// The bucket of this deployment.
pub struct R2(pub worker::Bucket);

impl R2 {
    /// By its binding.
    pub fn of(env: &Env) -> Result<Self, Error> {
        env.bucket("AUDIT_BUCKET").map(Self)
    }
}

impl Bucket for R2 {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), String> {
        let put = self.0.put(name, bytes).execute().await;
        put.map(drop).map_err(failed)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, String> {
        let listed = self.0.list().prefix(prefix).execute().await;
        let objects = listed.map_err(failed)?.objects();
        Ok(objects.iter().map(worker::Object::key).collect())
    }

    async fn delete(&self, names: Vec<String>) -> Result<(), String> {
        self.0.delete_multiple(names).await.map_err(failed)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a map_err function")]
fn failed(error: Error) -> String {
    format!("bucket: {error}")
}
