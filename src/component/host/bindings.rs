//! What is generated from the WIT package `margay:host`: its types, the traits of its imports, the callers of its exports.
//!
//! Only `ask` waits; the other imports answer at once and take no fiber switch.
#![allow(missing_docs)]

wasmtime::component::bindgen!({
    path: "src/component/wit/host",
    world: "server",
    imports: {
        "margay:host/ask.ask": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});
