//! Answers that serve nothing: a refusal as JSON-RPC error, or, where there is no MCP message, as a plain one.

use crate::mcp::{Reason, Refusal};
use crate::metrics::Counter;
use crate::wire::http1::Method;
use crate::wire::http1::response::{self, Body};

use super::super::endpoint;
use super::frame::Frame;
use super::request::Request;
use super::{Served, Service};

impl Service {
    /// Writes a refusal as HTTP and JSON-RPC error.
    pub(super) fn refuse(
        &mut self,
        request: &Request<'_, '_>,
        refusal: &Refusal<'_>,
        out: &mut Vec<u8>,
    ) -> Served {
        let extra = match refusal.http_status {
            405 => Some(("Allow", "POST")),
            503 => Some(("Retry-After", "1")),
            _ => None,
        };
        self.write_refusal(request, refusal, extra, out)
    }

    /// The same where only the reason is known, with one more field in its head.
    pub(super) fn refuse_with(
        &mut self,
        request: &Request<'_, '_>,
        reason: Reason<'_>,
        field: (&str, &str),
        out: &mut Vec<u8>,
    ) -> Served {
        self.write_refusal(request, &Refusal::new(reason, None), Some(field), out)
    }

    pub(super) fn write_refusal(
        &mut self,
        request: &Request<'_, '_>,
        refusal: &Refusal<'_>,
        extra: Option<(&str, &str)>,
        out: &mut Vec<u8>,
    ) -> Served {
        let began = out.len();
        let status = refusal.http_status;
        // An origin that was not allowed is not told that it was.
        let origin = if matches!(refusal.reason, Reason::Host { .. } | Reason::Origin { .. }) {
            None
        } else {
            request.head.origin
        };
        let frame = Frame {
            extra,
            origin,
            ..Frame::new(request, status)
        };
        if request.head.method == Method::Head {
            frame.write_head(out, Body::Empty);
        } else {
            frame.write(out, |out| refusal.write(out));
        }
        self.metrics.add(refusal_counter(&refusal.reason), 1);
        self.answered_plainly(request, status, "refused", out.len() - began)
    }

    /// The same where only the reason is known.
    pub(super) fn refuse_for(
        &mut self,
        request: &Request<'_, '_>,
        reason: Reason<'_>,
        out: &mut Vec<u8>,
    ) -> Served {
        self.refuse(request, &Refusal::new(reason, None), out)
    }

    /// An HTTP error that has no MCP message.
    pub(super) fn plain(
        &mut self,
        request: &Request<'_, '_>,
        status: u16,
        reason: &str,
        out: &mut Vec<u8>,
    ) -> Served {
        self.plain_with(request, status, reason, &[], out)
    }

    /// 405, with the methods that there are.
    pub(super) fn wrong_method(
        &mut self,
        request: &Request<'_, '_>,
        allow: &str,
        reason: &str,
        out: &mut Vec<u8>,
    ) -> Served {
        self.plain_with(request, 405, reason, &[("Allow", allow)], out)
    }

    fn plain_with(
        &mut self,
        request: &Request<'_, '_>,
        status: u16,
        reason: &str,
        extra: &[(&str, &str)],
        out: &mut Vec<u8>,
    ) -> Served {
        let began = out.len();
        if request.head.method == Method::Head {
            response::write_head(out, status, None, Body::Empty, request.keep_alive, extra);
        } else {
            endpoint::write_json_error(out, status, reason, request.keep_alive, extra);
        }
        self.metrics.add(Counter::RefusedOther, 1);
        self.answered_plainly(request, status, "refused", out.len() - began)
    }
}

fn refusal_counter(reason: &Reason<'_>) -> Counter {
    match reason {
        Reason::Json(_) => Counter::RefusedJson,
        Reason::Host { .. } | Reason::Origin { .. } => Counter::RefusedHost,
        Reason::UnknownSession | Reason::NoSession | Reason::StreamTaken => Counter::RefusedSession,
        Reason::Overloaded { .. } => Counter::RefusedOverload,
        Reason::TooLong { .. } => Counter::RefusedSize,
        Reason::Unauthenticated { .. } => Counter::RefusedUnknown,
        Reason::Forbidden { .. } | Reason::NeedsScopes { .. } => Counter::RefusedRule,
        Reason::RateLimited { .. } => Counter::RefusedRate,
        Reason::Internal => Counter::RefusedOther,
        _ => Counter::RefusedProtocol,
    }
}
