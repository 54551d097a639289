//! Build tools written in Rust: `cargo install` from the registry, once, into the cache.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    failure::{Doing, Failure},
    place::Place,
    process,
    progress::step,
};

/// Installs `package` at `version` unless it is there; returns the folder of its binaries.
///
/// It is installed under a name of its own and renamed when complete, so that an interrupted run
/// leaves nothing that looks installed. The caller holds the set-up lock.
pub fn install(place: &Place, package: &str, version: &str) -> Result<PathBuf, Failure> {
    let tools = place.cache.join("tools");
    let root = tools.join(format!("{package}-{version}"));
    if !root.join(".crates.toml").is_file() {
        step(
            &format!("installing {package} {version} (3 to 6 minutes, once)"),
            || {
                let partial = tools.join(format!(".{package}-{version}.partial"));
                clear(&partial)?;
                process::run(
                    // Without --locked: the lock of one of them names a withdrawn crate.
                    process::command("cargo")
                        .args(["install", package, "--version", version, "--root"])
                        .arg(&partial)
                        .env("CARGO_TARGET_DIR", build_output(place)),
                )?;
                clear(&root)?;
                fs::rename(&partial, &root)
                    .doing(format!("moving {package} into {}", root.display()))
            },
        )?;
    }
    Ok(root.join("bin"))
}

/// What compiling the tools left behind; an interrupted installation continues from it.
pub fn forget_build_output(place: &Place) {
    // Only disk space is at stake.
    let _ = fs::remove_dir_all(build_output(place));
}

fn build_output(place: &Place) -> PathBuf {
    place.cache.join("tools/.target")
}

/// Removes a folder, a file or a link, if there is one.
pub fn clear(path: &Path) -> Result<(), Failure> {
    let Ok(found) = path.symlink_metadata() else {
        return Ok(());
    };
    if found.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
    .doing(format!("removing {}", path.display()))
}
