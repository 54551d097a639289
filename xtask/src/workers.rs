//! Builds the two Workers: Rust to wasm with worker-build, into `build/` beside each manifest.
//!
//! Cargo decides whether anything changed; worker-build's own steps (bindings, optimiser,
//! bundler) are skipped when cargo's output is the one that the last build started from.
//!
//! wasm-opt takes 20 s per Worker and takes 3 % off its size, after a compiler that has optimised
//! already: it is left out of what is built to be tried, and is in what is tested as a whole, measured or deployed.

use std::{
    fs,
    hash::{DefaultHasher, Hasher},
    path::Path,
    process::Command,
};

use crate::{
    failure::{Doing, Failure},
    process,
    progress::{note, step},
    setup::Kit,
    tools::clear,
    wasm::TRIPLE,
};

/// A Worker that is over this is not deployed comfortably, nor started quickly.
const SIZE_TARGET_KIB: f64 = 1536.0;

pub struct Worker {
    pub package: &'static str,
    /// Folder of its manifest, relative to the checkout.
    pub directory: &'static str,
    /// Arguments for cargo that make it a Worker.
    pub features: &'static [&'static str],
}

pub const WORKERS: [Worker; 2] = [
    Worker {
        package: "portcullis",
        directory: ".",
        features: &[],
    },
    Worker {
        package: "portcullis-gateway",
        directory: "crates/gateway",
        features: &["--features", "worker"],
    },
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// To be tried: with or without wasm-opt, whichever is there.
    Quick,
    /// To be measured: as a deployment is built.
    Full,
}

pub fn build(kit: &Kit, finish: Finish) -> Result<(), Failure> {
    WORKERS.iter().try_for_each(|worker| {
        step(&format!("building the Worker {}", worker.package), || {
            build_one(kit, worker, finish)
        })
    })
}

/// Builds what is measured beside the Workers: parts of them in wasm, for `bench/wasm.mjs`.
pub fn build_parts(kit: &Kit) -> Result<(), Failure> {
    let mut cargo = kit.command("cargo");
    cargo
        .args(["build", "--quiet", "--lib", "--release", "--target", TRIPLE])
        .args(["--package", "portcullis-bench-wasm"])
        .env("WASM_BINDGEN_USE_JS_SYS", "1"); // as for the Workers: dependencies are shared
    kit.wasm_target.apply(&mut cargo);
    step("building parts for the benchmark", || {
        process::run(&mut cargo)?;
        let release = kit.place.target_dir().join(TRIPLE).join("release");
        let built = kit.place.root.join("bench/build");
        fs::create_dir_all(&built).doing(format!("making {}", built.display()))?;
        fs::copy(
            release.join("portcullis_bench_wasm.wasm"),
            built.join("wasm.wasm"),
        )
        .map(drop)
        .doing("copying wasm.wasm")
    })
}

fn build_one(kit: &Kit, worker: &Worker, finish: Finish) -> Result<(), Failure> {
    let directory = kit.place.root.join(worker.directory);
    // As worker-build will, so that its own run of cargo finds everything done.
    let mut cargo = in_worker(kit, worker, "cargo");
    cargo
        .args(["build", "--lib", "--release", "--target", TRIPLE])
        .args(worker.features);
    process::run(&mut cargo)?;

    let output = directory.join("build");
    let stamp_file = output.join(".stamp");
    let last = fs::read_to_string(&stamp_file).unwrap_or_default();
    let full = stamp(kit, worker, Finish::Full)?;
    let wanted = stamp(kit, worker, finish)?;
    let as_deployed = last == full || finish == Finish::Full;
    if last == full || last == wanted {
        note("unchanged");
    } else {
        clear(&stamp_file)?; // nothing is claimed while build/ changes
        let mut worker_build = in_worker(kit, worker, &kit.worker_build);
        worker_build.arg("--release");
        if finish == Finish::Quick {
            worker_build.arg("--no-opt");
        }
        process::run(worker_build.args(worker.features))?;
        if finish == Finish::Full {
            without_names(kit, &output)?;
        }
        fs::write(&stamp_file, wanted).doing(format!("writing {}", stamp_file.display()))?;
    }
    report_size(kit, &output, as_deployed)
}

/// Takes the names of functions out of the module, a twentieth of its compressed size that only stack traces show.
/// A panic says its file and line all the same.
fn without_names(kit: &Kit, output: &Path) -> Result<(), Failure> {
    let module = output.join("index_bg.wasm");
    let mut wasm_opt = kit.command(kit.node.wasm_opt());
    wasm_opt
        // Of no more features than the module has: with all of them it is written so that not every runtime reads it.
        .arg("--strip-debug")
        .arg(&module)
        .arg("-o")
        .arg(&module);
    process::run(&mut wasm_opt)
}

/// `program` in the Worker's folder, with everything that worker-build or its cargo looks at.
fn in_worker(kit: &Kit, worker: &Worker, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = kit.command(program);
    command
        .current_dir(kit.place.root.join(worker.directory))
        .env("WASM_BINDGEN_USE_JS_SYS", "1")
        .env("WASM_BINDGEN_BIN", &kit.wasm_bindgen)
        .env("WASM_OPT_BIN", kit.node.wasm_opt())
        .env("ESBUILD_BIN", kit.node.esbuild());
    kit.wasm_target.apply(&mut command);
    command
}

/// What the contents of `build/` depend on: cargo's output and the tools that work on it.
fn stamp(kit: &Kit, worker: &Worker, finish: Finish) -> Result<String, Failure> {
    let wasm = kit
        .place
        .target_dir()
        .join(TRIPLE)
        .join("release")
        .join(format!("{}.wasm", worker.package.replace('-', "_")));
    let bytes = fs::read(&wasm).doing(format!("reading {}", wasm.display()))?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    let wasm_opt = match finish {
        Finish::Quick => "no wasm-opt".into(),
        Finish::Full => format!("{}, names stripped", kit.node.wasm_opt().display()),
    };
    Ok(format!(
        "{:016x}\n{}\n{}\n{wasm_opt}\n",
        hasher.finish(),
        kit.worker_build.display(),
        kit.wasm_bindgen.display(),
    ))
}

/// The size that counts against the platform's limit: all modules, compressed.
/// Says how large the Worker is; of one that was built to be tried that says nothing about the target.
fn report_size(kit: &Kit, output: &Path, as_deployed: bool) -> Result<(), Failure> {
    const SCRIPT: &str = "let sum = 0; for (const file of ['index.js', 'index_bg.wasm']) \
        sum += require('zlib').gzipSync(require('fs').readFileSync(file)).length; console.log(sum)";
    let printed = process::output(
        kit.command(kit.node.node())
            .current_dir(output)
            .args(["-e", SCRIPT]),
    )?;
    let bytes: f64 = printed
        .trim()
        .parse()
        .map_err(|_| Failure::step("no size printed"))?;
    let kib = bytes / 1024.0;
    let verdict = match (as_deployed, kib < SIZE_TARGET_KIB) {
        (false, _) => "; less as it is deployed".to_owned(),
        (true, true) => format!(" (target < {SIZE_TARGET_KIB:.0})"),
        (true, false) => format!(" (target < {SIZE_TARGET_KIB:.0}, over the target)"),
    };
    note(&format!("{kib:.0} KiB gzip{verdict}"));
    Ok(())
}
