//! `margay component`: the directory of loaded components.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Subcommand;

use crate::component::Entry;
use crate::control::config::{Config, LogLevel, show_size};
use crate::control::loading;
use crate::control::policies;
use crate::control::store::{Loaded, Manifest, Store};
use crate::error::{Problem, exit};

use super::{Common, print_line};

pub(super) const EXAMPLES: &str = "\
Examples:
  margay component load weather.wasm   a running `margay serve` has its tools
                                       within a second
  margay component load build/out.wasm --name weather
  margay component import ~/.local/share/wassette/components
  margay component list
  margay component inspect weather
  margay component remove weather";

#[derive(Debug, Subcommand)]
pub(super) enum ComponentCommand {
    /// Check a component file and keep it. One of the same name is replaced.
    Load {
        /// A .wasm component file.
        file: PathBuf,
        /// The name to keep it under [default: the file's name without .wasm].
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Load every component of another directory with its policy: NAME.wasm with NAME.policy.yaml, as Wassette keeps them.
    Import {
        /// The directory. Nothing in it is changed.
        directory: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// List what is loaded.
    List {
        /// Print the manifests as a JSON array.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Show a component's manifest, check its bytes, and show its tools with their schemas.
    Inspect {
        /// Its name, or the beginning of its digest.
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Forget a component.
    Remove {
        /// Its name, or the beginning of its digest.
        name: String,
        #[command(flatten)]
        common: Common,
    },
}

pub(super) fn run(command: &ComponentCommand) -> Result<u8, Problem> {
    match command {
        ComponentCommand::Load { file, name, common } => {
            let (config, store) = open(common)?;
            load(&config, &store, file, name.as_deref())
        }
        ComponentCommand::Import { directory, common } => {
            let (config, store) = open(common)?;
            import(&config, &store, directory)
        }
        ComponentCommand::List { json, common } => list(&open(common)?.1, *json),
        ComponentCommand::Inspect { name, common } => {
            let (config, store) = open(common)?;
            inspect(&config, &store, name)
        }
        ComponentCommand::Remove { name, common } => {
            let (_, store) = open(common)?;
            let removed = loading::remove(&store, name)?;
            print_line(&format!(
                "removed {} ({})",
                removed.name,
                tools_shown(&removed)
            ))
        }
    }
}

fn open(common: &Common) -> Result<(Config, Store), Problem> {
    let mut config = common.load(&common.overrides(&[]), LogLevel::Warn)?;
    let directory = config
        .component_dir
        .take()
        .unwrap_or_else(crate::control::config::default_component_dir);
    Ok((config, Store::new(directory)))
}

fn load(
    config: &Config,
    store: &Store,
    file: &std::path::Path,
    name: Option<&str>,
) -> Result<u8, Problem> {
    let loaded = loading::load(config, store, file, name)?;
    let (word, manifest) = match &loaded {
        Loaded::New(manifest) => ("loaded", manifest),
        Loaded::Replaced { new, .. } => ("replaced", new),
        Loaded::Unchanged(manifest) => ("already loaded", manifest),
    };
    print_line(&format!(
        "{word} {} {}: {}",
        manifest.name,
        short(manifest),
        tools_shown(manifest)
    ))?;
    let (beside, own) = (policies::beside(file), store.policy_path(&manifest.name));
    match (policies::text(&beside)?, policies::text(&own)?) {
        (Some(given), Some(kept)) if given != kept => print_line(&format!(
            "its policy stays as it is in {}; {} was not taken over",
            own.display(),
            beside.display()
        )),
        _ => Ok(0),
    }
}

/// Loads what can be loaded; what cannot is told, and the rest is loaded all the same.
fn import(config: &Config, store: &Store, directory: &std::path::Path) -> Result<u8, Problem> {
    let unreadable = |error: std::io::Error| {
        let shown = directory.display().to_string();
        let remedy = "name a directory with .wasm files";
        Problem::operator(
            exit::NO_INPUT,
            "directory",
            shown,
            error.to_string(),
            remedy,
        )
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|ending| ending == "wasm") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(unreadable(std::io::Error::other("has no .wasm files")));
    }
    let mut code = 0;
    for file in &files {
        if let Err(problem) = load(config, store, file, None) {
            super::print_problem(&problem);
            code = exit::DATA;
        }
    }
    Ok(code)
}

fn tools_shown(manifest: &Manifest) -> String {
    match manifest.tools.as_slice() {
        [] => "resources or prompts, no tools".to_owned(),
        tools => tools.join(", "),
    }
}

fn list(store: &Store, json: bool) -> Result<u8, Problem> {
    let listing = store.list()?;
    for problem in &listing.damaged {
        super::print_problem(problem);
    }
    if json {
        let text = serde_json::to_string_pretty(&listing.manifests);
        print_line(&text.expect("invariant: strings and numbers always serialize"))?;
    } else if listing.manifests.is_empty() {
        print_line(&format!(
            "nothing is loaded in {}",
            store.directory().display()
        ))?;
    } else {
        print_line(&table(&listing.manifests))?;
    }
    Ok(if listing.damaged.is_empty() {
        0
    } else {
        exit::DATA
    })
}

fn table(manifests: &[Manifest]) -> String {
    let width = manifests
        .iter()
        .map(|manifest| manifest.name.len())
        .max()
        .unwrap_or(0)
        .max(4);
    let mut text = format!("{:width$}  {:12}  {:>9}  TOOLS", "NAME", "DIGEST", "SIZE");
    for manifest in manifests {
        let size = usize::try_from(manifest.bytes)
            .map(rounded_size)
            .unwrap_or_default();
        let tools = tools_shown(manifest);
        let _ = write!(
            text,
            "\n{:width$}  {:12}  {size:>9}  {tools}",
            manifest.name,
            short(manifest)
        );
    }
    text
}

fn rounded_size(bytes: usize) -> String {
    show_size(if bytes < 1 << 20 {
        bytes.div_ceil(1 << 10) << 10
    } else {
        bytes.div_ceil(1 << 20) << 20
    })
}

fn short(manifest: &Manifest) -> &str {
    &manifest.digest[..12]
}

fn inspect(config: &Config, store: &Store, name: &str) -> Result<u8, Problem> {
    let manifest = store.inspect(name)?;
    let bytes = store.read(&manifest)?;
    let options = config.component_options.get(&manifest.name);
    let component = loading::runtime(config)?
        .load_with(&manifest.name, &bytes, options.cloned().unwrap_or_default())
        .map_err(|error| error.into_problem(format!("{} ({})", manifest.name, manifest.source)))?;
    let listed = component.definitions();
    let mut tools: Vec<serde_json::Value> = component
        .tools()
        .iter()
        .map(|tool| {
            serde_json::json!({
                "name": tool.name(),
                "description": tool.description(),
                "inputSchema": tool.input_schema(),
                "outputSchema": tool.output_schema(),
            })
        })
        .collect();
    tools.extend(
        listed
            .tools
            .iter()
            .map(|tool| entry("name", &tool.name, &tool.entry)),
    );
    let resources = listed.resources.iter();
    let templates = listed.templates.iter();
    let prompts = listed.prompts.iter();
    let skipped: Vec<serde_json::Value> = component
        .skipped()
        .iter()
        .map(|skipped| serde_json::json!({"export": skipped.export, "reason": skipped.reason}))
        .collect();
    let page = serde_json::json!({
        "name": manifest.name,
        "digest": format!("sha256:{}", manifest.digest),
        "bytes": manifest.bytes,
        "source": manifest.source,
        "loadedAt": manifest.loaded_at,
        "engine": component.engine_mode().as_str(),
        "imports": component.has_imports(),
        "instances": component.options().instances.as_str(),
        "tools": tools,
        "resources": resources.map(|one| entry("uri", &one.uri, &one.entry)).collect::<Vec<_>>(),
        "resourceTemplates": templates
            .map(|one| entry("uriTemplate", &one.uri_template, &one.entry))
            .collect::<Vec<_>>(),
        "prompts": prompts.map(|one| entry("name", &one.name, &one.entry)).collect::<Vec<_>>(),
        "notTools": skipped,
    });
    print_line(
        &serde_json::to_string_pretty(&page).expect("invariant: a JSON value always serializes"),
    )
}

/// An entry of a list as clients see it.
fn entry(key: &str, name: &str, entry: &Entry) -> serde_json::Value {
    let mut whole = serde_json::Map::new();
    whole.insert(key.to_owned(), name.into());
    if let serde_json::Value::Object(members) = entry.to_value() {
        whole.extend(members);
    }
    whole.into()
}
