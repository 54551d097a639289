//! Checks that need no running Worker: format, lints, what core may depend on, file lengths.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    failure::{Doing, Failure},
    process,
    progress::{note, step},
    setup::Kit,
    wasm::{TRIPLE, WasmTarget},
    workers::WORKERS,
};

const CORE: &str = "portcullis-core";

/// What ties code to a runtime, a clock or a source of randomness; core takes those as arguments.
const NOT_DIRECTLY_IN_CORE: [&str; 13] = [
    "async-std",
    "fastrand",
    "futures",
    "getrandom",
    "js-sys",
    "rand",
    "tokio",
    "uuid",
    "wasm-bindgen",
    "wasm-bindgen-futures",
    "web-sys",
    "web-time",
    "worker",
];

/// Not even through something else.
const NOWHERE_IN_CORE: [&str; 2] = ["worker", "worker-sys"];

const LONGEST_FILE: usize = 600;

/// Files that may be longer, each with the reason.
const LONG_FILES: [(&str, &str); 0] = [];

const SOURCE_EXTENSIONS: [&str; 6] = ["rs", "mjs", "js", "sql", "sh", "css"];

const NOT_SOURCE: [&str; 5] = ["target", "build", "node_modules", ".git", ".portcullis"];

pub fn tidy(kit: &Kit) -> Result<(), Failure> {
    // All of them, even if one fails: one run shows everything that is to be done.
    let results = [
        step("format", || format(kit)),
        step("lints, host", || host_lints(kit)),
        step("lints, wasm32", || wasm_lints(kit)),
        step("lints, fuzz targets", || fuzz_lints(kit)),
        step("what core depends on", || core_dependencies(kit)),
        step("file lengths", || file_lengths(&kit.place.root)),
    ];
    let failures: Vec<String> = results
        .into_iter()
        .filter_map(Result::err)
        .map(|failure| failure.to_string())
        .collect();
    if failures.is_empty() {
        return Ok(());
    }
    Err(Failure::step(format!("tidy:\n{}", failures.join("\n"))))
}

fn format(kit: &Kit) -> Result<(), Failure> {
    component(kit, "fmt", "rustfmt")?;
    process::run(kit.cargo().args(["fmt", "--all", "--check"]))
        .map_err(|_| Failure::step("not formatted: `cargo fmt --all` would change the above"))
}

fn host_lints(kit: &Kit) -> Result<(), Failure> {
    component(kit, "clippy", "clippy")?;
    let mut cargo = kit.cargo();
    cargo.args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    process::run(&mut cargo)
}

fn wasm_lints(kit: &Kit) -> Result<(), Failure> {
    if let WasmTarget::Debian(_) = kit.wasm_target {
        note("skipped: the compiler that has the wasm32 target comes without clippy");
        return Ok(());
    }
    WORKERS.iter().try_for_each(|worker| {
        let mut cargo = kit.cargo();
        cargo
            .args([
                "clippy",
                "--quiet",
                "--lib",
                "--target",
                TRIPLE,
                "--package",
                worker.package,
            ])
            .args(worker.features)
            .args(["--", "-D", "warnings"])
            .env("WASM_BINDGEN_USE_JS_SYS", "1"); // as worker-build does
        process::run(&mut cargo)
    })
}

/// The bodies of the fuzz targets, without the fuzzer, which needs a nightly compiler.
fn fuzz_lints(kit: &Kit) -> Result<(), Failure> {
    process::run(
        kit.cargo()
            .args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]),
    )
    .map_err(|_| Failure::step("not formatted: `cargo fmt --manifest-path fuzz/Cargo.toml`"))?;
    let mut cargo = kit.cargo();
    cargo
        .arg("clippy")
        .args([
            "--quiet",
            "--locked",
            "--no-default-features",
            "--lib",
            "--tests",
        ])
        .args(["--manifest-path", "fuzz/Cargo.toml", "--", "-D", "warnings"]);
    process::run(&mut cargo)
}

