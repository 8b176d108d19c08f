//! JSON-RPC errors that answer a request to a component.

use crate::mcp::{ClientCapabilities, Era, Revision, code};
use crate::wire::json;

use super::super::call::{CallOutcome, Failure};
use super::bindings::margay::host::types;
use super::job::Job;
use super::text;

/// The codes that MCP keeps for itself: a component that used one would say something about the connection.
const RESERVED: std::ops::RangeInclusive<i32> = -32_099..=-32_020;

/// Codes of earlier revisions that the modern one forbids.
const FORBIDDEN_IN_MODERN: [i32; 2] = [code::RESOURCE_NOT_FOUND, -32_042];

/// An error, before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RpcError {
    code: i32,
    message: String,
    /// The text of a JSON value.
    data: Option<Vec<u8>>,
}

impl RpcError {
    fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The component, or what it answered with, is at fault.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(code::INTERNAL_ERROR, message)
    }

    /// What a failure is to a request that is not a tool's call.
    pub(crate) fn from_failure(failure: &Failure) -> Self {
        let code = match failure.outcome {
            CallOutcome::Overloaded => code::OVERLOADED,
            CallOutcome::BadArguments => code::INVALID_PARAMS,
            _ => code::INTERNAL_ERROR,
        };
        Self::new(code, failure.text.clone())
    }

    /// A modern client was to be asked what it did not declare.
    pub(super) fn capability(missing: ClientCapabilities) -> Self {
        Self {
            data: Some(format!("{{\"requiredCapabilities\":{missing}}}").into_bytes()),
            ..Self::new(
                code::MISSING_CLIENT_CAPABILITY,
                format!(
                    "this needs client capabilities that the request does not declare: {missing}"
                ),
            )
        }
    }

    /// What a component answered instead of a result.
    pub(super) fn from_guest(
        error: types::Error,
        job: &Job,
        revision: Revision,
        depth_max: usize,
    ) -> Self {
        match error {
            types::Error::NotFound(what) => Self::not_found(&what, job, revision),
            types::Error::InvalidParams(message) => Self::new(code::INVALID_PARAMS, message),
            types::Error::Internal(message) => Self::internal(message),
            types::Error::Rpc(error) => Self::from_rpc(error, revision, depth_max),
        }
    }

    fn not_found(what: &str, job: &Job, revision: Revision) -> Self {
        match job {
            Job::ReadResource { uri } | Job::Subscribe { uri } => {
                Self::resource_not_found(uri, revision)
            }
            Job::GetPrompt { .. } => {
                Self::new(code::INVALID_PARAMS, format!("unknown prompt: {what}"))
            }
            Job::Function { .. } | Job::CallTool { .. } => {
                Self::new(code::INVALID_PARAMS, format!("unknown tool: {what}"))
            }
            Job::Complete { .. } => Self::new(
                code::INVALID_PARAMS,
                format!("nothing to complete is known as: {what}"),
            ),
        }
    }

    /// There is no such resource.
    ///
    /// Source: 2025-11-25 server/resources, "Error Handling"; 2026-07-28, which has another code for it.
    pub(super) fn resource_not_found(uri: &str, revision: Revision) -> Self {
        let code = match revision.era() {
            Era::Legacy => code::RESOURCE_NOT_FOUND,
            Era::Modern => code::INVALID_PARAMS,
        };
        let mut data = br#"{"uri":"#.to_vec();
        json::write_str(&mut data, uri);
        data.push(b'}');
        Self {
            data: Some(data),
            ..Self::new(code, format!("resource not found: {uri}"))
        }
    }

    fn from_rpc(error: types::RpcError, revision: Revision, depth_max: usize) -> Self {
        let is_forbidden = RESERVED.contains(&error.code)
            || (revision.era() == Era::Modern && FORBIDDEN_IN_MODERN.contains(&error.code));
        if is_forbidden {
            return Self::internal(format!(
                "{} (the component gave the code {}, which is not its to give)",
                error.message, error.code
            ));
        }
        let mut data = Vec::new();
        let written = error
            .data
            .is_some_and(|text| text::append(&mut data, &text, depth_max).is_ok());
        Self {
            data: written.then_some(data),
            ..Self::new(error.code, error.message)
        }
    }

    /// Appends the members of the error object, within a bound: what is said is cut and the data left out rather than refused.
    pub(crate) fn write(&self, out: &mut Vec<u8>, bytes_max: usize) {
        out.extend_from_slice(b"\"code\":");
        json::write_i64(out, i64::from(self.code));
        out.extend_from_slice(b",\"message\":");
        json::write_str(out, text::cut(&self.message, bytes_max / 8));
        if let Some(data) = self
            .data
            .as_ref()
            .filter(|data| data.len() <= bytes_max / 2)
        {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(data);
        }
    }
}
