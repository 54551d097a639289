//! The schemas of users and groups (RFC 7643 sections 4, 7 and 8.7) as one table.
//!
//! Everything that must know an attribute asks here: what a body may say ([`super::resource`]), what
//! a path means ([`super::path`]), how a filter compares ([`super::filter`]), what a PATCH may touch
//! ([`super::patch`]), and what `/Schemas` publishes ([`documents`]). So none of them can differ.
//!
//! Names of attributes and URNs are found in any case (RFC 7643 section 2.1). Canonical values are
//! published and not enforced, as section 2.3.1 allows: providers invent types.
//!
//! Out of scope: custom schemas. No attribute is a number, so there is no kind for one.

pub mod documents;
mod tables;

pub use tables::{ENTERPRISE, GROUP, GROUP_SCHEMA, USER, USER_CORE};

use super::path::AttrPath;

/// What a value is (RFC 7643 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// A truth value.
    Boolean,
    /// An instant, as RFC 3339 writes it.
    DateTime,
    /// A URI.
    Reference,
    /// base64.
    Binary,
    /// An object of sub-attributes.
    Complex,
}

impl Kind {
    /// As schemas spell it (RFC 7643 section 7).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Boolean => "boolean",
            Self::DateTime => "dateTime",
            Self::Reference => "reference",
            Self::Binary => "binary",
            Self::Complex => "complex",
        }
    }
}

/// Who may change it (RFC 7643 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    /// The service alone; what clients say of it is ignored, or refused where they name it.
    ReadOnly,
    /// Clients, at any time.
    ReadWrite,
    /// Clients, once.
    Immutable,
    /// Clients, and nobody reads it.
    WriteOnly,
}

impl Mutability {
    /// As schemas spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "readOnly",
            Self::ReadWrite => "readWrite",
            Self::Immutable => "immutable",
            Self::WriteOnly => "writeOnly",
        }
    }
}

/// When it is answered (RFC 7643 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// Whatever is asked for.
    Always,
    /// Not at all.
    Never,
    /// Unless it is excluded, or others are asked for.
    Default,
    /// Only if it is asked for.
    Request,
}

impl Returned {
    /// As schemas spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
            Self::Default => "default",
            Self::Request => "request",
        }
    }
}

/// An attribute with its characteristics.
#[expect(
    clippy::struct_excessive_bools,
    reason = "RFC 7643 section 7 has them so, and the table reads like it"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, as it is written.
    pub name: &'static str,
    /// For a person to read.
    pub description: &'static str,
    /// What a value is.
    pub kind: Kind,
    /// Whether there is a list of them.
    pub multi_valued: bool,
    /// Whether a resource must have it.
    pub required: bool,
    /// Whether letters of another case are another value.
    pub case_exact: bool,
    /// Who may change it.
    pub mutability: Mutability,
    /// When it is answered.
    pub returned: Returned,
    /// Whether no other resource of the connection may have the same value.
    pub unique: bool,
    /// Values that clients should use.
    pub canonical_values: &'static [&'static str],
    /// What a reference may lead to.
    pub reference_types: &'static [&'static str],
    /// What a complex value consists of.
    pub sub_attributes: &'static [Attribute],
}

impl Attribute {
    /// The sub-attribute of that name, in any case.
    #[must_use]
    pub fn sub(&self, name: &str) -> Option<&'static Attribute> {
        named(self.sub_attributes, name)
    }

    /// Whether clients may write it.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.mutability != Mutability::ReadOnly
    }
}

/// A schema.
#[derive(Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its URN.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// For a person to read.
    pub description: &'static str,
    /// Its attributes.
    pub attributes: &'static [Attribute],
}

impl Schema {
    /// Whether that is its URN, in any case.
    #[must_use]
    pub fn is(&self, urn: &str) -> bool {
        self.id.eq_ignore_ascii_case(urn)
    }
}

/// A type of resources (RFC 7643 section 6).
#[derive(Debug, PartialEq, Eq)]
pub struct ResourceType {
    /// Its name, as in `meta.resourceType`.
    pub name: &'static str,
    /// Where its resources are, below the base URL.
    pub endpoint: &'static str,
    /// For a person to read.
    pub description: &'static str,
    /// Its core schema.
    pub schema: &'static Schema,
    /// Schemas that a resource may have besides.
    pub extensions: &'static [&'static Schema],
}

/// An attribute of a resource, or a sub-attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The extension it belongs to; `None`: the core schema, or what all resources have.
    pub extension: Option<&'static Schema>,
    /// The attribute.
    pub attribute: &'static Attribute,
    /// The part of it that is meant.
    pub sub: Option<&'static Attribute>,
}

impl Place {
    /// What the value there is: the sub-attribute's, if one is meant.
    #[must_use]
    pub fn leaf(&self) -> &'static Attribute {
        self.sub.unwrap_or(self.attribute)
    }
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The resource itself, by its core schema's URN.
    Core,
    /// All of an extension.
    Extension(&'static Schema),
    /// An attribute.
    Place(Place),
}

