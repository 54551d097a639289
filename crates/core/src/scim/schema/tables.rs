//! The tables. Attributes and characteristics are those of RFC 7643 section 8.7, in its order; where
//! this service says something else, a comment says why.

use super::{Attribute, Kind, Mutability, ResourceType, Returned, Schema};

const fn attribute(name: &'static str, kind: Kind, description: &'static str) -> Attribute {
    Attribute {
        name,
        description,
        kind,
        multi_valued: false,
        required: false,
        case_exact: false,
        mutability: Mutability::ReadWrite,
        returned: Returned::Default,
        unique: false,
        canonical_values: &[],
        reference_types: &[],
        sub_attributes: &[],
    }
}

const fn text(name: &'static str, description: &'static str) -> Attribute {
    attribute(name, Kind::String, description)
}

const fn reference(
    name: &'static str,
    types: &'static [&'static str],
    description: &'static str,
) -> Attribute {
    let mut made = attribute(name, Kind::Reference, description).exact();
    made.reference_types = types;
    made
}

const fn complex(
    name: &'static str,
    parts: &'static [Attribute],
    description: &'static str,
) -> Attribute {
    let mut made = attribute(name, Kind::Complex, description);
    made.sub_attributes = parts;
    made
}

const fn kind_of(values: &'static [&'static str]) -> Attribute {
    let mut made = text("type", "What kind of value it is.");
    made.canonical_values = values;
    made
}

const fn display() -> Attribute {
    text("display", "What people are shown.")
}

const fn primary() -> Attribute {
    attribute(
        "primary",
        Kind::Boolean,
        "Whether it is the preferred one; at most one is.",
    )
}

impl Attribute {
    const fn many(mut self) -> Self {
        self.multi_valued = true;
        self
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn exact(mut self) -> Self {
        self.case_exact = true;
        self
    }

    const fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    const fn read_only(mut self) -> Self {
        self.mutability = Mutability::ReadOnly;
        self
    }

    const fn immutable(mut self) -> Self {
        self.mutability = Mutability::Immutable;
        self
    }

    const fn always(mut self) -> Self {
        self.returned = Returned::Always;
        self
    }
}

const META: &[Attribute] = &[
    text("resourceType", "The type's name.").exact().read_only(),
    attribute("created", Kind::DateTime, "When it was created.").read_only(),
    attribute("lastModified", Kind::DateTime, "When it last changed.").read_only(),
    reference("location", &["uri"], "Where it is.").read_only(),
    text("version", "Its entity tag.").exact().read_only(),
];

/// What every resource has (RFC 7643 section 3); in no schema.
pub(super) const COMMON: &[Attribute] = &[
    reference(
        "schemas",
        &["uri"],
        "The schemas whose attributes it may have.",
    )
    .many()
    .always(),
    text("id", "The service's name for it.")
        .exact()
        .unique()
        .read_only()
        .always(),
    text("externalId", "The provider's name for it.").exact(),
    complex("meta", META, "What the service says of it.").read_only(),
];

const NAME: &[Attribute] = &[
    text("formatted", "The whole name, for display."),
    text("familyName", "The family name."),
    text("givenName", "The given name."),
    text("middleName", "The middle names."),
    text("honorificPrefix", "Titles before the name."),
    text("honorificSuffix", "Titles behind the name."),
];

const EMAIL: &[Attribute] = &[
    text("value", "The address."),
    display(),
    kind_of(&["work", "home", "other"]),
    primary(),
];

const PHONE_NUMBER: &[Attribute] = &[
    text("value", "The number."),
    display(),
    kind_of(&["work", "home", "mobile", "fax", "pager", "other"]),
    primary(),
];

const IM: &[Attribute] = &[
    text("value", "The address."),
    display(),
    kind_of(&["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"]),
    primary(),
];

const PHOTO: &[Attribute] = &[
    reference("value", &["external"], "Where the photo is."),
    display(),
    kind_of(&["photo", "thumbnail"]),
    primary(),
];

const ADDRESS: &[Attribute] = &[
    text("formatted", "The whole address, for display."),
    text("streetAddress", "Street and house."),
    text("locality", "City."),
    text("region", "State or region."),
    text("postalCode", "Postal code."),
    text("country", "Country, by its code of two letters."),
    kind_of(&["work", "home", "other"]),
    primary(),
];

const GROUP_OF_USER: &[Attribute] = &[
    text("value", "The group's id.").exact().read_only(),
    reference("$ref", &["Group"], "Where the group is.").read_only(),
    text("display", "The group's name.").read_only(),
    // Groups are in no groups here, so nobody is a member indirectly.
    {
        let mut made = text("type", "How the user came to be a member.").read_only();
        made.canonical_values = &["direct"];
        made
    },
];

const PLAIN_VALUE: &[Attribute] = &[
    text("value", "The value."),
    display(),
    kind_of(&[]),
    primary(),
];

const CERTIFICATE: &[Attribute] = &[
    attribute("value", Kind::Binary, "The certificate, as DER.").exact(),
    display(),
    kind_of(&[]),
    primary(),
];

const PASSWORD: Attribute = {
    let mut made = text(
        "password",
        "Accepted and thrown away: nobody logs in here with one.",
    )
    .exact();
    made.mutability = Mutability::WriteOnly;
    made.returned = Returned::Never;
    made
};

/// The core schema of users.
pub static USER_CORE: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:User",
    name: "User",
    description: "User Account",
    attributes: &[
        text("userName", "Identifies the user to the provider.")
            .required()
            .unique(),
        complex("name", NAME, "The parts of the user's name."),
        text("displayName", "What the user is called."),
        text("nickName", "What the user is called casually."),
        reference("profileUrl", &["external"], "A page about the user."),
        text("title", "The user's title at work."),
        text("userType", "How the user belongs to the organisation."),
        text("preferredLanguage", "The languages the user prefers."),
        text("locale", "Where the user is, for formats."),
        text("timezone", "The user's time zone."),
        attribute(
            "active",
            Kind::Boolean,
            "Whether the user may log in. Without it the user may not.",
        ),
        PASSWORD,
        complex("emails", EMAIL, "Addresses for mail.").many(),
        complex("phoneNumbers", PHONE_NUMBER, "Telephone numbers.").many(),
        complex("ims", IM, "Addresses for instant messages.").many(),
        complex("photos", PHOTO, "Pictures of the user.").many(),
        complex("addresses", ADDRESS, "Postal addresses.").many(),
        complex(
            "groups",
            GROUP_OF_USER,
            "The groups that have the user as a member.",
        )
        .many()
        .read_only(),
        complex("entitlements", PLAIN_VALUE, "What the user is entitled to.").many(),
        complex("roles", PLAIN_VALUE, "What the user is.").many(),
        complex("x509Certificates", CERTIFICATE, "The user's certificates.").many(),
    ],
};

