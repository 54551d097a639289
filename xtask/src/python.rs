//! What comes from the Python registry: `scim2-tester`, which a test runs against the SCIM endpoint, and what judges exports of
//! the audit log. Installed once per file of pinned versions and Python into the cache.
//!
//! Only the end-to-end tests need it, so nothing else asks for a Python.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    failure::{Doing, Failure},
    npm::fingerprint,
    place::Place,
    process,
    progress::step,
    tools::clear,
};

/// Packages that are used together.
struct Set {
    /// What tells tests where they are.
    variable: &'static str,
    /// What they are, relative to the checkout.
    requirements: &'static str,
}

const SETS: [Set; 2] = [
    Set {
        variable: "PORTCULLIS_PYTHON_PACKAGES",
        requirements: "tests/e2e/scim2-tester/requirements.txt",
    },
    Set {
        variable: "PORTCULLIS_PYTHON_ORACLES",
        requirements: "tests/e2e/audit-oracles/requirements.txt",
    },
];

/// The oldest that the packages run on.
const OLDEST: (u32, u32) = (3, 11);

/// Prints the version, and what tells apart Pythons that cannot share compiled packages.
const WHO: &str = "import sys, sysconfig; \
    print(*sys.version_info[:2], sys.implementation.cache_tag, sysconfig.get_platform())";

/// The program; found on the path, so that a virtual environment's is taken.
const PYTHON: &str = "python3";

/// Where the packages of each set are, for `PYTHONPATH`, with the variable that tells tests. The caller holds the build lock, so
/// that nobody else installs.
pub fn install(place: &Place) -> Result<Vec<(&'static str, PathBuf)>, Failure> {
    let python = Python::find()?;
    let of_set = |set: &Set| Ok((set.variable, install_set(place, &python, set.requirements)?));
    SETS.iter().map(of_set).collect()
}

fn install_set(place: &Place, python: &Python, file: &str) -> Result<PathBuf, Failure> {
    let requirements = place.root.join(file);
    let text = fs::read(&requirements).doing(format!("reading {}", requirements.display()))?;
    let name = format!("{}-{}", fingerprint(&text), python.kind);
    let installed = place.cache.join("python").join(&name);
    if !installed.is_dir() {
        step("installing Python packages (a few seconds, once)", || {
            let partial = place.cache.join(format!("python/.{name}.partial"));
            clear(&partial)?;
            pip(&requirements, &partial)?;
            fs::rename(&partial, &installed).doing(format!("moving it to {}", installed.display()))
        })?;
    }
    Ok(installed)
}

struct Python {
    /// Packages that are compiled for one kind cannot be used by another.
    kind: String,
}

impl Python {
    fn find() -> Result<Self, Failure> {
        let (major, minor) = OLDEST;
        let remedy = format!(
            "apt-get install python3 python3-pip        # Debian 12 or later, Ubuntu 24.04 or later\n\
             brew install python                        # macOS\n\
             any Python {major}.{minor} or later with pip will do, as `python3` on the PATH"
        );
        let Some(who) = process::probe(process::command(PYTHON).args(["-c", WHO])) else {
            let what = format!("{PYTHON} is not installed, and the end-to-end tests need it");
            return Err(Failure::missing(what, remedy));
        };
        let Some((version, kind)) = identity(&who) else {
            return Err(Failure::step(format!("{PYTHON} calls itself {who}")));
        };
        if version < OLDEST {
            let what = format!(
                "{PYTHON} is {}.{}, and {major}.{minor} is needed",
                version.0, version.1
            );
            return Err(Failure::missing(what, remedy));
        }
        if process::probe(process::command(PYTHON).args(["-m", "pip", "--version"])).is_none() {
            return Err(Failure::missing(format!("{PYTHON} has no pip"), remedy));
        }
        Ok(Self { kind })
    }
}

/// Version and kind, from what [`WHO`] prints.
fn identity(who: &str) -> Option<((u32, u32), String)> {
    let mut words = who.split_whitespace();
    let mut number = || words.next()?.parse().ok();
    let version = (number()?, number()?);
    let kind: Vec<&str> = words.collect();
    (kind.len() == 2).then(|| (version, kind.join("-")))
}

/// The file names every package, so none is looked for beyond it, and none is built or run to be installed.
fn pip(requirements: &Path, target: &Path) -> Result<(), Failure> {
    let mut pip: Command = process::command(PYTHON);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
    ])
    .args(["--only-binary", ":all:", "--no-warn-script-location"])
    .args(["--disable-pip-version-check", "--root-user-action=ignore"])
    .arg("--target")
    .arg(target)
    .arg("-r")
    .arg(requirements);
    process::output(&mut pip).map(drop).map_err(|failure| {
        Failure::missing(
            format!(
                "pip could not install the packages of {}.\n{failure}",
                requirements.display()
            ),
            format!(
                "{PYTHON} -m pip install --require-hashes --target DIR -r {}\n\
                 # to see what it says; then `cargo xtask setup` again",
                requirements.display()
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::identity;

    #[test]
    fn pythons_that_cannot_share_packages_are_told_apart() {
        let (version, kind) = identity("3 11 cpython-311 linux-x86_64").unwrap_or_default();
        assert_eq!(version, (3, 11));
        assert_eq!(kind, "cpython-311-linux-x86_64");
        assert_eq!(identity("3 11"), None);
        assert_eq!(identity("Python 3.11"), None);
    }
}
