//! Who may import whom. The order is the one that `src/lib.rs` declares the modules in.

use super::Finding;
use super::source::{code_only, line_of, whole_words, without_tests};

/// The modules in dependency order: each may import from those before it and from itself.
const ORDER: [&str; 21] = [
    "limits",
    "error",
    "mem",
    "audit",
    "secret",
    "ring",
    "wire",
    "mcp",
    "policy",
    "component",
    "upstream",
    "gateway",
    "catalog",
    "intercept",
    "tape",
    "task",
    "cache",
    "metrics",
    "shard",
    "control",
    "cli",
];

/// What a pure module may not name: a runtime, a socket, a clock, a file, a thread, the environment.
const IMPURE: [&str; 15] = [
    "tokio",
    "tokio_uring",
    "io_uring",
    "socket2",
    "libc",
    "quanta",
    "getrandom",
    "wasmtime",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::fs",
    "std::thread",
    "std::env",
    "Instant",
    "SystemTime",
];

/// The modules that are functions of their arguments alone.
const PURE: [&str; 3] = ["wire", "mcp", "policy"];

pub fn check(path: &str, text: &str) -> Vec<Finding> {
    let Some(module) = module_of(path) else {
        return Vec::new();
    };
    let Some(place) = ORDER.iter().position(|name| *name == module) else {
        return vec![format!(
            "{path}: `{module}` has no place in the dependency order of tests/style/edges.rs"
        )];
    };
    let code = code_only(text);
    let code = without_tests(&code);
    imports(code, depth_of(path))
        .into_iter()
        .filter(|(_, name)| {
            ORDER
                .iter()
                .position(|known| known == name)
                .is_some_and(|other| other > place)
        })
        .map(|(at, name)| {
            format!(
                "{path}:{}: `{module}` imports `{name}`, which stands below it",
                line_of(code, at)
            )
        })
        .collect()
}

pub fn check_purity(path: &str, text: &str) -> Vec<Finding> {
    if !module_of(path).is_some_and(|module| PURE.contains(&module)) || path.ends_with("tests.rs") {
        return Vec::new();
    }
    let code = code_only(text);
    let code = without_tests(&code);
    let named = |word: &'static str| whole_words(code, word).map(move |at| (at, word));
    IMPURE
        .into_iter()
        .flat_map(named)
        .map(|(at, word)| format!("{path}:{}: a pure module names `{word}`", line_of(code, at)))
        .collect()
}

/// The top module that a file of `src` belongs to; the two crate roots belong to none, and so do test files.
fn module_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    if matches!(inside, "lib.rs" | "main.rs")
        || inside.ends_with("/tests.rs")
        || inside.contains("/tests/")
    {
        return None;
    }
    Some(inside.split('/').next()?.trim_end_matches(".rs"))
}

/// How many `super::` lead from this file's module to the crate root.
fn depth_of(path: &str) -> usize {
    let inside = path
        .trim_start_matches("src/")
        .trim_end_matches(".rs")
        .trim_end_matches("/mod");
    inside.split('/').count()
}

/// Every top module that the code names through `crate::` or through enough `super::`, with its place.
fn imports(code: &str, depth: usize) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for at in whole_words(code, "crate") {
        if let Some(rest) = code[at + "crate".len()..].strip_prefix("::") {
            found.extend(first_names(rest).into_iter().map(|name| (at, name)));
        }
    }
    let to_root = "super::".repeat(depth);
    for (at, _) in code.match_indices(&to_root) {
        let rest = &code[at + to_root.len()..];
        if !code[..at].ends_with("super::") && !rest.starts_with("super::") {
            found.extend(first_names(rest).into_iter().map(|name| (at, name)));
        }
    }
    found
}

/// `wire::json` names `wire`; `{mem, wire::{json, sse}}` names `mem` and `wire`.
fn first_names(path: &str) -> Vec<&str> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![first_word(path)];
    };
    let (mut names, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => {
                names.push(first_word(&group[start..at]));
                return names;
            }
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                names.push(first_word(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    let end = text
        .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .unwrap_or(text.len());
    &text[..end]
}

#[test]
fn an_import_from_below_is_found_however_it_is_written() {
    for wrong in [
        "use crate::shard::Shard;",
        "use crate::{limits::Limits, mcp::{route, Route}, wire};",
        "fn f() -> crate::control::Config { todo!() }",
        "use super::super::cli::main;",
    ] {
        assert_eq!(check("src/wire/http1.rs", wrong).len(), 1, "{wrong}");
    }
    assert_eq!(check("src/wire/mod.rs", "use super::mcp::Era;").len(), 1);
    assert_eq!(check("src/nowhere/mod.rs", "").len(), 1);
}

#[test]
fn an_import_from_above_from_a_sibling_or_in_a_test_is_fine() {
    for right in [
        "use crate::{limits::Limits, error};",
        "use super::json::Reader;",
        "use crate::wire::json;",
        "// crate::shard is told of in words\nlet text = \"crate::cli\";",
        "fn f() {}\n#[cfg(test)]\nmod tests { use crate::shard::Shard; }",
    ] {
        assert_eq!(
            check("src/wire/http1.rs", right),
            Vec::<String>::new(),
            "{right}"
        );
    }
}

#[test]
fn a_clock_in_a_pure_module_is_found_and_one_elsewhere_is_not() {
    assert_eq!(
        check_purity(
            "src/mcp/sessions.rs",
            "let now = std::time::Instant::now();"
        )
        .len(),
        1
    );
    assert_eq!(
        check_purity("src/wire/http1.rs", "use std::fs::File;").len(),
        1
    );
    assert!(check_purity("src/shard/mod.rs", "let now = std::time::Instant::now();").is_empty());
    assert!(
        check_purity(
            "src/mcp/sessions.rs",
            "/// No Instant here: `now_ms` comes in.\nfn f() {}"
        )
        .is_empty()
    );
}