impl ResourceType {
    /// What `path` names here, if it is anything.
    #[must_use]
    pub fn resolve(&self, path: &AttrPath) -> Option<Target> {
        let Some(urn) = path.urn.as_deref() else {
            return self.core(&path.name, path.sub.as_deref());
        };
        if self.schema.is(urn) {
            return self.core(&path.name, path.sub.as_deref());
        }
        if let Some(schema) = self.extension(urn) {
            return within(schema, &path.name, path.sub.as_deref());
        }
        // The URN alone looks like an attribute of a shorter one. And some clients write a dot
        // where a colon belongs.
        let whole = format!("{urn}:{}", path.name);
        let sub = path.sub.as_deref();
        if self.schema.is(&whole) {
            return sub.map_or(Some(Target::Core), |name| self.core(name, None));
        }
        let schema = self.extension(&whole)?;
        sub.map_or(Some(Target::Extension(schema)), |name| {
            within(schema, name, None)
        })
    }

    /// The extension of that URN, in any case.
    #[must_use]
    pub fn extension(&self, urn: &str) -> Option<&'static Schema> {
        self.extensions.iter().copied().find(|known| known.is(urn))
    }

    /// The attribute of that name: of the core schema, or of what every resource has.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        named(self.schema.attributes, name).or_else(|| named(tables::COMMON, name))
    }

    /// Every attribute outside of extensions.
    pub fn attributes(&self) -> impl Iterator<Item = &'static Attribute> {
        tables::COMMON.iter().chain(self.schema.attributes)
    }

    fn core(&self, name: &str, sub: Option<&str>) -> Option<Target> {
        place(None, self.attribute(name)?, sub)
    }
}

fn within(schema: &'static Schema, name: &str, sub: Option<&str>) -> Option<Target> {
    place(Some(schema), named(schema.attributes, name)?, sub)
}

fn place(
    extension: Option<&'static Schema>,
    attribute: &'static Attribute,
    sub: Option<&str>,
) -> Option<Target> {
    let sub = match sub {
        None => None,
        Some(name) => Some(attribute.sub(name)?),
    };
    Some(Target::Place(Place {
        extension,
        attribute,
        sub,
    }))
}

fn named(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes
        .iter()
        .find(|known| known.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(path: &str) -> Option<Target> {
        USER.resolve(&AttrPath::parse(path)?)
    }

    fn leaf(path: &str) -> Option<&'static str> {
        match resolve(path)? {
            Target::Place(place) => Some(place.leaf().name),
            _ => None,
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_behind_their_urn() {
        assert_eq!(leaf("USERNAME"), Some("userName"));
        assert_eq!(leaf("Name.GIVENNAME"), Some("givenName"));
        assert_eq!(
            leaf("urn:ietf:params:scim:schemas:core:2.0:User:name.givenName"),
            Some("givenName")
        );
        assert_eq!(
            leaf("URN:IETF:params:scim:schemas:extension:enterprise:2.0:user:Department"),
            Some("department")
        );
        assert_eq!(
            leaf("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.department"),
            Some("department")
        );
        assert_eq!(leaf("id"), Some("id"));
        assert_eq!(leaf("meta.lastModified"), Some("lastModified"));
    }

    #[test]
    fn a_urn_alone_is_its_schema() {
        assert_eq!(
            resolve("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"),
            Some(Target::Extension(&ENTERPRISE))
        );
        assert_eq!(resolve(USER_CORE.id), Some(Target::Core));
    }

    #[test]
    fn what_is_not_in_the_table_is_nowhere() {
        for path in [
            "department",
            "userName.x",
            "name.department",
            "urn:ietf:params:scim:schemas:core:2.0:Group:displayName",
            "urn:ietf:params:scim:schemas:core:2.0:User:department",
            "urn:x:y",
        ] {
            assert_eq!(resolve(path), None, "{path}");
        }
    }

    #[test]
    fn the_table_is_consistent() {
        for resource in [&USER, &GROUP] {
            let of_extensions = resource.extensions.iter().flat_map(|one| one.attributes);
            for attribute in resource.attributes().chain(of_extensions) {
                let name = attribute.name;
                let is_complex = attribute.kind == Kind::Complex;
                assert_eq!(is_complex, !attribute.sub_attributes.is_empty(), "{name}");
                let references = attribute.kind == Kind::Reference;
                assert_eq!(references, !attribute.reference_types.is_empty(), "{name}");
                for sub in attribute.sub_attributes {
                    assert!(sub.sub_attributes.is_empty(), "{name}.{}", sub.name);
                    assert!(!sub.description.is_empty(), "{name}.{}", sub.name);
                }
            }
        }
    }
}
