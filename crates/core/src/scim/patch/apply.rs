//! One operation after the other.

use super::super::ScimError;
use super::super::path::{AttrPath, Path, shown};
use super::super::resource::coerce::coerced;
use super::super::resource::is_members;
use super::super::schema::{Attribute, Kind, Mutability, Place, ResourceType, Schema, Target};
use super::super::value::{get, is_present, put, take};
use super::values::Values;
use super::{MemberChange, Operation, Verb, members};
use serde_json::{Map, Value};

/// A resource while it is being changed.
pub struct State {
    pub of: &'static ResourceType,
    pub after: Map<String, Value>,
    pub members: Vec<MemberChange>,
}

/// Whether a path was given, or stood in a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    ByPath,
    InValue,
}

impl State {
    pub fn apply(&mut self, operation: &Operation) -> Result<(), ScimError> {
        let Operation { verb, path, value } = operation;
        match path {
            Some(path) => self.at(*verb, path, value, Named::ByPath),
            None => self.each(*verb, None, value),
        }
    }

    /// Each member of `value` is a path: of the resource, or of an extension.
    fn each(
        &mut self,
        verb: Verb,
        extension: Option<&'static Schema>,
        value: &Value,
    ) -> Result<(), ScimError> {
        let Value::Object(members) = value else {
            return Err(ScimError::InvalidValue("value".into()));
        };
        for (name, value) in members {
            let mut path = match Path::parse(name) {
                Ok(path) => path,
                Err(_) if extension.is_some() => continue,
                Err(error) => return Err(error),
            };
            if let Some(schema) = extension {
                path.attribute.urn = Some(schema.id.to_owned());
            }
            // As in any body, what no schema knows is ignored.
            if self.of.resolve(&path.attribute).is_some() {
                self.at(verb, &path, value, Named::InValue)?;
            }
        }
        Ok(())
    }

    fn at(
        &mut self,
        verb: Verb,
        path: &Path,
        value: &Value,
        named: Named,
    ) -> Result<(), ScimError> {
        match self.of.resolve(&path.attribute) {
            None => Err(invalid(path)),
            Some(Target::Core | Target::Extension(_)) if path.filter.is_some() => {
                Err(invalid(path))
            }
            Some(Target::Core) if verb == Verb::Remove => {
                Err(ScimError::Mutability(shown(&path.to_string())))
            }
            Some(Target::Core) => self.each(verb, None, value),
            Some(Target::Extension(schema)) if verb == Verb::Remove || !is_present(value) => {
                take(&mut self.after, schema.id);
                Ok(())
            }
            Some(Target::Extension(schema)) => self.each(verb, Some(schema), value),
            Some(Target::Place(place)) => self.place(verb, path, place, value, named),
        }
    }

    fn place(
        &mut self,
        verb: Verb,
        path: &Path,
        place: Place,
        value: &Value,
        named: Named,
    ) -> Result<(), ScimError> {
        let sub = match &path.sub {
            None => place.sub,
            Some(name) => Some(place.attribute.sub(name).ok_or_else(|| invalid(path))?),
        };
        let place = Place { sub, ..place };
        // What is answered there follows from what the resource has.
        if place.attribute.name == "schemas" {
            return Ok(());
        }
        let is_fixed = |one: &Attribute| one.mutability == Mutability::ReadOnly;
        if is_fixed(place.attribute) || place.sub.is_some_and(is_fixed) {
            return match named {
                Named::InValue => Ok(()),
                Named::ByPath => Err(ScimError::Mutability(shown(&path.to_string()))),
            };
        }
        if is_members(place.attribute) {
            let change = members::change(verb, path, place.sub, value)?;
            self.members.extend(change);
            return Ok(());
        }
        if place.attribute.mutability == Mutability::WriteOnly {
            return coerced(place.attribute, value.clone()).map(drop);
        }
        self.within(place.extension, |of| {
            if path.filter.is_some() || place.attribute.multi_valued {
                many(of, verb, path, place, value)
            } else {
                one(of, verb, place, value)
            }
        })
    }

