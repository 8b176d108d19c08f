//! `margay tool`: list and call tools in this process, without a server.

mod pinned;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::Value;

use crate::catalog::Catalog;
use crate::component::{CallContext, CallOutcome, Caller, Component, Job, Runtime, Started};
use crate::control::components::{Prepared, prepare};
use crate::control::config::{Config, LogLevel, nearest};
use crate::control::secrets::Secrets;
use crate::error::{Problem, exit};
use crate::limits::Limits;
use crate::mcp::Revision;

use super::{Common, print_line};

pub(super) const EXAMPLES: &str = "\
Examples:
  margay tool list
  margay tool list weather.wasm --json
  margay tool call echo --args '{\"text\":\"hello\"}'
  margay tool call get-forecast weather.wasm --args @arguments.json
  margay tool diff                     what tools say of themselves that was
                                       not approved
  margay tool approve upstream:docs/search";

#[derive(Debug, Subcommand)]
pub(super) enum ToolCommand {
    /// List the tools and what they take.
    List {
        /// Component files. Without any: the component directory, and the demo tools while it is empty.
        #[arg(value_name = "COMPONENT")]
        components: Vec<PathBuf>,
        /// Print the `tools` array as MCP clients get it.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Show what tools say of themselves that was not approved, beside what was. Exit code 1: there is something.
    Diff {
        /// A tool's own name, or SOURCE/NAME. Without it: all.
        name: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Approve what tools say of themselves now. A running server notices within a second.
    Approve {
        /// A tool's own name, or SOURCE/NAME as `tool diff` shows it.
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// All that wait.
        #[arg(long, conflicts_with = "name")]
        all: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Call a tool and print its result as JSON. Exit code 1: the tool answered with an error.
    Call {
        /// The tool's name.
        name: String,
        /// Component files. Without any: the component directory, and the demo tools while it is empty.
        #[arg(value_name = "COMPONENT")]
        components: Vec<PathBuf>,
        /// The arguments, a JSON object, or @FILE with one.
        #[arg(long, value_name = "JSON", default_value = "{}")]
        args: String,
        #[command(flatten)]
        common: Common,
    },
}

pub(super) fn run(command: &ToolCommand) -> Result<u8, Problem> {
    match command {
        ToolCommand::Diff { name, common } => pinned::diff(name.as_deref(), common),
        ToolCommand::Approve { name, common, .. } => pinned::approve(name.as_deref(), common),
        ToolCommand::List {
            components,
            json,
            common,
        } => {
            let config = load(components, common)?;
            let catalog = prepare(&config, &Secrets::new(&config))?.set.catalog();
            if *json {
                return print_line(&String::from_utf8_lossy(&catalog.listing()));
            }
            print_line(&listing(&catalog))
        }
        ToolCommand::Call {
            name,
            components,
            args,
            common,
        } => {
            let arguments = arguments(args)?;
            let config = load(components, common)?;
            let Prepared {
                runtime, mut set, ..
            } = prepare(&config, &Secrets::new(&config))?;
            let catalog = set.catalog();
            // No upstream is asked here: all tools are components'.
            let job = catalog
                .tool(name)
                .and_then(|tool| tool.job(arguments.into_bytes()));
            let (component, job) = job.ok_or_else(|| unknown(name, &catalog))?;
            let (outcome, result) = call(&runtime, component, job, &config.limits)?;
            print_line(&result)?;
            Ok(if outcome == CallOutcome::Ok {
                0
            } else {
                exit::TOOL
            })
        }
    }
}

/// The configuration, of which only the components count here.
fn load(components: &[PathBuf], common: &Common) -> Result<Config, Problem> {
    let config = common.load(&common.overrides(components), LogLevel::Warn)?;
    if !config.upstreams.is_empty() {
        tracing::warn!(
            upstreams = config.upstreams.len(),
            "are not asked: without a server only the tools of components are here"
        );
    }
    Ok(config)
}

/// Calls a tool on this thread, as a shard would, and waits if it moves to a worker.
fn call(
    runtime: &Arc<Runtime>,
    component: &Arc<Component>,
    job: Job,
    limits: &Limits,
) -> Result<(CallOutcome, String), Problem> {
    // Components may wait on timers while they are called from this thread.
    let timers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let timers = timers.map_err(|error| {
        Problem::operator(
            exit::HOST,
            "threads",
            "",
            error.to_string(),
            "raise the thread limit (ulimit -u)",
        )
    })?;
    let _entered = timers.enter();
    let (wake, woken) = std::sync::mpsc::sync_channel(1);
    let mailbox = runtime.mailbox(move || {
        // One call, one wake: a full channel has it already.
        let _ = wake.try_send(());
    });
    let mut pool = runtime.instance_pool(Arc::clone(&mailbox));
    let context = CallContext {
        ticket: 0,
        deadline: Instant::now() + limits.call_deadline,
        behalf: None,
    };
    let mut members = Vec::new();
    // Nobody is there to be asked, and nobody listens.
    let started = pool.invoke(
        component,
        job,
        Arc::new(Caller::silent("tools/call", Revision::MODERN)),
        context,
        &mut members,
    );
    let report = match started {
        Started::Done(report) | Started::Asked(_, report) => report,
        Started::Moved(_cancel) => {
            // The worker stops the call at its deadline; the rest is for a worker that is lost.
            let patience = limits.call_deadline + Duration::from_secs(5);
            while mailbox.is_empty() && woken.recv_timeout(patience).is_ok() {}
            let finished = mailbox.take().ok_or_else(|| {
                Problem::operator(
                    exit::SOFTWARE,
                    "call",
                    "",
                    "was lost by its worker",
                    "report it with the component",
                )
            })?;
            members = finished.members;
            finished.report
        }
    };
    Ok((
        report.outcome,
        format!("{{{}}}", String::from_utf8_lossy(&members)),
    ))
}

/// The arguments' text, checked to be a JSON object.
fn arguments(given: &str) -> Result<String, Problem> {
    let text = match given.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            Problem::operator(
                exit::NO_INPUT,
                "arguments file",
                path,
                error.to_string(),
                "name a readable file after @",
            )
        })?,
        None => given.to_owned(),
    };
    let wrong = |rule: String| {
        let remedy = "write it like --args '{\"text\":\"hello\"}'";
        Problem::operator(exit::USAGE, "--args", excerpt(&text), rule, remedy)
    };
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(_)) => Ok(text),
        Ok(_) => Err(wrong("is not a JSON object".to_owned())),
        Err(error) => Err(wrong(format!("is not JSON: {error}"))),
    }
}

