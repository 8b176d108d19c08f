//! Components of `margay:host` for tests: hand-written modules, with their data laid out as the canonical ABI has it.

use std::fmt::Write as _;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where data begins; below it is room for what the host returns.
const DATA_START: u32 = 4096;

/// A module that is to become a component.
#[derive(Default)]
pub struct Module {
    imports: String,
    fields: String,
    data: Vec<u8>,
    exports: Vec<&'static str>,
}

impl Module {
    /// Declares a function of an imported interface: `signature` is its core type.
    pub fn import(mut self, interface: &str, function: &str, signature: &str) -> Self {
        let _ = writeln!(
            self.imports,
            "(import \"margay:host/{interface}@0.1.0\" \"{function}\" (func ${function} {signature}))"
        );
        self
    }

    /// Defines a function of an exported interface.
    pub fn export(mut self, interface: &'static str, function: &str, body: &str) -> Self {
        let _ = writeln!(
            self.fields,
            "(func (export \"margay:host/{interface}@0.1.0#{function}\") {body})"
        );
        if !self.exports.contains(&interface) {
            self.exports.push(interface);
        }
        self
    }

    /// Further fields of the module.
    pub fn field(mut self, field: &str) -> Self {
        self.fields.push_str(field);
        self
    }

    /// Lays bytes into the memory, at a multiple of eight.
    pub fn put(&mut self, bytes: &[u8]) -> u32 {
        while !self.data.len().is_multiple_of(8) {
            self.data.push(0);
        }
        let at = DATA_START + self.data.len() as u32;
        self.data.extend_from_slice(bytes);
        at
    }

    /// A string or a list of bytes: its address and its length.
    pub fn string(&mut self, text: &str) -> Vec<u8> {
        let at = self.put(text.as_bytes());
        words(&[at, text.len() as u32])
    }

    /// An optional string.
    pub fn option(&mut self, text: Option<&str>) -> Vec<u8> {
        match text {
            Some(text) => [words(&[1]), self.string(text)].concat(),
            None => words(&[0, 0, 0]),
        }
    }

    /// A `tool`.
    pub fn tool(&mut self, name: &str, input_schema: &str, output_schema: Option<&str>) -> Vec<u8> {
        self.tool_as(0, name, input_schema, output_schema)
    }

    /// The same with this `task-support`, by its place in the enumeration.
    pub fn tool_as(
        &mut self,
        task_support: u32,
        name: &str,
        input_schema: &str,
        output_schema: Option<&str>,
    ) -> Vec<u8> {
        let parts = [
            self.string(name),
            self.option(None),
            self.option(Some("Says something")),
            self.string(input_schema),
            self.option(output_schema),
            // No annotations, no icons.
            vec![0; 24],
            words(&[0, 0]),
            words(&[task_support]),
            self.option(None),
        ];
        let tool = parts.concat();
        assert_eq!(tool.len(), 100);
        tool
    }

    /// `list-tools` gives these, to be kept for a second by everybody.
    pub fn lists_tools(mut self, tools: &[(&str, &str, Option<&str>)]) -> Self {
        let mut list = Vec::new();
        for (name, input, output) in tools {
            list.extend(self.tool(name, input, *output));
        }
        self.lists(list, tools.len())
    }

    /// The same of so many tools that are laid out already.
    pub fn lists(mut self, tools: Vec<u8>, count: usize) -> Self {
        let at = self.put(&tools);
        let hints = [words(&[1, 0, 1000, 0]), words(&[0, 0])].concat();
        let list = self.put(&[words(&[at, count as u32]), hints].concat());
        self.export(
            "tools",
            "list-tools",
            &format!("(result i32) (i32.const {list})"),
        )
    }

