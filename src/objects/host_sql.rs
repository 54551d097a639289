//! [`Sql`] over SQLite on the host, with faults on demand: the stores' test bench, and what measurements fill.
//!
//! A fault hits the n-th storage call from now, in one of the two ways that storage fails: what was
//! asked did not happen, or it happened and the answer was lost.

use super::sql::{Row, Sql, SqlError, Value};
#[cfg(test)]
use rusqlite::backup::Backup;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};
use std::cell::{Cell, RefCell};
#[cfg(feature = "host")]
use std::path::Path;
#[cfg(test)]
use std::time::Duration;

/// How a storage call fails.
#[cfg_attr(not(test), expect(dead_code, reason = "measurements have no faults"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It did not happen.
    NotPersisted,
    /// It happened, and was reported as failed.
    PersistedButReportedFailed,
}

/// SQLite on the host.
pub struct HostSql {
    connection: Connection,
    planned: RefCell<Option<(u32, Fault)>>,
    in_transaction: Cell<bool>,
    calls: Cell<u32>,
}

impl HostSql {
    fn over(connection: Connection) -> Self {
        Self {
            connection,
            planned: RefCell::new(None),
            in_transaction: Cell::new(false),
            calls: Cell::new(0),
        }
    }

    /// Rows inserted, changed or deleted so far.
    pub fn rows_written(&self) -> u64 {
        self.connection.total_changes()
    }
}

#[cfg(feature = "host")]
impl HostSql {
    /// The database in that file. What is written may be lost if the machine stops: it is for measurements, and quick.
    pub fn open(file: &Path) -> Result<Self, SqlError> {
        let connection = Connection::open(file);
        let connection = connection.and_then(|connection| {
            connection.pragma_update(None, "synchronous", "OFF")?;
            Ok(connection)
        });
        let failed = |error: rusqlite::Error| SqlError(format!("{}: {error}", file.display()));
        connection.map(Self::over).map_err(failed)
    }
}

#[cfg(test)]
impl HostSql {
    /// An empty database.
    pub fn new() -> Self {
        Self::over(Connection::open_in_memory().expect("SQLite opens"))
    }

    /// A database in that file.
    pub fn in_file(path: &std::path::Path) -> Self {
        Self::over(Connection::open(path).expect("SQLite opens"))
    }

    /// A database of its own as this one is now: what a restore to this point gives.
    pub fn copied(&self) -> Self {
        let mut copy = Connection::open_in_memory().expect("SQLite opens");
        let backup = Backup::new(&self.connection, &mut copy).expect("begins");
        let copied = backup.run_to_completion(1000, Duration::ZERO, None);
        copied.expect("copies");
        drop(backup);
        Self::over(copy)
    }

    /// The `nth` storage call from now (0 is the next) fails as `fault`.
    pub fn fail_nth(&self, nth: u32, fault: Fault) {
        *self.planned.borrow_mut() = Some((nth, fault));
    }

    /// No more faults; says whether one was still waiting.
    pub fn heal(&self) -> bool {
        self.planned.borrow_mut().take().is_some()
    }

    /// Storage calls so far.
    pub fn calls(&self) -> u32 {
        self.calls.get()
    }
}

impl HostSql {
    fn fault_due(&self) -> Option<Fault> {
        self.calls.set(self.calls.get() + 1);
        let mut planned = self.planned.borrow_mut();
        match *planned {
            Some((0, fault)) => {
                *planned = None;
                Some(fault)
            }
            Some((nth, fault)) => {
                *planned = Some((nth - 1, fault));
                None
            }
            None => None,
        }
    }

    fn run(&self, statement: &str, values: &[Value]) -> rusqlite::Result<Vec<Row>> {
        let mut prepared = self.connection.prepare_cached(statement)?;
        let columns = prepared.column_count();
        let bindings = values.iter().map(|value| match value {
            Value::Null => rusqlite::types::Value::Null,
            Value::Integer(value) => {
                assert!(*value < 1 << 53, "the runtime would round {value}");
                rusqlite::types::Value::Integer(i64::try_from(*value).expect("below 2^53"))
            }
            Value::Text(value) => value.clone().into(),
            Value::Blob(value) => value.clone().into(),
        });
        let mut rows = prepared.query(params_from_iter(bindings))?;
        let mut read = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..columns).map(|at| match row.get_ref(at).expect("a column") {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(value) => Value::Integer(u64::try_from(value).expect("unsigned")),
                ValueRef::Text(value) => {
                    Value::Text(String::from_utf8(value.to_vec()).expect("UTF-8"))
                }
                ValueRef::Blob(value) => Value::Blob(value.to_vec()),
                ValueRef::Real(value) => panic!("a column holds {value}"),
            });
            read.push(Row(values.collect()));
        }
        Ok(read)
    }
}

fn injected() -> SqlError {
    SqlError("injected".to_owned())
}

impl Sql for HostSql {
    fn exec(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, SqlError> {
        let fault = self.fault_due();
        if fault == Some(Fault::NotPersisted) {
            return Err(injected());
        }
        let rows = self
            .run(statement, values)
            .map_err(|error| SqlError(format!("{error}: {statement}")))?;
        if fault.is_some() {
            return Err(injected());
        }
        Ok(rows)
    }

    fn transaction<T>(&self, body: impl FnOnce() -> Result<T, SqlError>) -> Result<T, SqlError> {
        assert!(
            !self.in_transaction.replace(true),
            "transactions do not nest"
        );
        self.run("BEGIN", &[]).expect("begins");
        let result = body();
        // The commit is a storage call too, and the one where an answer can be lost.
        let fault = if result.is_ok() {
            self.fault_due()
        } else {
            None
        };
        self.in_transaction.set(false);
        if result.is_err() || fault == Some(Fault::NotPersisted) {
            self.run("ROLLBACK", &[]).expect("rolls back");
            return Err(result.err().unwrap_or_else(injected));
        }
        self.run("COMMIT", &[]).expect("commits");
        if fault.is_some() {
            return Err(injected());
        }
        result
    }
}
