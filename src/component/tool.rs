//! From a component's exports to tools: every function, exported directly or by an instance at any depth.

use std::fmt;

use serde_json::Value;
use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component as Compiled, ComponentExportIndex};

use super::host;
use super::wit::{FunctionPlan, names};

/// One exported function, as a tool.
pub struct Tool {
    name: String,
    description: String,
    input_schema: Value,
    output_schema: Option<Value>,
    plan: FunctionPlan,
    /// The names that lead to the export, instances first.
    path: Vec<String>,
}

impl Tool {
    /// The name made from the export's: `[a-z0-9_-]`, at most [`TOOL_NAME_BYTES_MAX`](crate::limits::TOOL_NAME_BYTES_MAX) bytes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says about itself.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// JSON Schema of the arguments: always an object.
    pub fn input_schema(&self) -> &Value {
        &self.input_schema
    }

    /// JSON Schema of `structuredContent`: an object with the one member `result`. None for a function without a result.
    pub fn output_schema(&self) -> Option<&Value> {
        self.output_schema.as_ref()
    }

    /// The plan between JSON text and component values.
    pub fn plan(&self) -> &FunctionPlan {
        &self.plan
    }

    /// The place of its export in this copy of the component.
    pub(super) fn find_in(&self, compiled: &Compiled) -> Option<ComponentExportIndex> {
        self.path.iter().try_fold(None, |parent, name| {
            compiled.get_export_index(parent.as_ref(), name).map(Some)
        })?
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// An export that is not a tool, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The export's name in the component.
    pub export: String,
    /// What stands in the way.
    pub reason: String,
}

/// The tools among the exports, in their order, and the functions that cannot be any.
pub(super) fn find(compiled: &Compiled, engine: &Engine) -> (Vec<Tool>, Vec<Skipped>) {
    let mut search = Search {
        engine,
        tools: Vec::new(),
        skipped: Vec::new(),
    };
    let ty = compiled.component_type();
    let exports = ty.exports(engine).map(|(name, export)| (name, export.ty));
    search.exports(&mut Vec::new(), exports);
    (search.tools, search.skipped)
}

struct Search<'c> {
    engine: &'c Engine,
    tools: Vec<Tool>,
    skipped: Vec<Skipped>,
}

impl Search<'_> {
    /// `path` names the instances that lead to these exports. Their depth is bounded: the validator bounds that of types.
    fn exports<'n>(
        &mut self,
        path: &mut Vec<String>,
        exports: impl Iterator<Item = (&'n str, ComponentItem)>,
    ) {
        for (name, item) in exports {
            path.push(name.to_owned());
            match item {
                ComponentItem::ComponentFunc(function) => self.function(path, &function),
                // Those are asked for, and not called by their names.
                ComponentItem::ComponentInstance(_) if name.starts_with(host::PACKAGE) => {}
                ComponentItem::ComponentInstance(instance) => {
                    let engine = self.engine;
                    let inner: Vec<_> = instance
                        .exports(engine)
                        .map(|(name, export)| (name, export.ty))
                        .collect();
                    self.exports(path, inner.into_iter());
                }
                _ => {}
            }
            path.pop();
        }
    }

    fn function(&mut self, path: &[String], function: &ComponentFunc) {
        let plan = match FunctionPlan::new(function) {
            Ok(plan) => plan,
            Err(reason) => {
                return self.skipped.push(Skipped {
                    export: path.join("#"),
                    reason: reason.to_string(),
                });
            }
        };
        let name = path.last().map_or("", String::as_str);
        let tool_name = names::unused(names::tool_name(path), |candidate| {
            self.tools.iter().any(|tool| tool.name == candidate)
        });
        self.tools.push(Tool {
            description: format!("Auto-generated schema for function '{name}'"),
            input_schema: plan.input_schema(),
            output_schema: plan.output_schema(),
            name: tool_name,
            plan,
            path: path.to_vec(),
        });
    }
}
