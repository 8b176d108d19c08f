//! Upstreams over HTTP/1.1: one connection as bytes and events, the pool of connections, and where an upstream is.

mod answer;
mod connection;
mod endpoint;
mod error;
mod pool;
mod url;

pub use answer::{AnswerHead, Media};
pub use connection::{ClientConnection, ClientEvent, ClientLimits, ClientTimeouts};
pub use endpoint::{Endpoint, Facts};
pub use error::ClientError;
pub use pool::{Checkout, Pool, PoolRules};
pub use url::{Scheme, Url, UrlError};
