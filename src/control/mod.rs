//! Control: everything that is not a request. Configuration, loading of components, admin listener, signals, drain.
//!
//! One thread, beside a few that block: compiling, looking at the component directory. It reaches the shards by publishing
//! snapshots and by bounded messages ([`plane::Plane`]); no shard ever waits for it.
#![forbid(unsafe_code)]

pub mod admin;
mod audit;
pub mod auth;
pub mod components;
pub mod config;
pub mod credentials;
mod directory;
pub mod fetch;
pub(crate) mod harden;
pub mod loading;
pub mod management;
pub mod manifest;
pub mod own;
pub mod pins;
pub mod plane;
pub mod policies;
pub mod publisher;
pub mod secret;
pub mod secrets;
pub mod serve;
pub mod shards;
pub mod stdio;
pub mod store;
mod tls;
pub mod upstreams;
