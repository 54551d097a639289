//! The keys of a TOML table, taken one by one: what is left over is unknown, and told.

use super::problem::Problems;
use std::borrow::Cow;
use std::fmt::Display;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The keys of a table that have not been taken yet.
pub struct Fields<'t> {
    left: Vec<Field<'t>>,
    known: Vec<&'static str>,
    /// Where the table is.
    pub span: Range<usize>,
}

/// A key and its value.
#[derive(Clone, Copy)]
pub struct Field<'t> {
    /// The key.
    pub name: &'t str,
    key: &'t Spanned<Cow<'t, str>>,
    value: &'t Spanned<DeValue<'t>>,
}

impl<'t> Fields<'t> {
    /// All of a table's.
    pub fn of(table: &'t DeTable<'t>, span: Range<usize>) -> Self {
        let field = |(key, value): (&'t Spanned<Cow<'t, str>>, _)| Field {
            name: key.get_ref(),
            key,
            value,
        };
        Self {
            left: table.iter().map(field).collect(),
            known: Vec::new(),
            span,
        }
    }

    /// The value of a key, if it is there.
    pub fn take(&mut self, name: &'static str) -> Option<Field<'t>> {
        self.known.push(name);
        let at = self.left.iter().position(|field| field.name == name)?;
        Some(self.left.swap_remove(at))
    }

    /// All that is left, where the keys are names of the writer's own.
    pub fn into_rest(self) -> Vec<Field<'t>> {
        self.left
    }

    /// Tells of what is left that it is unknown.
    pub fn finish(self, problems: &mut Problems<'_>) {
        for field in &self.left {
            let known = self.known.join(", ");
            field.refuse_key(
                problems,
                format!("unknown key {:?}; known here: {known}", field.name),
            );
        }
    }
}

impl<'t> Field<'t> {
    /// Where the value is.
    pub fn span(&self) -> Range<usize> {
        self.value.span()
    }

    /// Where the key is.
    pub fn key_span(&self) -> Range<usize> {
        self.key.span()
    }

    /// Something is wrong with the value.
    pub fn refuse(&self, problems: &mut Problems<'_>, message: impl Display) {
        problems.add(&self.value.span(), message);
    }

    /// Something is wrong with the key.
    pub fn refuse_key(&self, problems: &mut Problems<'_>, message: impl Display) {
        problems.add(&self.key_span(), message);
    }

    /// The value as it is.
    pub fn value(&self) -> &'t DeValue<'t> {
        self.value.get_ref()
    }

    /// A text.
    pub fn text(&self, problems: &mut Problems<'_>) -> Option<&'t str> {
        let text = self.value().as_str();
        self.expect(problems, "a text", text)
    }

    /// True or false.
    pub fn flag(&self, problems: &mut Problems<'_>) -> Option<bool> {
        let flag = self.value().as_bool();
        self.expect(problems, "true or false", flag)
    }

    /// The keys of a table.
    pub fn table(&self, problems: &mut Problems<'_>) -> Option<Fields<'t>> {
        let table = self.value().as_table();
        let fields = table.map(|table| Fields::of(table, self.span()));
        self.expect(problems, "a table", fields)
    }

    /// The keys of each table of a list.
    pub fn tables(&self, problems: &mut Problems<'_>) -> Vec<Fields<'t>> {
        let list = self.value().as_array().map(|list| list.iter());
        let list = self.expect(problems, "a list of tables", list);
        let mut tables = Vec::new();
        for item in list.into_iter().flatten() {
            match item.get_ref().as_table() {
                Some(table) => tables.push(Fields::of(table, item.span())),
                None => problems.add(&item.span(), self.expected("tables", item.get_ref())),
            }
        }
        tables
    }

    /// A list of texts, at least one and none twice.
    pub fn texts(&self, problems: &mut Problems<'_>) -> Vec<(&'t str, Range<usize>)> {
        let list = self.value().as_array().map(|list| list.iter());
        let list = self.expect(problems, "a list of texts", list);
        let mut texts: Vec<(&str, Range<usize>)> = Vec::new();
        for item in list.clone().into_iter().flatten() {
            match item.get_ref().as_str() {
                None => problems.add(&item.span(), self.expected("texts", item.get_ref())),
                Some(text) if texts.iter().any(|(known, _)| *known == text) => {
                    problems.add(&item.span(), format!("{text:?} is in the list already"));
                }
                Some(text) => texts.push((text, item.span())),
            }
        }
        if list.is_some_and(|list| list.len() == 0) {
            self.refuse(
                problems,
                format!("the list {:?} is empty: leave it out", self.name),
            );
        }
        texts
    }

    fn expect<T>(&self, problems: &mut Problems<'_>, what: &str, found: Option<T>) -> Option<T> {
        if found.is_none() {
            self.refuse(problems, self.expected(what, self.value()));
        }
        found
    }

    fn expected(&self, what: &str, found: &DeValue<'_>) -> String {
        format!("{:?} must be {what}, not {}", self.name, kind(found))
    }
}

/// What a value is called.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
