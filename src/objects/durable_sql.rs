//! [`Sql`] over a Durable Object's storage.
//!
//! `transactionSync` has no wrapper in crate `worker`; it is bound here. It is what makes several
//! statements one change: without it, statements before an error would stay.

use super::sql::{Row, Sql, SqlError, Value};
use std::cell::RefCell;
use std::ops::ControlFlow;
use wasm_bindgen::prelude::*;
use worker::{SqlStorage, SqlStorageValue, State};

#[wasm_bindgen]
extern "C" {
    type SyncStorage;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &SyncStorage,
        body: &mut dyn FnMut() -> Result<(), JsValue>,
    ) -> Result<(), JsValue>;
}

/// The storage of the object that runs.
pub struct DurableSql {
    sql: SqlStorage,
    storage: JsValue,
}

impl DurableSql {
    /// The storage behind `state`.
    pub fn new(state: &State) -> Self {
        Self {
            sql: state.storage().sql(),
            // Without it every transaction fails, which is what should happen.
            storage: state.as_raw().storage().map_or(JsValue::NULL, Into::into),
        }
    }
}

impl DurableSql {
    fn rows(
        &self,
        statement: &str,
        values: &[Value],
    ) -> Result<impl Iterator<Item = Result<Row, SqlError>> + use<>, SqlError> {
        let bindings = values.iter().map(bound).collect::<Result<Vec<_>, _>>()?;
        let cursor = self.sql.exec(statement, bindings).map_err(failed)?;
        Ok(cursor.raw().map(|row| read(row.map_err(failed)?)))
    }
}

impl Sql for DurableSql {
    fn exec(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, SqlError> {
        self.rows(statement, values)?.collect()
    }

    /// The cursor is left where it is, which is cheaper than to hear that there is no more. Whoever runs the
    /// same statement next closes it.
    fn first(&self, statement: &str, values: &[Value]) -> Result<Option<Row>, SqlError> {
        self.rows(statement, values)?.next().transpose()
    }

    /// As [`Self::first`] does it: what is not read is not looked for.
    fn each(
        &self,
        statement: &str,
        values: &[Value],
        mut row: impl FnMut(Row) -> Result<ControlFlow<()>, SqlError>,
    ) -> Result<(), SqlError> {
        for found in self.rows(statement, values)? {
            if row(found?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn transaction<T>(&self, body: impl FnOnce() -> Result<T, SqlError>) -> Result<T, SqlError> {
        let mut body = Some(body);
        let outcome = RefCell::new(None);
        let committed = self
            .storage
            .unchecked_ref::<SyncStorage>()
            .transaction_sync(&mut || {
                let result = body.take().map(|body| body());
                let failed = !matches!(result, Some(Ok(_)));
                outcome.replace(result);
                // A throw is what makes the runtime roll back.
                if failed {
                    Err(JsValue::from_str("rolled back"))
                } else {
                    Ok(())
                }
            });
        match (committed, outcome.into_inner()) {
            (Ok(()), Some(Ok(value))) => Ok(value),
            (_, Some(Err(error))) => Err(error),
            (Err(error), _) => Err(failed(worker::Error::from(error))),
            (Ok(()), None) => Err(SqlError("transaction did not run".to_owned())),
        }
    }
}

fn bound(value: &Value) -> Result<SqlStorageValue, SqlError> {
    Ok(match value {
        Value::Null => SqlStorageValue::Null,
        Value::Integer(value) => i64::try_from(*value)
            .map_err(|_| SqlError("integer out of range".to_owned()))
            .and_then(|value| SqlStorageValue::try_from_i64(value).map_err(failed))?,
        Value::Text(value) => SqlStorageValue::String(value.clone()),
        Value::Blob(value) => SqlStorageValue::Blob(value.clone()),
    })
}

fn read(row: Vec<SqlStorageValue>) -> Result<Row, SqlError> {
    row.into_iter()
        .map(|value| match value {
            SqlStorageValue::Null => Ok(Value::Null),
            SqlStorageValue::Integer(value) => u64::try_from(value)
                .map(Value::Integer)
                .map_err(|_| SqlError::corrupt("integer")),
            SqlStorageValue::String(value) => Ok(Value::Text(value)),
            SqlStorageValue::Blob(value) => Ok(Value::Blob(value)),
            SqlStorageValue::Boolean(_) | SqlStorageValue::Float(_) => {
                Err(SqlError::corrupt("value"))
            }
        })
        .collect::<Result<_, _>>()
        .map(Row)
}

#[expect(clippy::needless_pass_by_value, reason = "used as a map_err function")]
fn failed(error: worker::Error) -> SqlError {
    SqlError(error.to_string())
}
