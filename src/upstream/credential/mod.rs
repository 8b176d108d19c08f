//! Credentials of our own for upstreams: what OAuth 2.1 wants of a client, without a socket, a clock or a file.
//!
//! ```text
//!   401 + challenge ─▶ resource's document ─▶ server's document ─▶ who we are there ─▶ [authorize: PKCE, state, iss] ─▶ token
//!        challenge        location, documents       documents         registration        authorization          token
//! ```
//!
//! Invariants: no token of a caller is ever among them; a document counts only where it speaks of the very resource and the very
//! issuer that it was asked for; what was registered with one issuer is never shown to another; an authorization without PKCE by
//! S256 is not begun; nothing here shows a secret.

mod authorization;
mod challenge;
mod client;
mod documents;
mod guard;
mod held;
mod location;
mod refusal;
mod registration;
mod scopes;
mod settings;
mod token;

pub use authorization::{Attempt, Randoms};
pub use challenge::Challenge;
pub use client::{Client, Proof, SigningAlgorithm, SigningKey};
pub use documents::{Resource, Server};
pub use guard::{Guard, Range};
pub use held::{Credential, Issued};
pub use location::{resource_documents, server_documents};
pub use refusal::Refusal;
pub use registration::{Registered, Registration, choose};
pub use scopes::{Scopes, to_ask_for};
pub use settings::{
    AuthSettings, AuthorizationCode, ClientCredentials, ClientProof, ClientSettings, Method,
    StaticHeader, TokenExchange,
};
pub use token::{Form, Grant, Tokens, form};

#[cfg(test)]
mod tests;
