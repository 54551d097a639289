//! The seam between stores and SQLite.
//!
//! Stores are written once, over [`Sql`]. In production that is an object's storage
//! ([`DurableSql`](super::durable_sql::DurableSql)); in tests it is SQLite on the host with faults
//! injected at every call.

use portcullis_core::wire::Malformed;
use std::fmt;
use std::ops::ControlFlow;

/// A value bound to a statement or read from a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// An integer of at most 2^53 - 1: the runtime carries numbers as doubles.
    Integer(u64),
    /// TEXT.
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Integer(u64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(value.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(value: &[u8; N]) -> Self {
        Self::Blob(value.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Storage did not do what was asked, or holds what it cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError(pub String);

impl SqlError {
    /// A row is not what its store writes.
    pub fn corrupt(what: &str) -> Self {
        Self(format!("stored {what} cannot be read"))
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "storage: {}", self.0)
    }
}

impl std::error::Error for SqlError {}

impl From<SqlError> for worker::Error {
    fn from(error: SqlError) -> Self {
        Self::RustError(error.to_string())
    }
}

impl From<Malformed> for SqlError {
    fn from(_: Malformed) -> Self {
        Self::corrupt("message")
    }
}

/// One row of a result, by column position.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The integer in column `at`.
    pub fn integer(&self, at: usize) -> Result<u64, SqlError> {
        match self.0.get(at) {
            Some(Value::Integer(value)) => Ok(*value),
            _ => Err(SqlError::corrupt("integer")),
        }
    }

    /// The integer in column `at`, or `None` for NULL.
    pub fn optional_integer(&self, at: usize) -> Result<Option<u64>, SqlError> {
        match self.0.get(at) {
            Some(Value::Null) => Ok(None),
            _ => self.integer(at).map(Some),
        }
    }

    /// The text in column `at`.
    pub fn text(&self, at: usize) -> Result<&str, SqlError> {
        match self.0.get(at) {
            Some(Value::Text(value)) => Ok(value),
            _ => Err(SqlError::corrupt("text")),
        }
    }

    /// The text in column `at`, or `None` for NULL.
    pub fn optional_text(&self, at: usize) -> Result<Option<&str>, SqlError> {
        match self.0.get(at) {
            Some(Value::Null) => Ok(None),
            _ => self.text(at).map(Some),
        }
    }

    /// The bytes in column `at`.
    pub fn blob(&self, at: usize) -> Result<&[u8], SqlError> {
        match self.0.get(at) {
            Some(Value::Blob(value)) => Ok(value),
            _ => Err(SqlError::corrupt("blob")),
        }
    }

    /// The same, taken out of the row.
    pub fn take_blob(&mut self, at: usize) -> Result<Vec<u8>, SqlError> {
        match self.0.get_mut(at) {
            Some(Value::Blob(value)) => Ok(std::mem::take(value)),
            _ => Err(SqlError::corrupt("blob")),
        }
    }

    /// The bytes in column `at`, or `None` for NULL.
    pub fn optional_blob(&self, at: usize) -> Result<Option<&[u8]>, SqlError> {
        match self.0.get(at) {
            Some(Value::Null) => Ok(None),
            _ => self.blob(at).map(Some),
        }
    }

    /// The bytes in column `at`, which are exactly `N`.
    pub fn bytes<const N: usize>(&self, at: usize) -> Result<[u8; N], SqlError> {
        self.blob(at)?
            .try_into()
            .map_err(|_| SqlError::corrupt("blob"))
    }
}

/// What a store needs of SQLite. All of it is synchronous: nothing can come between a read and the
/// write that rests on it.
pub trait Sql {
    /// Runs one statement and returns its rows.
    fn exec(&self, statement: &str, values: &[Value]) -> Result<Vec<Row>, SqlError>;

    /// The first row of one statement that only reads.
    fn first(&self, statement: &str, values: &[Value]) -> Result<Option<Row>, SqlError> {
        Ok(self.exec(statement, values)?.into_iter().next())
    }

    /// Hands over the rows of one statement that only reads, until one is told to be enough.
    fn each(
        &self,
        statement: &str,
        values: &[Value],
        mut row: impl FnMut(Row) -> Result<ControlFlow<()>, SqlError>,
    ) -> Result<(), SqlError> {
        for found in self.exec(statement, values)? {
            if row(found)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Runs `body` so that all it wrote is kept, or none of it if it fails.
    fn transaction<T>(&self, body: impl FnOnce() -> Result<T, SqlError>) -> Result<T, SqlError>;
}

/// Whether the object's tables exist. Reading asks first, so that a question about something that
/// was never seen leaves nothing behind.
pub fn has_schema(sql: &impl Sql) -> Result<bool, SqlError> {
    let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migration'";
    Ok(!sql.exec(table, &[])?.is_empty())
}

/// Applies the migrations that this object has not seen, each in a transaction of its own. A
/// migration is a script of statements that end in `;`; its number is its place in the list.
pub fn migrate(sql: &impl Sql, migrations: &[&str]) -> Result<(), SqlError> {
    let applied = if has_schema(sql)? {
        let rows = sql.exec("SELECT count(*) FROM migration", &[])?;
        rows.first().map_or(Ok(0), |row| row.integer(0))?
    } else {
        0
    };
    for (number, script) in (0u64..).zip(migrations).skip_while(|(n, _)| *n < applied) {
        sql.transaction(|| {
            if number == 0 {
                // number: place in the list of migrations, from 0
                sql.exec("CREATE TABLE migration (number INTEGER PRIMARY KEY)", &[])?;
            }
            for statement in statements(script) {
                sql.exec(statement, &[])?;
            }
            sql.exec(
                "INSERT INTO migration (number) VALUES (?)",
                &[number.into()],
            )?;
            Ok(())
        })?;
    }
    Ok(())
}

fn statements(script: &str) -> impl Iterator<Item = &str> {
    script.split_inclusive(";\n").filter(|statement| {
        statement
            .lines()
            .any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
    })
}