fn excerpt(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    if cut.len() < text.len() {
        format!("{cut}…")
    } else {
        cut
    }
}

fn unknown(name: &str, catalog: &Catalog) -> Problem {
    let remedy = match nearest(name, catalog.names()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`margay tool list` names the tools".to_owned(),
    };
    Problem::operator(
        exit::USAGE,
        "tool",
        format!("`{name}`"),
        "is not there",
        remedy,
    )
}

/// `name(parameter: type, optional?: type)  description`, one a line.
fn listing(catalog: &Catalog) -> String {
    let mut lines = Vec::new();
    for name in catalog.names() {
        let entry = catalog.tool_entry(name);
        let about = entry["description"].as_str().unwrap_or_default();
        let about = about.lines().next().unwrap_or_default();
        lines.push(
            format!("{name}({})  {about}", parameters(&entry["inputSchema"]))
                .trim_end()
                .to_owned(),
        );
    }
    if lines.is_empty() {
        "no tools; load one with `margay component load FILE`".to_owned()
    } else {
        lines.join("\n")
    }
}

fn parameters(schema: &Value) -> String {
    let required: Vec<&str> = schema["required"]
        .as_array()
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let Some(properties) = schema["properties"].as_object() else {
        return String::new();
    };
    let shown = properties.iter().map(|(name, property)| {
        let optional = if required.contains(&name.as_str()) {
            ""
        } else {
            "?"
        };
        format!(
            "{name}{optional}: {}",
            property["type"].as_str().unwrap_or("value")
        )
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_must_be_an_object_and_the_error_says_how_to_write_one() {
        assert_eq!(arguments(r#"{"a":1}"#).unwrap(), r#"{"a":1}"#);
        for (text, expected) in [
            ("[1]", "is not a JSON object"),
            ("{a:1}", "is not JSON"),
            ("@/nowhere.json", "/nowhere.json"),
        ] {
            let problem = arguments(text).unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn parameters_are_shown_with_their_types_and_which_may_be_left_out() {
        let schema = serde_json::json!({
            "properties": {"text": {"type": "string"}, "count": {"type": "integer"}, "any": {}}, "required": ["text"],
        });
        assert_eq!(
            parameters(&schema),
            "text: string, count?: integer, any?: value"
        );
        assert_eq!(parameters(&serde_json::json!({})), "");
    }
}
