//! The wasm32 target without rustup's server: Debian packages a recent compiler with its sources,
//! from which the target's standard library is built once.
//!
//! The result is a folder in the cache that looks like a Rust installation: `bin/rustc` is Debian's
//! compiler told to take its libraries from here, `bin/cargo` is Debian's, and `lib/rustlib` has
//! the host's libraries (a link) and the new ones. Nothing under /usr is changed except by apt-get.
//! Only the Workers are built with it. See docs/toolchain.md.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    failure::{Doing, Failure},
    place::Place,
    process,
    progress::step,
    tools::clear,
    wasm::TRIPLE,
};

const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// The oldest compiler that can build the Workers; as `rust-version` in Cargo.toml.
const OLDEST_MINOR: u32 = 91;

pub struct DebianToolchain {
    directory: PathBuf,
    linker: PathBuf,
}

impl DebianToolchain {
    fn at(directory: PathBuf) -> Result<Self, Failure> {
        Ok(Self {
            directory,
            linker: linker()?,
        })
    }

    /// Makes a cargo, or whatever runs one, use this compiler. Only for wasm32.
    pub fn apply(&self, command: &mut Command) {
        let bin = self.directory.join("bin");
        let mut path = bin.clone().into_os_string();
        let inherited = command
            .get_envs()
            .find_map(|(name, value)| (name == "PATH").then_some(value).flatten())
            .map(std::ffi::OsStr::to_os_string)
            .or_else(|| env::var_os("PATH"));
        if let Some(rest) = inherited {
            path.push(":");
            path.push(rest);
        }
        command
            .env("PATH", path)
            .env("CARGO", bin.join("cargo"))
            .env("RUSTC", bin.join("rustc"))
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &self.linker)
            // rustup's, set for us because it started us.
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("LD_LIBRARY_PATH");
    }
}

/// What an earlier run made, if it fits the compiler that is installed now.
pub fn installed(place: &Place) -> Option<DebianToolchain> {
    let directory = directory(place, &compiler_version()?);
    directory
        .is_dir()
        .then(|| DebianToolchain::at(directory).ok())
        .flatten()
}

/// Installs and builds whatever of it is missing. The caller holds the set-up lock.
pub fn ensure(place: &Place) -> Result<DebianToolchain, Failure> {
    if let Some(toolchain) = installed(place) {
        return Ok(toolchain);
    }
    if !has_sources() {
        step(
            "installing Debian's Rust compiler and sources",
            install_packages,
        )?;
    }
    let version = compiler_version()
        .filter(|version| minor(version).is_some_and(|minor| minor >= OLDEST_MINOR))
        .ok_or_else(|| missing(&format!("{RUSTC} is not Rust 1.{OLDEST_MINOR} or later")))?;
    let directory = directory(place, &version);
    step(
        &format!("building the {TRIPLE} standard library (1 to 3 minutes, once)"),
        || {
            let partial = place
                .cache
                .join(format!(".wasm32-debian-rust-{version}.partial"));
            clear(&partial)?;
            assemble(&partial, &directory)?;
            fs::rename(&partial, &directory).doing(format!("moving it to {}", directory.display()))
        },
    )?;
    DebianToolchain::at(directory)
}

