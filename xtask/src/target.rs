//! The target directory that checkouts share, and whose turn it is.
//!
//! Cargo names a workspace member's output by its place in the workspace, which is the same in
//! every checkout, and judges its freshness by file times. So what another checkout compiled later
//! would pass for ours. The directory therefore notes whose it is; when that changes, the members'
//! fingerprints go and they are compiled anew. Dependencies are the same for all and stay.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    failure::{Doing, Failure},
    place::Place,
    progress::note,
};

/// Makes the target directory this checkout's. The caller holds the lock that says it may.
pub fn take_over(place: &Place) -> Result<(), Failure> {
    let target = place.target_dir();
    let owner = target.join("checkout");
    let ours = place.root.to_string_lossy().into_owned();
    if fs::read_to_string(&owner).is_ok_and(|theirs| theirs == ours) {
        return Ok(());
    }
    let forgotten = forget_members(&target)?;
    if forgotten > 0 {
        note("the target directory was another checkout's: compiling our own crates anew");
    }
    fs::create_dir_all(&target).doing(format!("making {}", target.display()))?;
    fs::write(&owner, ours).doing(format!("writing {}", owner.display()))
}

/// Removes the fingerprints of workspace members, of every profile and target.
fn forget_members(target: &Path) -> Result<usize, Failure> {
    let mut forgotten = 0;
    let profiles = children(target)
        .into_iter()
        .flat_map(|child| [children(&child), vec![child]].concat());
    for fingerprint in profiles.flat_map(|profile| children(&profile.join(".fingerprint"))) {
        let name = fingerprint.file_name().unwrap_or_default();
        if is_member(&name.to_string_lossy()) {
            fs::remove_dir_all(&fingerprint)
                .doing(format!("removing {}", fingerprint.display()))?;
            forgotten += 1;
        }
    }
    Ok(forgotten)
}

/// Whether a fingerprint's folder, `NAME-HASH`, is of a crate of this workspace.
fn is_member(folder: &str) -> bool {
    folder.starts_with("portcullis-") || folder.starts_with("xtask-")
}

fn children(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_owner_forgets_members_of_every_profile_and_keeps_dependencies() {
        let cache = std::env::temp_dir().join(format!("portcullis-target-{}", std::process::id()));
        let place = |root: &str| Place {
            root: root.into(),
            cache: cache.clone(),
        };
        let fingerprint = |path: &str| cache.join("target").join(path);
        let members = [
            "debug/.fingerprint/portcullis-core-0123",
            "wasm32-unknown-unknown/release/.fingerprint/portcullis-0123",
        ];
        let dependency = fingerprint("debug/.fingerprint/serde-0123");
        take_over(&place("/a")).expect("takes over");
        for path in members.map(fingerprint).iter().chain([&dependency]) {
            fs::create_dir_all(path).expect("a folder");
        }
        take_over(&place("/a")).expect("takes over");
        assert!(members.map(fingerprint).iter().all(|path| path.exists()));
        take_over(&place("/b")).expect("takes over");
        assert!(!members.map(fingerprint).iter().any(|path| path.exists()));
        assert!(dependency.exists());
        fs::remove_dir_all(&cache).expect("cleans up");
    }
}
