//! Installs what is missing, and says what a build or a run can then count on.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    path::PathBuf,
    process::Command,
};

use crate::{
    failure::{Doing, Failure},
    npm::{self, NodeTools},
    place::Place,
    process,
    progress::note,
    target, tools, wasm,
    wasm::WasmTarget,
};

/// Everything is there.
pub struct Kit {
    pub place: Place,
    pub node: NodeTools,
    pub worker_build: PathBuf,
    pub wasm_bindgen: PathBuf,
    pub wasm_target: WasmTarget,
    /// Held until this process ends: the target directory is this checkout's meanwhile.
    _target: File,
}

pub fn setup(place: &Place) -> Result<Kit, Failure> {
    // Two checkouts that set up at once take turns; the second finds everything there.
    let _guard = lock(place, "setup.lock")?;
    let node = npm::install(place)?;
    let wasm_target = wasm::ensure_target(place)?;
    let worker_build = tools::install(place, "worker-build", &place.locked_version("worker")?)?;
    let wasm_bindgen = tools::install(
        place,
        "wasm-bindgen-cli",
        &place.locked_version("wasm-bindgen")?,
    )?;
    tools::forget_build_output(place);
    let target = lock(place, "build.lock")?;
    target::take_over(place)?;
    Ok(Kit {
        _target: target,
        place: place.clone(),
        node,
        worker_build: worker_build.join("worker-build"),
        wasm_bindgen: wasm_bindgen.join("wasm-bindgen"),
        wasm_target,
    })
}

/// Holds a lock of the cache's for as long as the returned file lives, or the process.
pub fn lock(place: &Place, name: &str) -> Result<File, Failure> {
    let path = place.cache.join(name);
    let file = File::create(&path).doing(format!("opening {}", path.display()))?;
    if file.try_lock().is_err() {
        note(&format!(
            "waiting for another run, which holds {}",
            path.display()
        ));
        file.lock().doing(format!("locking {}", path.display()))?;
    }
    Ok(file)
}

impl Kit {
    /// `program`, run in the checkout with the shared target directory and the pinned Node.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = process::command(program);
        command
            .current_dir(&self.place.root)
            .env("CARGO_TARGET_DIR", self.place.target_dir())
            .env("PATH", self.path());
        command
    }

    pub fn cargo(&self) -> Command {
        self.command("cargo")
    }

    /// The pinned Node first: the tools from npm start with `#!/usr/bin/env node`.
    fn path(&self) -> OsString {
        let mut path = self.node.bin_dir().into_os_string();
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        path
    }
}
