//! Returns what it is given.

wit_bindgen::generate!({ path: "wit", world: "tool" });

struct Tool;

impl Guest for Tool {
    fn echo(text: String) -> String {
        text
    }
}

export!(Tool);
