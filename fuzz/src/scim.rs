//! Provisioning: users and changes to them.

use crate::parted;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::user::User;

/// As a user, as `USER \0 PATCH`, and as `USER \0 USER`, of which the second replaces the first.
pub fn scim(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        let _ = read(User::parse(text));
    }
    let Some((user, change)) = parted(data) else {
        return;
    };
    let base = r#"{"userName":"alice","externalId":"1","name":{"givenName":"A"}}"#;
    for user in [user, base] {
        if let Ok(user) = User::parse(user) {
            let _ = read(user.patched_by(change));
            let _ = read(user.replaced_by(change));
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
