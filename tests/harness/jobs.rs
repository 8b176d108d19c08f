//! A component whose tools are tasks of each kind.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::hosted::{Module, words};

/// Name, and the place of its `task-support`: forbidden, optional, required, deferred.
const TOOLS: [(&str, u32); 7] = [
    ("never", 0),
    ("quick", 1),
    ("spin", 1),
    ("ask_two", 1),
    ("fail", 1),
    ("must", 2),
    ("defer", 3),
];

/// The file of the component.
pub fn jobs() -> PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let path = super::scratch("jobs").join("jobs.wasm");
        std::fs::write(&path, build()).unwrap();
        path
    })
    .clone()
}

/// A question for a form, as the canonical ABI lays it out.
fn question(module: &mut Module, key: &str) -> Vec<u8> {
    let schema = r#"{"type":"object","properties":{"text":{"type":"string"}}}"#;
    let parts = [
        module.string(key),
        words(&[0]),
        module.string(&format!("What is {key}?")),
        module.string(schema),
        words(&[0, 0]),
    ];
    parts.concat()
}

fn build() -> Vec<u8> {
    let mut module = Module::default()
        .import("ask", "ask", "(param i32 i32 i32)")
        .import("context", "become-task", "");
    let mut list = Vec::new();
    for (name, support) in TOOLS {
        list.extend(module.tool_as(support, name, r#"{"type":"object"}"#, None));
    }
    let two = [
        question(&mut module, "first"),
        question(&mut module, "second"),
    ]
    .concat();
    let two = module.put(&two);
    let name = question(&mut module, "name");
    let name = module.put(&name);
    let mut say = |text: &str| {
        let at = module.put(text.as_bytes());
        format!("(call $said (i32.const {at}) (i32.const {}))", text.len())
    };
    let (done, answered, deferred) = (say("done"), say("answered"), say("it was a task"));
    let broken = module.put(b"it is broken");
    let body = format!(
        r#"(param $name i32) (param i32) (param i32) (param i32) (result i32) (local $first i32) (local $result i32)
        (local.set $first (i32.load8_u (local.get $name)))
        (if (i32.eq (local.get $first) (i32.const 115)) (then (loop $more (br $more))))
        (if (i32.eq (local.get $first) (i32.const 97)) (then
          (call $ask (i32.const {two}) (i32.const 2) (i32.const 16)) (return {answered})))
        (if (i32.eq (local.get $first) (i32.const 100)) (then
          (call $ask (i32.const {name}) (i32.const 1) (i32.const 16)) (call $become-task) (return {deferred})))
        (if (i32.eq (local.get $first) (i32.const 102)) (then
          (local.set $result (call $take (i32.const 64)))
          (i32.store8 (local.get $result) (i32.const 1))
          (i32.store8 offset=4 (local.get $result) (i32.const 2))
          (i32.store offset=8 (local.get $result) (i32.const {broken}))
          (i32.store offset=12 (local.get $result) (i32.const 12))
          (return (local.get $result))))
        {done}"#
    );
    module
        .lists(list, TOOLS.len())
        .export("tools", "call-tool", &body)
        .build()
}
