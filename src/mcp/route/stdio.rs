//! Messages over stdio: one process, one client, no headers.
//!
//! Source: MCP 2026-07-28 basic/transports/stdio and basic/versioning; 2025-11-25 basic/lifecycle.

use super::{Route, Setting, begin, invoke, level_set, notice, response};
use crate::mcp::capability::{ClientCapabilities, LogLevel};
use crate::mcp::message::{META_VERSION, Message, Shape, Value};
use crate::mcp::method::Method;
use crate::mcp::refusal::{Reason, Refusal, Requested};
use crate::mcp::revision::{Era, Revision};

/// What the process knows of its client's legacy handshake. Modern requests neither need nor change it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    handshake: Option<Handshake>,
}

#[derive(Clone, Copy, Debug)]
struct Handshake {
    revision: Revision,
    capabilities: ClientCapabilities,
    log_level: Option<LogLevel>,
    initialized: bool,
}

impl Process {
    /// The negotiated revision, once there is one.
    pub fn revision(&self) -> Option<Revision> {
        self.handshake.map(|handshake| handshake.revision)
    }

    /// Whether `notifications/initialized` has come, so that the client may be sent notifications of its own.
    pub fn is_initialized(&self) -> bool {
        self.handshake
            .is_some_and(|handshake| handshake.initialized)
    }
}

/// Decides over a line that was scanned. An `initialize` that is not refused starts the legacy era for this process.
pub fn route_stdio<'b>(
    process: &mut Process,
    message: &Message<'b>,
) -> Result<Route<'b>, Refusal<'b>> {
    let refuse = |reason| Refusal::new(reason, message.id);
    match message.shape {
        Shape::Response => return Ok(response(None, message)),
        Shape::Notification => {
            let notice = notice(None, message);
            if let (super::Notice::Initialized, Some(handshake)) = (&notice, &mut process.handshake)
            {
                handshake.initialized = true;
            }
            return Ok(Route::Notice(notice));
        }
        Shape::Request => {}
    }
    let era = match message.params.meta.protocol_version {
        Value::Absent => Era::Legacy,
        Value::Text(body) => match body
            .as_plain()
            .and_then(|name| Revision::parse(name.as_bytes()))
        {
            Some(revision) => revision.era(),
            None => {
                return Err(refuse(Reason::Version {
                    requested: Requested::Body(body),
                }));
            }
        },
        _ => {
            return Err(refuse(Reason::Meta {
                key: META_VERSION,
                expected: "a string",
            }));
        }
    };
    if era == Era::Modern {
        let setting = Setting::modern(message, None).map_err(refuse)?;
        return invoke(setting, message);
    }
    let before = Setting {
        revision: Revision::LEGACY_LATEST,
        session: None,
        capabilities: ClientCapabilities::NONE,
        log_level: None,
        accept: None,
    };
    match (process.handshake, message.method.and_then(Method::parse)) {
        (Some(_), Some(Method::Initialize)) => Err(refuse(Reason::AlreadyInitialized)),
        (None, Some(Method::Initialize)) => initialize(process, before, message),
        // Methods that only the modern era has: what is missing is the key that says so.
        (_, Some(Method::Discover | Method::Listen)) => Err(refuse(Reason::Meta {
            key: META_VERSION,
            expected: "a string",
        })),
        (Some(handshake), _) => {
            let route = invoke(handshake.setting(), message)?;
            if let (Some(level), Some(handshake)) = (level_set(&route), &mut process.handshake) {
                handshake.log_level = Some(level);
            }
            Ok(route)
        }
        // A ping may come before the handshake.
        (None, Some(Method::Ping)) => invoke(before, message),
        (None, _) => Err(refuse(Reason::NotInitialized)),
    }
}

impl Handshake {
    fn setting(&self) -> Setting<'static> {
        Setting {
            revision: self.revision,
            session: None,
            capabilities: self.capabilities,
            log_level: self.log_level,
            accept: None,
        }
    }
}

fn initialize<'b>(
    process: &mut Process,
    setting: Setting<'b>,
    message: &Message<'b>,
) -> Result<Route<'b>, Refusal<'b>> {
    let route = begin(
        Setting {
            revision: Revision::LEGACY_ASSUMED,
            ..setting
        },
        message,
    )?;
    if let Route::Invoke(invocation) = &route {
        process.handshake = Some(Handshake {
            revision: invocation.revision,
            capabilities: invocation.capabilities,
            log_level: None,
            initialized: false,
        });
    }
    Ok(route)
}
