//! Why a component cannot be loaded, and what to do about it.

use std::fmt;

use crate::error::{Problem, exit};

use super::tool::Skipped;

/// Why a component cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    Read(String),
    /// The file is larger than `limits.component_bytes_max`.
    TooLarge {
        /// Bytes of the file.
        bytes: u64,
        /// The limit.
        limit: usize,
    },
    /// It is a core WebAssembly module.
    CoreModule,
    /// It is neither binary nor text WebAssembly.
    NotWasm(String),
    /// It does not compile, or needs more than the limits give.
    Compile(String),
    /// It imports what this host does not offer.
    Import(String),
    /// What its policy grants cannot be had: a secret is not there.
    Grants(String),
    /// It cannot be instantiated.
    Instantiate(String),
    /// What it exports of `margay:host` is not what that has.
    Export(String),
    /// Its lists cannot be had.
    Lists(String),
    /// It offers nothing: no function that can be a tool, and nothing in its lists.
    NoTools(Vec<Skipped>),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, remedy) = self.parts();
        write!(f, "{rule}; {remedy}")
    }
}

impl std::error::Error for LoadError {}

impl LoadError {
    fn parts(&self) -> (String, &'static str) {
        match self {
            Self::Read(error) => (error.clone(), "name a readable .wasm or .wat file"),
            Self::TooLarge { bytes, limit } => (
                format!("{bytes} bytes, more than limits.component_bytes_max ({limit})"),
                "strip its debug information (wasm-tools strip), or raise the limit",
            ),
            Self::CoreModule => (
                "it is a core WebAssembly module, not a component".to_owned(),
                "make a component of it: `wasm-tools component new MODULE.wasm -o COMPONENT.wasm`, or build for wasm32-wasip2",
            ),
            Self::NotWasm(error) => (
                error.clone(),
                "give a WebAssembly component, as .wasm or as .wat text",
            ),
            Self::Compile(error) => (
                error.clone(),
                "check it with `wasm-tools validate`, and its needs against `limits:`",
            ),
            Self::Import(error) => (
                error.clone(),
                "this host offers WASI 0.2 and stands in for functions beyond it; `wasm-tools component wit FILE` lists what the component imports",
            ),
            Self::Grants(error) => (
                error.clone(),
                "give the component what its policy names, or take it out of the policy",
            ),
            Self::Instantiate(error) => (
                error.clone(),
                "the component fails before any tool is called; run it with its own tests",
            ),
            Self::Export(error) => (
                error.clone(),
                "build it against the package margay:host that comes with this version",
            ),
            Self::Lists(error) => (
                error.clone(),
                "the component fails, or says too much, when it is asked what it has; run it with its own tests",
            ),
            Self::NoTools(skipped) if skipped.is_empty() => (
                "it exports no functions, and lists no tools, resources or prompts".to_owned(),
                "export at least one function, directly or in an interface, or an interface of margay:host",
            ),
            Self::NoTools(skipped) => {
                let reasons: Vec<String> = skipped
                    .iter()
                    .map(|skip| format!("{}: {}", skip.export, skip.reason))
                    .collect();
                (
                    format!(
                        "none of its functions can be a tool ({})",
                        reasons.join(", ")
                    ),
                    "use plain value types in parameters and results",
                )
            }
        }
    }

    /// The error for a person, about the file or component `thing`.
    pub fn into_problem(self, thing: impl Into<String>) -> Problem {
        let code = if matches!(self, Self::Read(_)) {
            exit::NO_INPUT
        } else {
            exit::DATA
        };
        let (rule, remedy) = self.parts();
        Problem::operator(
            code,
            format!("component {}", thing.into()),
            "",
            rule,
            remedy,
        )
    }
}