    /// Has `change` work where the attributes of an extension are.
    fn within(
        &mut self,
        extension: Option<&'static Schema>,
        change: impl FnOnce(&mut Map<String, Value>) -> Result<(), ScimError>,
    ) -> Result<(), ScimError> {
        let Some(schema) = extension else {
            return change(&mut self.after);
        };
        let mut of = match take(&mut self.after, schema.id) {
            Some(Value::Object(of)) => of,
            _ => Map::new(),
        };
        change(&mut of)?;
        put(&mut self.after, schema.id, Value::Object(of));
        Ok(())
    }
}

pub(super) fn invalid(path: &Path) -> ScimError {
    ScimError::InvalidPath(shown(&path.to_string()))
}

/// An attribute with one value.
fn one(
    of: &mut Map<String, Value>,
    verb: Verb,
    place: Place,
    value: &Value,
) -> Result<(), ScimError> {
    let attribute = place.attribute;
    let value = match (verb, place.sub) {
        (Verb::Remove, None) => Value::Null,
        (Verb::Remove, Some(sub)) => {
            let mut parts = object(take(of, attribute.name));
            take(&mut parts, sub.name);
            Value::Object(parts)
        }
        (_, Some(sub)) => {
            let value = super::super::resource::coerce::coerced_sub(attribute, sub, value.clone())?;
            let mut parts = object(take(of, attribute.name));
            put(&mut parts, sub.name, value);
            Value::Object(parts)
        }
        // Parts that are not named stay as they are; those that are null go.
        (_, None) if attribute.kind == Kind::Complex => match value {
            Value::Object(given) => {
                let given = plain_names(attribute, given);
                let set = object_of(coerced(attribute, Value::Object(given.clone()))?);
                let mut parts = object(take(of, attribute.name));
                for name in given.keys() {
                    if let Some(sub) = attribute.sub(name).filter(|sub| sub.is_writable()) {
                        let value = set.get(sub.name).cloned().unwrap_or_default();
                        put(&mut parts, sub.name, value);
                    }
                }
                Value::Object(parts)
            }
            other => coerced(attribute, other.clone())?,
        },
        (_, None) => coerced(attribute, value.clone())?,
    };
    put(of, attribute.name, value);
    Ok(())
}

/// The members without those that name no part.
fn plain_names(attribute: &Attribute, given: &Map<String, Value>) -> Map<String, Value> {
    let known = given
        .iter()
        .filter(|(name, _)| attribute.sub(name).is_some());
    known
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn object(value: Option<Value>) -> Map<String, Value> {
    value.map(object_of).unwrap_or_default()
}

fn object_of(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// An attribute with a list of values.
fn many(
    of: &mut Map<String, Value>,
    verb: Verb,
    path: &Path,
    place: Place,
    value: &Value,
) -> Result<(), ScimError> {
    let attribute = place.attribute;
    if !attribute.multi_valued {
        return Err(invalid(path));
    }
    let list = match get(of, attribute.name) {
        Some(Value::Array(list)) => list.clone(),
        None | Some(Value::Null) => Vec::new(),
        Some(single) => vec![single.clone()],
    };
    let mut values = Values::new(attribute, list);
    match (&path.filter, place.sub) {
        (None, None) => match verb {
            Verb::Add => values.add(value)?,
            Verb::Replace => values.replace_all(value)?,
            Verb::Remove if value.is_null() => values.remove_all(),
            Verb::Remove => values.remove_these(value)?,
        },
        (None, Some(sub)) => values.set_sub(None, verb, sub, value)?,
        (Some(filter), sub) => {
            let found = values.found(filter).map_err(|_| invalid(path))?;
            if found.is_empty() {
                let made = match verb {
                    Verb::Remove => false,
                    Verb::Add | Verb::Replace => values.make(filter, sub, value)?,
                };
                if !made {
                    return Err(ScimError::NoTarget(shown(&path.to_string())));
                }
            } else {
                match (verb, sub) {
                    (_, Some(sub)) => values.set_sub(Some(&found), verb, sub, value)?,
                    (Verb::Add, None) => values.merge(&found, value)?,
                    (Verb::Replace, None) => values.replace(&found, value)?,
                    (Verb::Remove, None) => values.remove(&found),
                }
            }
        }
    }
    put(of, attribute.name, values.finish()?);
    Ok(())
}

/// A path to a plain attribute, for what stands in a filter.
pub(super) fn is_plain(path: &AttrPath) -> bool {
    path.urn.is_none() && path.sub.is_none()
}
