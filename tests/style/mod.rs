//! The rules of the source tree that no compiler holds: who may import whom, where `unsafe` may stand, how
//! long a file may be, what the project does not speak of.
//!
//! Every rule is a function over one file's text, so that each has a test showing that it can fail.

mod edges;
mod size;
mod source;
mod unsafety;
mod words;

use std::path::{Path, PathBuf};

/// One broken rule, as a person wants to read it.
type Finding = String;

/// A file of the repository and its path from the repository's root, with `/` between folders.
struct File {
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file below `folder`, in order of path; build output and version control are left out.
fn files_below(folder: &str) -> Vec<File> {
    const LEFT_OUT: [&str; 5] = [".git", "target", "node_modules", "corpus", "artifacts"];
    let mut pending = vec![root().join(folder)];
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() {
                if !LEFT_OUT.contains(&name.as_str()) {
                    pending.push(entry.path());
                }
            } else {
                paths.push(entry.path());
            }
        }
    }
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| {
            let text = String::from_utf8(std::fs::read(&path).ok()?).ok()?;
            let path = path
                .strip_prefix(root())
                .ok()?
                .to_string_lossy()
                .into_owned();
            Some(File { path, text })
        })
        .collect()
}

fn rust_files_below(folder: &str) -> Vec<File> {
    let files: Vec<File> = files_below(folder)
        .into_iter()
        .filter(|file| file.path.ends_with(".rs"))
        .collect();
    assert!(
        !files.is_empty(),
        "no Rust file below {folder}: the rules would hold for nothing"
    );
    files
}

fn hold(findings: Vec<Finding>) {
    assert!(
        findings.is_empty(),
        "{} broken:\n{}",
        findings.len(),
        findings.join("\n")
    );
}

#[test]
fn a_module_imports_only_from_those_above_it() {
    hold(
        rust_files_below("src")
            .iter()
            .flat_map(|file| edges::check(&file.path, &file.text))
            .collect(),
    );
}

#[test]
fn wire_mcp_and_policy_touch_no_runtime_socket_clock_or_file() {
    hold(
        rust_files_below("src")
            .iter()
            .flat_map(|file| edges::check_purity(&file.path, &file.text))
            .collect(),
    );
}

#[test]
fn unsafe_stands_only_in_ring_and_mem_and_each_block_says_why_it_holds() {
    hold(
        rust_files_below("src")
            .iter()
            .flat_map(|file| unsafety::check(&file.path, &file.text))
            .collect(),
    );
}

#[test]
fn every_file_opens_with_its_purpose_and_stays_short_enough_to_read() {
    let mut findings: Vec<Finding> = rust_files_below("src")
        .iter()
        .flat_map(|file| size::check_opening(&file.path, &file.text))
        .collect();
    for folder in ["src", "tests", "benches", "fuzz"] {
        findings.extend(
            rust_files_below(folder)
                .iter()
                .flat_map(|file| size::check(&file.path, &file.text)),
        );
    }
    hold(findings);
}

#[test]
fn a_fuzz_target_is_a_call_to_code_that_lives_elsewhere_and_has_a_corpus() {
    let mut findings = Vec::new();
    for file in rust_files_below("fuzz/fuzz_targets") {
        findings.extend(size::check_fuzz_target(&file.path, &file.text));
        let name = Path::new(&file.path)
            .file_stem()
            .map(|name| name.to_string_lossy().into_owned());
        let corpus = root().join("fuzz/corpus").join(name.unwrap_or_default());
        if std::fs::read_dir(&corpus).map_or(0, Iterator::count) == 0 {
            findings.push(format!(
                "{}: no corpus in {}; commit a few small inputs",
                file.path,
                corpus.display()
            ));
        }
    }
    hold(findings);
}

#[test]
fn the_project_speaks_of_itself_alone() {
    hold(
        files_below(".")
            .iter()
            .flat_map(|file| words::check(&file.path, &file.text))
            .collect(),
    );
}
