//! Lines as Parquet: a column for each of the export's, numbers as unsigned 64 bits and all else as text.

use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use portcullis_core::audit::export::columns::{COLUMNS, Cell, cells};
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// How many lines are a row group: what is held at a time.
const GROUP: usize = 64 * 1024;

/// Writes a file of these lines.
pub fn write(to: File, lines: impl Iterator<Item = io::Result<Vec<u8>>>) -> Result<()> {
    let schema = Arc::new(parse_message_type(&schema())?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("portcullis ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut writer = SerializedFileWriter::new(to, schema, Arc::new(properties))?;
    let mut group: Vec<Vec<Cell>> = Vec::new();
    for line in lines {
        let line = line.map_err(|error| ParquetError::External(Box::new(error)))?;
        let none = || ParquetError::General("a line of the log is none".to_owned());
        group.push(cells(&line).ok_or_else(none)?);
        if group.len() == GROUP {
            write_group(&mut writer, &group)?;
            group.clear();
        }
    }
    if !group.is_empty() {
        write_group(&mut writer, &group)?;
    }
    writer.close()?;
    Ok(())
}

fn schema() -> String {
    let mut schema = "message events {".to_owned();
    for column in COLUMNS {
        let (physical, logical) = if column.is_number {
            ("INT64", "INTEGER(64,false)")
        } else {
            ("BYTE_ARRAY", "STRING")
        };
        // Writing to a `String` cannot fail.
        let _ = write!(schema, " OPTIONAL {physical} {} ({logical});", column.name);
    }
    schema + " }"
}

fn write_group(writer: &mut SerializedFileWriter<File>, group: &[Vec<Cell>]) -> Result<()> {
    let mut row_group = writer.next_row_group()?;
    for (at, column) in COLUMNS.iter().enumerate() {
        let Some(mut to) = row_group.next_column()? else {
            break;
        };
        let cells = || group.iter().filter_map(|row| row.get(at));
        let levels: Vec<i16> = cells()
            .map(|cell| i16::from(*cell != Cell::Nothing))
            .collect();
        if column.is_number {
            let numbers: Vec<i64> = cells().filter_map(number).collect();
            to.typed::<Int64Type>()
                .write_batch(&numbers, Some(&levels), None)?;
        } else {
            let texts: Vec<ByteArray> = cells().filter_map(text).collect();
            to.typed::<ByteArrayType>()
                .write_batch(&texts, Some(&levels), None)?;
        }
        to.close()?;
    }
    row_group.close()?;
    Ok(())
}

/// The same bits, as Parquet has unsigned numbers.
fn number(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Number(number) => Some(number.cast_signed()),
        _ => None,
    }
}

fn text(cell: &Cell) -> Option<ByteArray> {
    match cell {
        Cell::Text(text) => Some(text.as_str().into()),
        _ => None,
    }
}
