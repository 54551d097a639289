//! The wasm32 target: from rustup, or, where its server cannot be reached, see [`debian`].

use std::{env, path::PathBuf, process::Command};

use crate::{
    debian::{self, DebianToolchain},
    failure::Failure,
    place::Place,
    process,
    progress::{note, step},
};

pub const TRIPLE: &str = "wasm32-unknown-unknown";

/// Which compiler builds the Workers. Everything else is always built by the default one.
pub enum WasmTarget {
    /// The default compiler, which has the target.
    Default,
    Debian(DebianToolchain),
}

impl WasmTarget {
    /// Makes `command`, a cargo or something that runs it, compile for wasm32 with this compiler.
    pub fn apply(&self, command: &mut Command) {
        if let Self::Debian(toolchain) = self {
            toolchain.apply(command);
        }
    }
}

pub fn ensure_target(place: &Place) -> Result<WasmTarget, Failure> {
    if env::var_os("PORTCULLIS_WASM").is_some_and(|choice| choice == "debian") {
        return debian::ensure(place).map(WasmTarget::Debian);
    }
    if default_compiler_has_it() {
        return Ok(WasmTarget::Default);
    }
    if let Some(toolchain) = debian::installed(place) {
        return Ok(WasmTarget::Debian(toolchain));
    }
    let added = step(&format!("adding the {TRIPLE} target"), || {
        process::run(process::command("rustup").args(["target", "add", TRIPLE]))
    });
    match added {
        Ok(()) => Ok(WasmTarget::Default),
        Err(failure) => {
            note(&format!("{failure}"));
            note("trying Debian's compiler sources instead");
            debian::ensure(place).map(WasmTarget::Debian)
        }
    }
}

fn default_compiler_has_it() -> bool {
    let mut rustc = process::command("rustc");
    process::probe(rustc.args(["--print", "target-libdir", "--target", TRIPLE]))
        .is_some_and(|directory| PathBuf::from(directory).is_dir())
}
