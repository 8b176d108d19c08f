//! A component that knows its host, for tests: written by hand, so that no toolchain for WebAssembly has to be there.

use super::hosted::{Module, words};

const OBJECT: &str = r#"{"type":"object"}"#;
const REGION: &str =
    r#"{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}"#;

/// What each tool does; a name is told by its first letter.
///
/// - `say`: progress 1 of 2, progress 2 of 2, a log message at `info`; then it says its arguments.
/// - `ask`: asks for a form under the key `name`, and says the content of the answer, or "none".
/// - `release`: lets the client come back after 50 ms, then does as `ask`.
/// - `where`: asks for the client's roots, and says "asked".
/// - `change`: announces its tools, its prompts and the resource `a:b`, and says "changed".
/// - `loop`: never ends.
/// - `header`: says its arguments, of which `region` is repeated in a header.
const TOOLS: [(&str, &str, Option<&str>); 7] = [
    ("say", OBJECT, None),
    ("ask", OBJECT, None),
    ("release", OBJECT, None),
    ("where", OBJECT, None),
    ("change", OBJECT, None),
    ("loop", OBJECT, None),
    ("header", REGION, None),
];

/// The component: those tools, the resource `a:b`, the prompt `p`, and completion.
pub fn everything() -> Vec<u8> {
    let mut module = Module::default()
        .import("context", "progress", "(param f64 i32 f64 i32 i32 i32)")
        .import("context", "log", "(param i32 i32 i32 i32 i32 i32)")
        .import("context", "release-stream", "(param i32)")
        .import("ask", "ask", "(param i32 i32 i32)")
        .import("changes", "tools-changed", "")
        .import("changes", "prompts-changed", "")
        .import("changes", "resource-updated", "(param i32 i32)");
    let speech = speech(&mut module);
    let question = question(&mut module);
    let (roots, changes) = (roots(&mut module), changes(&mut module));
    let when = |letter: char, body: &str| {
        let letter = letter as u32;
        format!("(if (i32.eq (local.get $first) (i32.const {letter})) (then {body}))")
    };
    let arguments = "(return (call $said (local.get $args) (local.get $args_len)))";
    let body = [
        "(local $first i32) (local $answer i32)".to_owned(),
        "(local.set $first (i32.load8_u (local.get $name)))".to_owned(),
        when('s', &format!("{speech} {arguments}")),
        when('h', arguments),
        when('l', "(loop $for_ever (br $for_ever))"),
        when('w', &roots),
        when('c', &changes),
        when('r', "(call $release-stream (i32.const 50))"),
        question,
    ]
    .concat();
    let parameters = "(param $name i32) (param $name_len i32) (param $args i32) (param $args_len i32) (result i32)";
    let module =
        module
            .lists_tools(&TOOLS)
            .export("tools", "call-tool", &format!("{parameters} {body}"));
    completion(prompts(resources(module))).build()
}

fn speech(module: &mut Module) -> String {
    let (logger, data) = (module.put(b"guest"), module.put(b"\"said\""));
    let progress = |value: u32| {
        format!(
            "(call $progress (f64.const {value}) (i32.const 1) (f64.const 2) (i32.const 0) (i32.const 0) (i32.const 0))"
        )
    };
    let log = format!(
        "(call $log (i32.const 1) (i32.const 1) (i32.const {logger}) (i32.const 5) (i32.const {data}) (i32.const 6))"
    );
    [progress(1), progress(2), log].concat()
}

/// The list of answers is returned at 16: its first element is a case, an action, and an optional text.
fn question(module: &mut Module) -> String {
    let question = [
        module.string("name"),
        words(&[0]),
        module.string("Who?"),
        module.string(OBJECT),
        words(&[0, 0]),
    ]
    .concat();
    let (question, none) = (module.put(&question), module.put(b"none"));
    format!(
        "(call $ask (i32.const {question}) (i32.const 1) (i32.const 16))
         (local.set $answer (i32.load (i32.const 16)))
         (if (result i32) (i32.and (i32.eqz (i32.load8_u (local.get $answer))) (i32.load8_u offset=8 (local.get $answer)))
           (then (call $said (i32.load offset=12 (local.get $answer)) (i32.load offset=16 (local.get $answer))))
           (else (call $said (i32.const {none}) (i32.const 4))))"
    )
}

fn roots(module: &mut Module) -> String {
    let question = [module.string("where"), words(&[3, 0, 0, 0, 0, 0, 0])].concat();
    let (question, text) = (module.put(&question), module.put(b"asked"));
    format!(
        "(call $ask (i32.const {question}) (i32.const 1) (i32.const 16))
         (return (call $said (i32.const {text}) (i32.const 5)))"
    )
}

fn changes(module: &mut Module) -> String {
    let (uri, text) = (module.put(b"a:b"), module.put(b"changed"));
    format!(
        "(call $tools-changed) (call $prompts-changed)
         (call $resource-updated (i32.const {uri}) (i32.const 3))
         (return (call $said (i32.const {text}) (i32.const 7)))"
    )
}

/// Knows `a:b`, whose text is "held"; whatever else is asked for is not found.
fn resources(mut module: Module) -> Module {
    let resource = module.resource("a:b");
    let resource = module.put(&resource);
    let list = module.put(&[words(&[resource, 1, 0, 0, 0, 0]), words(&[0; 4])].concat());
    let contents = [
        module.string("a:b"),
        words(&[0; 3]),
        words(&[0]),
        module.string("held"),
        words(&[0; 3]),
    ]
    .concat();
    let contents = module.put(&contents);
    let found = module.put(&[words(&[0, 0, contents, 1]), words(&[0; 6])].concat());
    let accepted = module.put(&words(&[0; 8]));
    module
        .export(
            "resources",
            "list-resources",
            &format!("(result i32) (i32.const {list})"),
        )
        .export(
            "resources",
            "read-resource",
            &format!("(param i32 i32) (result i32) (i32.const {found})"),
        )
        .export(
            "resources",
            "subscribe",
            &format!("(param i32 i32) (result i32) (i32.const {accepted})"),
        )
}

/// Makes of `p` one message of the user: "prompted".
fn prompts(mut module: Module) -> Module {
    let prompt = [module.string("p"), words(&[0; 13])].concat();
    let prompt = module.put(&prompt);
    let list = module.put(&[words(&[prompt, 1]), words(&[0; 6])].concat());
    let text = module.string("prompted");
    // The role; then a block of text, and neither annotations nor meta.
    let message = [words(&[0, 0, 0, 0]), text, vec![0; 224 - 24]].concat();
    let message = module.put(&message);
    let result = module.put(&words(&[0, 0, 0, 0, message, 1, 0, 0]));
    module
        .export(
            "prompts",
            "list-prompts",
            &format!("(result i32) (i32.const {list})"),
        )
        .export(
            "prompts",
            "get-prompt",
            &format!("(param i32 i32 i32 i32) (result i32) (i32.const {result})"),
        )
}

/// Suggests "one" and "two".
fn completion(mut module: Module) -> Module {
    let values = [module.string("one"), module.string("two")].concat();
    let values = module.put(&values);
    let result = module.put(&words(&[0, values, 2, 0, 0, 0, 0, 0]));
    module.export(
        "completion",
        "complete",
        &format!("(param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const {result})"),
    )
}