const MANAGER: &[Attribute] = &[
    text("value", "The manager's id.").exact(),
    reference("$ref", &["User"], "Where the manager is."),
    text("displayName", "The manager's name.").read_only(),
];

/// The enterprise extension of users (RFC 7643 section 4.3).
pub static ENTERPRISE: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    name: "EnterpriseUser",
    description: "Enterprise User",
    attributes: &[
        text("employeeNumber", "The user's number."),
        text("costCenter", "The user's cost center."),
        text("organization", "The user's organisation."),
        text("division", "The user's division."),
        text("department", "The user's department."),
        complex("manager", MANAGER, "The user's manager."),
    ],
};

const MEMBER: &[Attribute] = &[
    text("value", "The member's id.").exact().immutable(),
    reference("$ref", &["User"], "Where the member is.").immutable(),
    // Not in the RFC's listing, but in its examples and in what providers send; the service says it.
    text("display", "The member's name.").read_only(),
    {
        let mut made = text("type", "The member's type: groups are no members here.").immutable();
        made.canonical_values = &["User"];
        made
    },
];

/// The schema of groups.
pub static GROUP_SCHEMA: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:Group",
    name: "Group",
    description: "Group",
    attributes: &[
        // REQUIRED by RFC 7643 section 4.2, though not in its listing. Roles go by it, so each has its own.
        text("displayName", "The group's name.").required().unique(),
        complex("members", MEMBER, "Who belongs to the group.").many(),
    ],
};

/// Users.
pub static USER: ResourceType = ResourceType {
    name: "User",
    endpoint: "/Users",
    description: "User Account",
    schema: &USER_CORE,
    extensions: &[&ENTERPRISE],
};

/// Groups.
pub static GROUP: ResourceType = ResourceType {
    name: "Group",
    endpoint: "/Groups",
    description: "Group",
    schema: &GROUP_SCHEMA,
    extensions: &[],
};
