//! What names parts of the audit log, and what is signed about it.

use portcullis_core::audit::log::bundle;
use portcullis_core::audit::log::checkpoint::{CheckpointVerifier, Origin};
use portcullis_core::audit::log::path::{EntryBundle, HashTile};

/// A name has one spelling, a bundle is read whole or not at all, and nobody but the key's holder makes a checkpoint.
pub fn audit_log(data: &[u8]) {
    if let Some(entries) = bundle::decode(data) {
        assert_eq!(bundle::encode(entries).as_deref(), Some(data));
    }
    let origin = Origin::parse("id.example/audit/lane/0").expect("an origin");
    let key = CheckpointVerifier::new(origin, [3; 32]);
    assert!(key.open(data).is_err());
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Some(tile) = HashTile::parse(text) {
        assert_eq!(tile.to_string(), format!("tile/{text}"));
    }
    if let Some(bundle) = EntryBundle::parse(text) {
        assert_eq!(bundle.to_string(), format!("tile/entries/{text}"));
    }
    if let Some(key) = CheckpointVerifier::from_vkey(text) {
        assert_eq!(key.to_vkey(), text);
    }
}
