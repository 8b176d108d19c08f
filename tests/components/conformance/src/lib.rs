//! A server of everything that MCP offers, under the names that the conformance suites ask for; and an example of a
//! component that uses the whole of `margay:host`.
//!
//! Each export has a file, `tools` has one for each concept. A tool is a row of a table and a function.

mod completion;
mod content;
mod prompts;
mod questions;
mod resources;
mod tools;

wit_bindgen::generate!({ path: "../../../src/component/wit/host", world: "server" });

struct Server;

export!(Server);
