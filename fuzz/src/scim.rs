//! Provisioning: filters, users and changes to them.

use crate::parted;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::filter::user_name_eq;
use portcullis_core::scim::patch::patched;
use portcullis_core::scim::user::User;

/// As a filter, as a user, and as `USER \0 PATCH`.
pub fn scim(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        if let Ok(name) = user_name_eq(text) {
            let filter = format!("userName eq {}", serde_json::json!(name));
            assert_eq!(user_name_eq(&filter), Ok(name));
        }
        let _ = read(User::parse(text));
    }
    let Some((user, patch)) = parted(data) else {
        return;
    };
    let base = r#"{"userName":"alice","externalId":"1","name":{"givenName":"A"}}"#;
    for user in [user, base] {
        if let Ok(user) = User::parse(user) {
            let _ = read(patched(&user, patch));
        }
    }
}

/// A user that was accepted is somebody, and hides no second spelling of what decides.
fn read(user: Result<User, ScimError>) -> Result<User, ScimError> {
    let user = user?;
    assert!(!user.user_name.is_empty());
    for name in user.attributes.keys() {
        for decided in ["userName", "externalId", "active", "id", "meta", "password"] {
            assert!(!name.eq_ignore_ascii_case(decided), "{name}");
        }
    }
    Ok(user)
}
