//! One native echo tool on the official Rust SDK: streamable HTTP, stateless, JSON answers, one thread; or standard
//! input and output.
//!
//! It is built with the settings that are fastest for it (no sessions, JSON instead of SSE, full link-time
//! optimisation), so that a comparison with it errs on its side.
#![forbid(unsafe_code)]

use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use rmcp::{ServerHandler, ServiceExt, tool, tool_handler, tool_router};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Echo {
    /// What to say back.
    text: String,
}

#[derive(Clone)]
struct Peer;

#[tool_router]
impl Peer {
    #[tool(description = "Returns the text it was given.")]
    fn echo(&self, Parameters(Echo { text }): Parameters<Echo>) -> String {
        text
    }
}

#[tool_handler]
impl ServerHandler for Peer {}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = std::env::args()
        .nth(1)
        .ok_or("usage: peer-rmcp ADDRESS:PORT | stdio")?;
    if place == "stdio" {
        let service = Peer.serve(rmcp::transport::stdio()).await?;
        service.waiting().await?;
        return Ok(());
    }
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    let service =
        StreamableHttpService::new(|| Ok(Peer), LocalSessionManager::default().into(), config);
    let router = axum::Router::new().nest_service("/mcp", service);
    let listener = tokio::net::TcpListener::bind(place).await?;
    axum::serve(listener, router).await?;
    Ok(())
}
