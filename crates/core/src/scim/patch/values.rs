//! A list of values while an operation changes it.

use super::super::ScimError;
use super::super::filter::{Comparison, Filter, Literal, Ready};
use super::super::resource::coerce::{
    MAX_VALUES, bounded, coerced, coerced_one, coerced_sub, is_primary,
};
use super::super::schema::{Attribute, Kind};
use super::super::value::{get, is_present, put, take};
use super::Verb;
use super::apply::is_plain;
use serde_json::{Map, Value};

/// The values, and which of them the operation wrote.
pub struct Values {
    attribute: &'static Attribute,
    list: Vec<Value>,
    written: Vec<usize>,
}

impl Values {
    pub fn new(attribute: &'static Attribute, list: Vec<Value>) -> Self {
        Self {
            attribute,
            list,
            written: Vec::new(),
        }
    }

    /// Which values are such.
    pub fn found(&self, filter: &Filter) -> Result<Vec<usize>, ScimError> {
        let ready = Ready::within(filter, self.attribute)?;
        let such = |(at, value): (usize, &Value)| {
            let is_such = value.as_object().is_some_and(|value| ready.matches(value));
            is_such.then_some(at)
        };
        Ok(self.list.iter().enumerate().filter_map(such).collect())
    }

    /// Behind the others, unless it is there.
    pub fn add(&mut self, value: &Value) -> Result<(), ScimError> {
        for value in self.coerced(value)? {
            self.push(value);
        }
        Ok(())
    }

    pub fn replace_all(&mut self, value: &Value) -> Result<(), ScimError> {
        self.list = self.coerced(value)?;
        Ok(())
    }

    pub fn remove_all(&mut self) {
        self.list.clear();
    }

    /// Those that have what one of the given has, and no others: one provider says so by `value`.
    pub fn remove_these(&mut self, value: &Value) -> Result<(), ScimError> {
        let given = self.coerced(value)?;
        let has = |value: &Value, of: &Value| match (value, of) {
            (Value::Object(value), Value::Object(of)) => {
                of.iter().all(|(name, part)| get(value, name) == Some(part))
            }
            (value, of) => value == of,
        };
        self.list
            .retain(|value| !given.iter().any(|of| has(value, of)));
        Ok(())
    }

    pub fn remove(&mut self, found: &[usize]) {
        let mut at = 0;
        self.list.retain(|_| {
            at += 1;
            !found.contains(&(at - 1))
        });
    }

    /// Each of those becomes the value.
    pub fn replace(&mut self, found: &[usize], value: &Value) -> Result<(), ScimError> {
        let value = coerced_one(self.attribute, value.clone())?;
        self.each(found, |one| *one = value.clone());
        Ok(())
    }

    /// Each of those gets the parts of the value.
    pub fn merge(&mut self, found: &[usize], value: &Value) -> Result<(), ScimError> {
        let Value::Object(parts) = coerced_one(self.attribute, value.clone())? else {
            return Err(ScimError::InvalidValue(self.attribute.name.to_owned()));
        };
        self.each(found, |one| {
            if let Value::Object(one) = one {
                one.extend(parts.clone());
            }
        });
        Ok(())
    }

    /// One part of those, or of all. Where there are none, `add` and `replace` make one.
    pub fn set_sub(
        &mut self,
        found: Option<&[usize]>,
        verb: Verb,
        sub: &Attribute,
        value: &Value,
    ) -> Result<(), ScimError> {
        let value = match verb {
            Verb::Remove => Value::Null,
            Verb::Add | Verb::Replace => coerced_sub(self.attribute, sub, value.clone())?,
        };
        if self.list.is_empty() && is_present(&value) {
            let made = [(sub.name.to_owned(), value)].into_iter().collect();
            self.push(Value::Object(made));
            return Ok(());
        }
        let all: Vec<usize> = (0..self.list.len()).collect();
        self.each(found.unwrap_or(&all), |one| {
            if let Value::Object(one) = one {
                if is_present(&value) {
                    put(one, sub.name, value.clone());
                } else {
                    take(one, sub.name);
                }
            }
        });
        Ok(())
    }

    /// Makes the value that a filter does not find, if the filter says how: by what its parts equal.
    pub fn make(
        &mut self,
        filter: &Filter,
        sub: Option<&Attribute>,
        value: &Value,
    ) -> Result<bool, ScimError> {
        let mut parts = Map::new();
        if self.attribute.kind != Kind::Complex || !says(filter, &mut parts) {
            return Ok(false);
        }
        let of_filter = coerced_one(self.attribute, Value::Object(parts))?;
        let given = match sub {
            Some(sub) => {
                let value = coerced_sub(self.attribute, sub, value.clone())?;
                let part = [(sub.name.to_owned(), value)];
                Value::Object(part.into_iter().collect())
            }
            None => coerced_one(self.attribute, value.clone())?,
        };
        let (Value::Object(mut made), Value::Object(given)) = (of_filter, given) else {
            return Ok(false);
        };
        for (name, value) in given {
            put(&mut made, &name, value);
        }
        self.push(Value::Object(made));
        Ok(true)
    }

    /// The list, with one primary value at most: the one that was written takes it from the others.
    pub fn finish(mut self) -> Result<Value, ScimError> {
        let is_now = |at: &&usize| self.list.get(**at).is_some_and(is_primary);
        let now: Vec<usize> = self.written.iter().filter(is_now).copied().collect();
        if let [only] = now.as_slice() {
            for (at, value) in self.list.iter_mut().enumerate() {
                if at != *only
                    && is_primary(value)
                    && let Value::Object(value) = value
                {
                    put(value, "primary", Value::Bool(false));
                }
            }
        }
        let mut kept: Vec<Value> = Vec::with_capacity(self.list.len());
        for value in self.list {
            if is_present(&value) && !kept.contains(&value) {
                kept.push(value);
            }
        }
        bounded(self.attribute, kept)
    }

    fn push(&mut self, value: Value) {
        if let Some(at) = self.list.iter().position(|known| *known == value) {
            self.written.push(at);
        } else if self.list.len() <= MAX_VALUES {
            self.written.push(self.list.len());
            self.list.push(value);
        }
    }

    fn each(&mut self, found: &[usize], mut change: impl FnMut(&mut Value)) {
        for at in found {
            if let Some(one) = self.list.get_mut(*at) {
                change(one);
                self.written.push(*at);
            }
        }
    }

    fn coerced(&self, value: &Value) -> Result<Vec<Value>, ScimError> {
        Ok(match coerced(self.attribute, value.clone())? {
            Value::Array(list) => list,
            _ => Vec::new(),
        })
    }
}

/// Collects what a filter says that parts equal; `false` if it says anything else.
fn says(filter: &Filter, parts: &mut Map<String, Value>) -> bool {
    match filter {
        Filter::All(of) => of.iter().all(|one| says(one, parts)),
        Filter::Compare(path, Comparison::Eq, literal) if is_plain(path) => {
            let value = match literal {
                Literal::Text(text) => Value::String(text.clone()),
                Literal::Boolean(value) => Value::Bool(*value),
                Literal::Null | Literal::Number(_) => return false,
            };
            parts.insert(path.name.clone(), value).is_none()
        }
        _ => false,
    }
}