/// Makes sure of a part of Rust that minimal installations lack.
fn component(kit: &Kit, subcommand: &str, name: &str) -> Result<(), Failure> {
    if process::probe(kit.cargo().args([subcommand, "--version"])).is_some() {
        return Ok(());
    }
    process::run(kit.command("rustup").args(["component", "add", name])).map_err(|_| {
        Failure::missing(
            format!("{name} is not installed"),
            format!("rustup component add {name}"),
        )
    })
}

fn core_dependencies(kit: &Kit) -> Result<(), Failure> {
    let mut cargo = kit.cargo();
    cargo.args([
        "tree",
        "--package",
        CORE,
        "--edges",
        "normal",
        "--target",
        "all",
    ]);
    let tree = process::output(cargo.args(["--prefix", "depth", "--format", " {p}"]))?;
    let wrong = forbidden_in_core(&tree);
    if wrong.is_empty() {
        return Ok(());
    }
    let names = wrong.into_iter().collect::<Vec<_>>().join(", ");
    Err(Failure::step(format!(
        "{CORE} must know no runtime, clock or randomness, and depends on {names}"
    )))
}

/// `tree` has a line per dependency: its depth, its name, its version.
fn forbidden_in_core(tree: &str) -> BTreeSet<&str> {
    tree.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (depth, name) = (words.next()?, words.next()?);
            let direct = depth == "1" && NOT_DIRECTLY_IN_CORE.contains(&name);
            (direct || NOWHERE_IN_CORE.contains(&name)).then_some(name)
        })
        .collect()
}

fn file_lengths(root: &Path) -> Result<(), Failure> {
    let mut files = Vec::new();
    collect_sources(root, &mut files)?;
    let mut lengths = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).doing(format!("reading {}", file.display()))?;
        let name = file
            .strip_prefix(root)
            .unwrap_or(&file)
            .to_string_lossy()
            .into_owned();
        lengths.push((text.lines().count(), name));
    }
    lengths.sort_unstable();
    if let Some((lines, name)) = lengths.last() {
        note(&format!(
            "{} files, the longest is {name} with {lines} lines",
            lengths.len()
        ));
    }
    let excused = |name: &str| LONG_FILES.iter().any(|(file, _reason)| *file == name);
    let long: Vec<String> = lengths
        .iter()
        .filter(|(lines, name)| *lines > LONGEST_FILE && !excused(name))
        .map(|(lines, name)| format!("{name}: {lines} lines"))
        .collect();
    if long.is_empty() {
        return Ok(());
    }
    Err(Failure::step(format!(
        "over {LONGEST_FILE} lines, and not in LONG_FILES of xtask/src/tidy.rs with a reason:\n{}",
        long.join("\n")
    )))
}

fn collect_sources(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let what = || format!("reading {}", directory.display());
    for entry in fs::read_dir(directory).doing(what())? {
        let entry = entry.doing(what())?;
        let (path, kind) = (entry.path(), entry.file_type().doing(what())?);
        let skipped = NOT_SOURCE.iter().any(|name| entry.file_name() == *name);
        let extension = path.extension().and_then(|extension| extension.to_str());
        if kind.is_dir() && !skipped {
            collect_sources(&path, files)?;
        } else if kind.is_file() && extension.is_some_and(|it| SOURCE_EXTENSIONS.contains(&it)) {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::forbidden_in_core;

    #[test]
    fn core_may_not_name_randomness_nor_reach_the_runtime() {
        let tree =
            "0 portcullis-core v0.1.0\n1 serde v1.0.0\n1 getrandom v0.3.0\n2 worker v0.8.7\n";
        assert_eq!(
            forbidden_in_core(tree).into_iter().collect::<Vec<_>>(),
            ["getrandom", "worker"]
        );
    }

    #[test]
    fn core_may_reach_randomness_through_a_library() {
        let tree = "0 portcullis-core v0.1.0\n1 jwt-simple v0.12.0\n2 getrandom v0.3.0\n";
        assert!(forbidden_in_core(tree).is_empty());
    }
}
