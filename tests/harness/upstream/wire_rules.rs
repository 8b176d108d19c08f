//! What a request has to be over HTTP, in each era.

use serde_json::Value;

use super::brain::{Brain, LEGACY, MODERN};
use super::wire::Request;

/// What is wrong with a modern request: the code, why, the status.
pub fn modern(request: &Request, message: &Value) -> Option<(i64, String, u16)> {
    const PREFIX: &str = "io.modelcontextprotocol/";
    let meta = &message["params"]["_meta"];
    let version = request.header("mcp-protocol-version");
    if message["method"] == "initialize" || (version.is_none() && meta.is_null()) {
        return Some((-32022, "only the modern era is spoken here".to_owned(), 400));
    }
    if message["id"].is_null() {
        return None;
    }
    let of_meta = meta[format!("{PREFIX}protocolVersion")].as_str();
    if of_meta != Some(MODERN) || !meta[format!("{PREFIX}clientCapabilities")].is_object() {
        return Some((-32602, format!("its _meta is {meta}"), 400));
    }
    let params = &message["params"];
    let name = params["name"].as_str().or(params["uri"].as_str());
    let named = matches!(
        message["method"].as_str(),
        Some("tools/call" | "prompts/get" | "resources/read")
    );
    let wanted = [
        ("mcp-protocol-version", Some(MODERN)),
        ("mcp-method", message["method"].as_str()),
        ("mcp-name", name.filter(|_| named)),
    ];
    let wrong = wanted
        .into_iter()
        .find(|(header, value)| request.header(header) != *value)?;
    Some((-32020, format!("{} is not {:?}", wrong.0, wrong.1), 400))
}

/// What is wrong with a legacy request: the status, and why.
pub fn legacy(brain: &Brain, request: &Request, message: &Value) -> Option<(u16, String)> {
    let Some(session) = request.header("mcp-session-id") else {
        return Some((400, "no session".to_owned()));
    };
    let Some(found) = brain.session(session) else {
        return Some((404, "no such session".to_owned()));
    };
    if request.header("mcp-protocol-version") != Some(LEGACY) {
        brain.complain(format!("the version is not {LEGACY}: {message}"));
    }
    let method = message["method"].as_str().unwrap_or_default();
    if !found.is_initialized && !matches!(method, "notifications/initialized" | "ping") {
        brain.complain(format!("before the handshake's end: {message}"));
    }
    None
}

/// What is wrong with a modern request where there are no headers.
pub fn modern_on_a_pipe(message: &Value) -> Option<&'static str> {
    let version = &message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
    (version != MODERN).then_some("no version")
}
