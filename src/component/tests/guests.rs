//! Components for tests, as text.

/// A memory with an allocator that takes the next free bytes.
const HEAP: &str = r#"
    (memory (export "memory") 1 65536)
    (global $free (mut i32) (i32.const 1024))
    (func $realloc (export "realloc") (param i32 i32 i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
      (global.set $free (i32.add (local.get $at) (local.get $size)))
      (block $done
        (loop $more
          (br_if $done (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
          (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
          (unreachable)))
      (local.get $at))"#;

/// `run: func(text: string) -> string` with this body (parameters `$p` and `$n`; result: address of address and length).
pub fn text_tool(body: &str) -> String {
    text_tool_with(body, "")
}

/// The same with further fields of its module.
pub fn text_tool_with(body: &str, fields: &str) -> String {
    component(
        "(param \"text\" string) (result string)",
        "(param $p i32) (param $n i32) (result i32)",
        body,
        fields,
    )
}

/// `run: func() -> string`, with further fields of its module.
pub fn module_tool(body: &str, fields: &str) -> String {
    component("(result string)", "(result i32)", body, fields)
}

fn component(signature: &str, core: &str, body: &str, fields: &str) -> String {
    format!(
        r#"(component
  (core module $m {HEAP} {fields}
    (func $run (export "run") {core} {body}))
  (core instance $i (instantiate $m))
  (func $run {signature}
    (canon lift (core func $i "run") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (export "run" (func $run)))"#
    )
}

/// Gives the text back.
pub fn echo() -> String {
    text_tool(
        "(i32.store (i32.const 0) (local.get $p)) (i32.store (i32.const 4) (local.get $n)) (i32.const 0)",
    )
}

/// `run: func(value: T, pad: option<…>) -> tuple<T, option<…>>` as the identity.
///
/// The padding makes the parameters more than 16 core values, so they come by address, laid out as the result tuple is.
/// `types` defines and exports what `ty` names.
pub fn identity(types: &str, ty: &str) -> String {
    let pad = "u8 ".repeat(17);
    format!(
        r#"(component
  {types}
  (core module $m {HEAP}
    (func (export "run") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m))
  (func $run (param "value" {ty}) (param "pad" (option (tuple {pad}))) (result (tuple {ty} (option (tuple {pad}))))
    (canon lift (core func $i "run") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (export "run" (func $run)))"#
    )
}

/// A component whose one tool calls the host: `imports` declares instances, `lowers` lowers their functions with the memory of
/// the instance `$memory`, `links` hands them to the module as fields of the instance "host", and `fields` is the module.
pub fn host_tool(imports: &str, lowers: &str, links: &str, fields: &str) -> String {
    format!(
        r#"(component
  {imports}
  (core module $memory_module (memory (export "memory") 2))
  (core instance $memory (instantiate $memory_module))
  {lowers}
  (core module $m
    (import "host" "memory" (memory 1))
    {fields})
  (core instance $i (instantiate $m (with "host" (instance (export "memory" (memory $memory "memory")) {links}))))
  (func $run (result string) (canon lift (core func $i "run") (memory (core memory $memory "memory"))))
  (export "run" (func $run)))"#
    )
}