    /// One tool `run` without parameters, and how it is called: with `$name`, `$name_len`, `$args`, `$args_len`.
    pub fn one_tool(self, body: &str) -> Self {
        self.lists_tools(&[("run", r#"{"type":"object"}"#, None)])
            .export(
                "tools",
                "call-tool",
                &format!(
                    "(param $name i32) (param $name_len i32) (param $args i32) (param $args_len i32) (result i32) {body}"
                ),
            )
    }

    /// Exports resources: these addresses and templates are listed; none can be read.
    pub fn lists_resources(mut self, uris: &[&str], templates: &[&str]) -> Self {
        let mut resources = Vec::new();
        for uri in uris {
            resources.extend(self.resource(uri));
        }
        let mut list = Vec::new();
        for template in templates {
            list.extend(
                [
                    self.string(template),
                    self.string("T"),
                    // No title, description or type; padding; no annotations, icons or meta; padding.
                    words(&[0; 9]),
                    vec![0; 4 + 48 + 8 + 12 + 4],
                ]
                .concat(),
            );
        }
        let (resources, templates_at) = (self.put(&resources), self.put(&list));
        let counts = [uris.len() as u32, templates.len() as u32];
        let list = self.put(
            &[
                words(&[resources, counts[0], templates_at, counts[1]]),
                words(&[0; 6]),
            ]
            .concat(),
        );
        let traps = "(param i32 i32) (result i32) (unreachable)";
        self.export(
            "resources",
            "list-resources",
            &format!("(result i32) (i32.const {list})"),
        )
        .export("resources", "read-resource", traps)
        .export("resources", "subscribe", traps)
    }

    /// A `resource-info`.
    pub fn resource(&mut self, uri: &str) -> Vec<u8> {
        let resource = [
            self.string(uri),
            self.string("R"),
            words(&[0; 9]),
            // Padding to the alignment of the size; no size, annotations, icons or meta; padding.
            vec![0; 4 + 16 + 48 + 8 + 12 + 4],
        ]
        .concat();
        assert_eq!(resource.len(), 144);
        resource
    }

    /// Exports prompts: these names are listed; none can be got.
    pub fn lists_prompts(mut self, names: &[&str]) -> Self {
        let mut list = Vec::new();
        for name in names {
            let prompt = [self.string(name), words(&[0; 13])].concat();
            assert_eq!(prompt.len(), 60);
            list.extend(prompt);
        }
        let at = self.put(&list);
        let list = self.put(&[words(&[at, names.len() as u32]), words(&[0; 6])].concat());
        let signature = "(param i32 i32 i32 i32) (result i32) (unreachable)";
        self.export(
            "prompts",
            "list-prompts",
            &format!("(result i32) (i32.const {list})"),
        )
        .export("prompts", "get-prompt", signature)
    }

    /// Exports completion, which nobody may ask for.
    pub fn completes(self) -> Self {
        let signature = "(param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (unreachable)";
        self.export("completion", "complete", signature)
    }

    /// The component.
    pub fn build(self) -> Vec<u8> {
        let data: String = self
            .data
            .iter()
            .map(|byte| format!("\\{byte:02x}"))
            .collect();
        let free = DATA_START + self.data.len() as u32 + 64;
        let Self {
            imports, fields, ..
        } = &self;
        let text = format!(
            r#"(module {imports}
            (memory (export "memory") 4)
            (data (i32.const {DATA_START}) "{data}")
            (global $free (mut i32) (i32.const {free}))
            (func $take (param $size i32) (result i32) (local $at i32)
              (local.set $at (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
              (global.set $free (i32.add (local.get $at) (local.get $size)))
              (local.get $at))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $take (local.get 3)))
            ;; The result of a tool that says this text.
            (func $said (param $text i32) (param $length i32) (result i32) (local $result i32) (local $content i32)
              (local.set $result (call $take (i32.const 64)))
              (local.set $content (call $take (i32.const 216)))
              (i32.store offset=8 (local.get $content) (local.get $text))
              (i32.store offset=12 (local.get $content) (local.get $length))
              (i32.store offset=4 (local.get $result) (local.get $content))
              (i32.store offset=8 (local.get $result) (i32.const 1))
              (local.get $result))
            {fields})"#
        );
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut resolve = Resolve::default();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/component/wit/host");
        resolve.push_dir(folder).unwrap();
        let interfaces = ["context", "ask", "state", "changes"];
        let imports: String = interfaces
            .iter()
            .map(|name| format!("import margay:host/{name}@0.1.0;"))
            .collect();
        let exports: String = self
            .exports
            .iter()
            .map(|name| format!("export margay:host/{name}@0.1.0;"))
            .collect();
        let world = format!("package test:guest; world guest {{ {imports} {exports} }}");
        let package = resolve.push_str("guest.wit", &world).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default()
            .module(&module)
            .and_then(|encoder| encoder.validate(true).encode())
            .unwrap_or_else(|error| panic!("{error:?}\n{text}"))
    }
}

/// Words of a memory.
pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
