//! `tests/conformance.md` names only tests that exist.

use portcullis_e2e::stack::checkout;
use portcullis_e2e::{Failure, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [(&str, &str); 6] = [
    ("cli", "crates/cli"),
    ("core", "crates/core/src"),
    ("gateway", "crates/gateway/src"),
    ("service", "src"),
    ("e2e", "tests/e2e/tests"),
    ("harness", "tests/e2e/src"),
];

#[test]
fn every_test_that_the_table_names_exists() -> Result {
    let root = checkout()?;
    let table = fs::read_to_string(root.join("tests/conformance.md"))?;
    let mut known = BTreeMap::new();
    for (name, directory) in CRATES {
        known.insert(name, functions_below(&root.join(directory))?);
    }
    let mut named = 0;
    for test in table.split('`').filter(|text| text.contains("::")) {
        let (owner, path) = test
            .split_once(' ')
            .ok_or_else(|| Failure::new(format!("`{test}` does not say whose it is")))?;
        let function = path.rsplit("::").next().unwrap_or_default();
        let module = path.split("::").next().unwrap_or_default();
        let exists = known.get(owner).is_some_and(|functions| {
            functions
                .iter()
                .any(|(file, name)| name == function && file.contains(module))
        });
        if !exists {
            return Err(Failure::new(format!("there is no test `{test}`")));
        }
        named += 1;
    }
    assert!(named > 100, "only {named} tests were found in the table");
    Ok(())
}

/// Every function in the files below, with the path of its file.
fn functions_below(directory: &Path) -> Result<BTreeSet<(String, String)>> {
    let mut functions = BTreeSet::new();
    for file in files_below(directory)? {
        let text = fs::read_to_string(&file)?;
        for line in text.lines() {
            let name = line
                .trim_start()
                .strip_prefix("fn ")
                .and_then(|rest| rest.split(['(', '<']).next());
            functions.extend(name.map(|name| (file.display().to_string(), name.to_owned())));
        }
    }
    Ok(functions)
}

fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}
