//! Where things are: the checkout, and the cache that checkouts share.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::failure::{Doing, Failure};

#[derive(Clone, Debug)]
pub struct Place {
    /// The checkout.
    pub root: PathBuf,
    /// What is built or installed once, for all checkouts.
    pub cache: PathBuf,
}

impl Place {
    pub fn find() -> Result<Self, Failure> {
        // Cargo names the crate's folder when it runs us; what was compiled in is for running the
        // binary by hand.
        let crate_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = crate_dir
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or(crate_dir);
        let cache = cache_dir()?;
        fs::create_dir_all(&cache).doing(format!("making the cache {}", cache.display()))?;
        Ok(Self { root, cache })
    }

    /// The version of `package` that Cargo.lock fixes.
    pub fn locked_version(&self, package: &str) -> Result<String, Failure> {
        let file = self.root.join("Cargo.lock");
        let text = fs::read_to_string(&file).doing(format!("reading {}", file.display()))?;
        version_in_lockfile(&text, package)
            .map(str::to_owned)
            .ok_or_else(|| Failure::step(format!("Cargo.lock has no package {package}")))
    }

    /// Compiler output, shared so that a second checkout need not compile the dependencies again.
    pub fn target_dir(&self) -> PathBuf {
        self.cache.join("target")
    }
}

fn cache_dir() -> Result<PathBuf, Failure> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let dir = set("PORTCULLIS_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("portcullis")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/portcullis")));
    match dir {
        Some(dir) => std::path::absolute(&dir).doing(format!("finding {}", dir.display())),
        None => Err(Failure::missing(
            "there is no home directory to keep a cache in",
            "export PORTCULLIS_CACHE=/some/directory",
        )),
    }
}

fn version_in_lockfile<'a>(lockfile: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lockfile.lines().skip_while(|line| *line != name).skip(1);
    lines
        .next()?
        .strip_prefix("version = \"")?
        .strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::version_in_lockfile;

    const LOCKFILE: &str = "[[package]]\nname = \"wasm-bindgen-macro\"\nversion = \"0.1.0\"\n\n\
                            [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";

    #[test]
    fn locked_version_is_that_of_the_exact_name() {
        assert_eq!(
            version_in_lockfile(LOCKFILE, "wasm-bindgen"),
            Some("0.2.130")
        );
        assert_eq!(version_in_lockfile(LOCKFILE, "wasm"), None);
    }
}