fn install_packages() -> Result<(), Failure> {
    if process::probe(Command::new("apt-get").arg("--version")).is_none() {
        return Err(missing(
            "rustup could not add it, and this is no Debian (no apt-get)",
        ));
    }
    if process::probe(Command::new("id").arg("-u")).as_deref() != Some("0") {
        return Err(missing(
            "rustup could not add it, and only root may install Debian's packages",
        ));
    }
    let install = || {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(PACKAGES);
        process::run(apt.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // A machine's package lists may be old, or not there at all; fetching them is the slower half.
    install()
        .or_else(|_| {
            process::run(Command::new("apt-get").args(["update", "--quiet"])).and(install())
        })
        .map_err(|failure| missing(&failure.to_string()))
}

/// Puts the installation together in `partial`, from where it is going to be moved to `directory`.
fn assemble(partial: &Path, directory: &Path) -> Result<(), Failure> {
    let host = host_triple()?;
    let rustlib = partial.join("lib/rustlib");
    let libraries = rustlib.join(TRIPLE).join("lib");
    let bin = partial.join("bin");
    for folder in [&libraries, &bin] {
        fs::create_dir_all(folder).doing(format!("making {}", folder.display()))?;
    }

    let built = build_std(&partial.join("std"))?;
    for library in libraries_in(&built)? {
        let name = library.file_name().unwrap_or_default();
        fs::copy(&library, libraries.join(name)).doing(format!("copying {}", library.display()))?;
    }
    clear(&partial.join("std"))?;

    symlink(
        Path::new("/usr/lib/rustlib").join(&host),
        rustlib.join(&host),
    )
    .doing("linking the host's libraries")?;
    symlink(CARGO, bin.join("cargo")).doing("linking cargo")?;
    let rustc = bin.join("rustc");
    let script = format!(
        "#!/bin/sh\nexec {RUSTC} --sysroot '{}' \"$@\"\n",
        directory.display()
    );
    fs::write(&rustc, script).doing(format!("writing {}", rustc.display()))?;
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).doing("making it executable")
}

/// Builds the standard library in an empty crate; returns the folder with what came of it.
fn build_std(krate: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(krate.join("src")).doing(format!("making {}", krate.display()))?;
    let manifest = "[package]\nname = \"std-for-wasm\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(krate.join("Cargo.toml"), manifest).doing("writing an empty crate")?;
    fs::write(krate.join("src/lib.rs"), "").doing("writing an empty crate")?;
    let target = krate.join("target");
    process::run(
        process::command(CARGO)
            .current_dir(krate)
            .args([
                "build",
                "-Zbuild-std=std,panic_abort",
                "--release",
                "--target",
                TRIPLE,
            ])
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTC", RUSTC)
            .env("RUSTC_BOOTSTRAP", "1") // -Z with a stable compiler
            .env("RUSTFLAGS", "-Cembed-bitcode=yes") // for link-time optimisation
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("LD_LIBRARY_PATH"),
    )?;
    Ok(target.join(TRIPLE).join("release/deps"))
}

fn libraries_in(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut libraries = Vec::new();
    for entry in fs::read_dir(directory).doing(format!("reading {}", directory.display()))? {
        let path = entry
            .doing(format!("reading {}", directory.display()))?
            .path();
        let of_std = !path.to_string_lossy().contains("std_for_wasm");
        if of_std
            && path
                .extension()
                .is_some_and(|extension| extension == "rlib")
        {
            libraries.push(path);
        }
    }
    Ok(libraries)
}

/// `rust-lld` of the default toolchain; Debian's compiler comes without one.
fn linker() -> Result<PathBuf, Failure> {
    process::probe(process::command("rustc").args(["--print", "target-libdir"]))
        .and_then(|libraries| Some(Path::new(&libraries).parent()?.join("bin/rust-lld")))
        .filter(|linker| linker.is_file())
        .or_else(|| {
            ["/usr/bin/rust-lld", "/usr/bin/wasm-ld"]
                .map(PathBuf::from)
                .into_iter()
                .find(|it| it.is_file())
        })
        .ok_or_else(|| {
            Failure::missing(
                "there is no linker for wasm32",
                "apt-get install lld    # as root",
            )
        })
}

fn has_sources() -> bool {
    compiler_version().is_some()
        && Path::new(CARGO).is_file()
        && Path::new("/usr/lib/rustlib/src/rust/library/std/Cargo.toml").is_file()
}

fn compiler_version() -> Option<String> {
    let printed = process::probe(
        Command::new(RUSTC)
            .arg("--version")
            .env_remove("LD_LIBRARY_PATH"),
    )?;
    Some(printed.split_whitespace().nth(1)?.to_owned())
}

fn host_triple() -> Result<String, Failure> {
    let printed = process::output(Command::new(RUSTC).arg("-vV").env_remove("LD_LIBRARY_PATH"))?;
    printed
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| Failure::step(format!("{RUSTC} -vV names no host")))
}

fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("1.")?.split('.').next()?.parse().ok()
}

fn directory(place: &Place, version: &str) -> PathBuf {
    place.cache.join(format!("wasm32-debian-rust-{version}"))
}

fn missing(why: &str) -> Failure {
    Failure::missing(
        format!("the {TRIPLE} target is not installed: {why}"),
        format!(
            "rustup target add {TRIPLE}\n\
             or, as root on Debian 12 or later, with its security updates enabled:\n\
             apt-get update && apt-get install --no-install-recommends {}",
            PACKAGES.join(" ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::minor;

    #[test]
    fn minor_version_is_the_second_number() {
        assert_eq!(minor("1.96.0"), Some(96));
        assert_eq!(minor("1.97.0-nightly"), Some(97));
        assert_eq!(minor("gcc"), None);
    }
}
