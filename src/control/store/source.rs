//! Reading a component file that somebody names.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Problem, exit};

use super::super::config::show_size;

/// What a WebAssembly binary begins with.
const MAGIC: &[u8] = b"\0asm";
/// Version and layer of a component; those of a core module differ.
const COMPONENT: &[u8] = b"\x0d\0\x01\0";

/// Reads a component file. WebAssembly text goes through as it is; whether it is a component is for the compiler to say.
///
/// Errors: missing, too large, or visibly no component, each with what to do.
pub fn read_component(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let shown = path.display().to_string();
    let problem = |code: u8, rule: String, remedy: &str| {
        Problem::operator(code, "component", shown.clone(), rule, remedy)
    };
    let unreadable = |error: std::io::Error| {
        problem(
            exit::NO_INPUT,
            error.to_string(),
            "name a readable .wasm component file",
        )
    };
    let file = File::open(path).map_err(unreadable)?;
    let facts = file.metadata().map_err(unreadable)?;
    if !facts.is_file() {
        return Err(problem(
            exit::NO_INPUT,
            "is not a regular file".to_owned(),
            "name a .wasm or .wat component file",
        ));
    }
    let mut bytes = Vec::new();
    // Not by the length that the metadata tells: the file may grow meanwhile.
    file.take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > bytes_max {
        let rule = format!(
            "has {} bytes, more than limits.component_bytes_max, {}",
            facts.len(),
            show_size(bytes_max)
        );
        return Err(problem(
            exit::DATA,
            rule,
            "strip it (`wasm-tools strip`), or raise the limit",
        ));
    }
    check_layer(&bytes).map_err(|(rule, remedy)| problem(exit::DATA, rule.to_owned(), remedy))?;
    Ok(bytes)
}

fn check_layer(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    match bytes.strip_prefix(MAGIC) {
        Some(rest) if rest.starts_with(COMPONENT) => Ok(()),
        Some(rest) if rest.starts_with(b"\x01\0\0\0") => Err((
            "is a core WebAssembly module, not a component",
            "make a component of it: `wasm-tools component new MODULE.wasm -o COMPONENT.wasm`, or build for wasm32-wasip2",
        )),
        Some(_) => Err((
            "is WebAssembly of an unknown version",
            "build it for the component model, version 1",
        )),
        None if bytes.trim_ascii_start().starts_with(b"(")
            || bytes.trim_ascii_start().starts_with(b";;") =>
        {
            Ok(())
        }
        None => Err(("is not WebAssembly", "name a .wasm or .wat component file")),
    }
}
