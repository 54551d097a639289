//! What a provider reads before it begins: `/Schemas`, `/ResourceTypes` and `/ServiceProviderConfig`
//! (RFC 7643 sections 5 to 7, RFC 7644 section 4).
//!
//! `types` are the types of resources that the service has; only of those is anything said. `base` is the connection's SCIM URL without a slash at its end.

use super::super::bulk;
use super::{Attribute, Kind, ResourceType, Schema};
use serde_json::{Map, Value, json};

const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const CONFIG: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";

/// What the service does at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most resources of an answer.
    pub max_results: u32,
    /// Of Bulk requests; `None`: there are none.
    pub bulk: Option<bulk::Limits>,
}

/// Every schema.
#[must_use]
pub fn schemas(types: &[&'static ResourceType], base: &str) -> Vec<Value> {
    known(types)
        .map(|schema| schema_document(schema, base))
        .collect()
}

/// The schema of that URN.
#[must_use]
pub fn schema(types: &[&'static ResourceType], urn: &str, base: &str) -> Option<Value> {
    let found = known(types).find(|schema| schema.is(urn))?;
    Some(schema_document(found, base))
}

fn known(types: &[&'static ResourceType]) -> impl Iterator<Item = &'static Schema> {
    let of = |one: &&'static ResourceType| {
        std::iter::once(one.schema).chain(one.extensions.iter().copied())
    };
    types.iter().flat_map(of)
}

/// Every type of resources.
#[must_use]
pub fn resource_types(types: &[&'static ResourceType], base: &str) -> Vec<Value> {
    types.iter().map(|one| type_document(one, base)).collect()
}

/// The type of that name.
#[must_use]
pub fn resource_type(types: &[&'static ResourceType], name: &str, base: &str) -> Option<Value> {
    let found = types.iter().find(|one| one.name == name)?;
    Some(type_document(found, base))
}

/// What the service can do.
#[must_use]
pub fn service_provider_config(base: &str, limits: Limits) -> Value {
    json!({
        "schemas": [CONFIG],
        "patch": {"supported": true},
        "bulk": {
            "supported": limits.bulk.is_some(),
            "maxOperations": limits.bulk.map_or(0, |bulk| bulk.max_operations),
            "maxPayloadSize": limits.bulk.map_or(0, |bulk| bulk.max_payload_bytes),
        },
        "filter": {"supported": true, "maxResults": limits.max_results},
        "changePassword": {"supported": false},
        "sort": {"supported": true},
        "etag": {"supported": true},
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer",
            "description": "The secret of SCIM clients as a bearer token.",
            "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base}/ServiceProviderConfig"),
        },
    })
}

fn type_document(one: &ResourceType, base: &str) -> Value {
    let extensions = one
        .extensions
        .iter()
        .map(|extension| json!({"schema": extension.id, "required": false}));
    json!({
        "schemas": [RESOURCE_TYPE],
        "id": one.name,
        "name": one.name,
        "endpoint": one.endpoint,
        "description": one.description,
        "schema": one.schema.id,
        "schemaExtensions": extensions.collect::<Vec<_>>(),
        "meta": {
            "resourceType": "ResourceType",
            "location": format!("{base}/ResourceTypes/{}", one.name),
        },
    })
}

fn schema_document(schema: &Schema, base: &str) -> Value {
    json!({
        "schemas": [SCHEMA],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": schema.attributes.iter().map(attribute_document).collect::<Vec<_>>(),
        "meta": {
            "resourceType": "Schema",
            "location": format!("{base}/Schemas/{}", schema.id),
        },
    })
}

fn attribute_document(attribute: &Attribute) -> Value {
    let mut document = Map::new();
    let mut say = |name: &str, value: Value| document.insert(name.to_owned(), value);
    say("name", json!(attribute.name));
    say("type", json!(attribute.kind.as_str()));
    say("multiValued", json!(attribute.multi_valued));
    say("description", json!(attribute.description));
    say("required", json!(attribute.required));
    say("mutability", json!(attribute.mutability.as_str()));
    say("returned", json!(attribute.returned.as_str()));
    if !matches!(attribute.kind, Kind::Boolean | Kind::DateTime) {
        let uniqueness = if attribute.unique { "server" } else { "none" };
        say("uniqueness", json!(uniqueness));
    }
    if matches!(
        attribute.kind,
        Kind::String | Kind::Reference | Kind::Binary
    ) {
        say("caseExact", json!(attribute.case_exact));
    }
    if !attribute.canonical_values.is_empty() {
        say("canonicalValues", json!(attribute.canonical_values));
    }
    if !attribute.reference_types.is_empty() {
        say("referenceTypes", json!(attribute.reference_types));
    }
    if !attribute.sub_attributes.is_empty() {
        let parts = attribute.sub_attributes.iter().map(attribute_document);
        say("subAttributes", parts.collect());
    }
    Value::Object(document)
}

#[cfg(test)]
mod tests {
    use super::super::{GROUP, USER, USER_CORE};
    use super::*;

    const TYPES: [&ResourceType; 2] = [&USER, &GROUP];

    const BASE: &str = "https://x.example/scim/v2";

    #[test]
    fn each_schema_and_type_is_found_by_its_id_and_nothing_else_is() {
        let all = schemas(&TYPES, BASE);
        assert_eq!(all.len(), 3);
        for document in all {
            let id = document["id"].as_str().expect("an id");
            assert_eq!(schema(&TYPES, id, BASE).as_ref(), Some(&document));
            let location = document["meta"]["location"].as_str().expect("a location");
            assert_eq!(location, format!("{BASE}/Schemas/{id}"));
        }
        for document in resource_types(&TYPES, BASE) {
            let id = document["id"].as_str().expect("an id");
            assert_eq!(resource_type(&TYPES, id, BASE).as_ref(), Some(&document));
            let core = document["schema"].as_str().expect("a schema");
            assert!(schema(&TYPES, core, BASE).is_some());
        }
        assert_eq!(schema(&TYPES, "urn:x", BASE), None);
        assert_eq!(resource_type(&TYPES, "Printer", BASE), None);
    }

    #[test]
    fn of_types_that_the_service_does_not_have_nothing_is_said() {
        let users: [&ResourceType; 1] = [&USER];
        assert_eq!(schemas(&users, BASE).len(), 2);
        assert_eq!(schema(&users, GROUP.schema.id, BASE), None);
        assert_eq!(resource_types(&users, BASE).len(), 1);
        assert_eq!(resource_type(&users, "Group", BASE), None);
    }

    #[test]
    fn the_published_characteristics_are_those_that_decide() {
        let user = schema(&TYPES, USER_CORE.id, BASE).expect("there");
        let attributes = user["attributes"].as_array().expect("a list");
        let of = |name: &str| {
            let found = attributes.iter().find(|one| one["name"] == name);
            found.expect(name).clone()
        };
        let name = of("userName");
        assert_eq!(
            (&name["required"], &name["uniqueness"]),
            (&json!(true), &json!("server"))
        );
        assert_eq!(name["caseExact"], false);
        let password = of("password");
        assert_eq!(password["mutability"], "writeOnly");
        assert_eq!(password["returned"], "never");
        assert_eq!(of("groups")["mutability"], "readOnly");
        assert_eq!(of("emails")["multiValued"], true);
        let kinds = &of("emails")["subAttributes"][2]["canonicalValues"];
        assert_eq!(kinds, &json!(["work", "home", "other"]));
        assert_eq!(of("profileUrl")["referenceTypes"], json!(["external"]));
        assert_eq!(attributes.len(), USER_CORE.attributes.len());
    }

    #[test]
    fn the_limits_are_published() {
        let limits = Limits {
            max_results: 100,
            bulk: Some(bulk::Limits {
                max_operations: 7,
                max_payload_bytes: 9,
            }),
        };
        let config = service_provider_config(BASE, limits);
        assert_eq!(config["bulk"]["supported"], true);
        assert_eq!(config["bulk"]["maxOperations"], 7);
        assert_eq!(config["bulk"]["maxPayloadSize"], 9);
        assert_eq!(config["filter"]["maxResults"], 100);
        let without = Limits {
            bulk: None,
            ..limits
        };
        let bulk = &service_provider_config(BASE, without)["bulk"];
        let nothing = json!({"supported": false, "maxOperations": 0, "maxPayloadSize": 0});
        assert_eq!(bulk, &nothing);
    }
}
