//! HTTP requests: which resource and method, and whose host and origin.

use std::rc::Rc;

use crate::mcp::Reason;
use crate::mcp::route::{self, HttpFacts};
use crate::metrics::{Counter, Phase};
use crate::policy::Stranger;
use crate::wire::http1::response::{self, Body};
use crate::wire::http1::{Head, Method};

use super::super::endpoint::{self, ALLOW, Early, Resource};
use super::super::known::Caller;
use super::request::{Arrival, Request, facts, is_encoded};
use super::{Served, Service};

impl Service {
    /// Answers one whole request.
    pub(in super::super) fn serve(
        &mut self,
        head: &Head<'_>,
        body: &[u8],
        arrival: Arrival<'_>,
        out: &mut Vec<u8>,
    ) -> Served {
        self.serve_found(head, body, arrival, None, out)
    }

    /// The same for somebody of whom it is perhaps known already that he is not.
    fn serve_found(
        &mut self,
        head: &Head<'_>,
        body: &[u8],
        arrival: Arrival<'_>,
        stranger: Option<Stranger>,
        out: &mut Vec<u8>,
    ) -> Served {
        self.metrics.add(Counter::Requests, 1);
        let nobody = Caller {
            known: Rc::clone(&self.nobody),
            address: arrival.address,
        };
        let request = Request {
            head,
            arrival,
            caller: &nobody,
            body_bytes: body.len(),
            keep_alive: head.keep_alive && !self.draining,
        };
        let began = self.clock();
        let allowed = self.check_host(head);
        if let Err(reason) = allowed {
            self.metrics.record(Phase::Auth, self.since(began));
            let closing = Request {
                keep_alive: false,
                ..request
            };
            return self.refuse_for(&closing, reason, out);
        }
        let resource = self.resource(head);
        if !resource.is_guarded() || head.method == Method::Options {
            return self.serve_open(&request, resource, out);
        }
        let identified = match stranger {
            Some(stranger) => Err(stranger),
            None => self.identify(head, arrival),
        };
        self.metrics.record(Phase::Auth, self.since(began));
        let caller = match identified {
            Ok(caller) => caller,
            Err(stranger) => return self.refuse_stranger(&request, &stranger, out),
        };
        let request = Request {
            caller: &caller,
            ..request
        };
        match (resource, head.method) {
            (Resource::Mcp, Method::Post) => self.post(&request, body, out),
            (Resource::Mcp, Method::Get) => self.get_stream(&request, out),
            (Resource::Mcp, Method::Delete) => self.delete(&request, out),
            (Resource::Sse, Method::Get) => self.get_sse(&request, out),
            (Resource::Messages, Method::Post) => self.post_sse(&request, body, out),
            (Resource::Sse, _) => self.wrong_method(
                &request,
                "GET, OPTIONS",
                "the stream is opened with GET",
                out,
            ),
            (Resource::Messages, _) => {
                let reason = "messages are sent with POST";
                self.wrong_method(&request, "POST, OPTIONS", reason, out)
            }
            (Resource::Mcp, _) => {
                let reason = "the MCP endpoint takes POST, GET and DELETE";
                self.wrong_method(&request, ALLOW, reason, out)
            }
            (Resource::Root | Resource::Server | Resource::Metadata | Resource::Unknown, _) => {
                self.serve_open(&request, resource, out)
            }
        }
    }

    /// What is answered whoever asks.
    fn serve_open(
        &mut self,
        request: &Request<'_, '_>,
        resource: Resource,
        out: &mut Vec<u8>,
    ) -> Served {
        let head = request.head;
        let with_body = head.method == Method::Get;
        match (resource, head.method) {
            (
                Resource::Mcp | Resource::Sse | Resource::Messages | Resource::Server,
                Method::Options,
            ) => self.options(request, out),
            (Resource::Metadata, Method::Get | Method::Head) => {
                self.write_metadata(request, with_body, out)
            }
            (Resource::Root, Method::Get | Method::Head) => {
                let began = out.len();
                endpoint::write_root(out, request.keep_alive, with_body);
                self.answered_plainly(request, 200, "root", out.len() - began)
            }
            (Resource::Root | Resource::Server | Resource::Metadata, _) => {
                self.wrong_method(request, "GET, HEAD", "only GET is answered here", out)
            }
            _ => {
                let reason = "there is nothing at this path; the MCP endpoint is /mcp";
                self.plain(request, 404, reason, out)
            }
        }
    }

    /// What OAuth clients read to find out where to get a token.
    ///
    /// Source: RFC 9728 section 3.
    fn write_metadata(
        &mut self,
        request: &Request<'_, '_>,
        with_body: bool,
        out: &mut Vec<u8>,
    ) -> Served {
        let path = endpoint::path_of(request.head.target);
        let resource = self.shared.authenticator.resource();
        let Some(resource) = resource.filter(|resource| resource.is_described_at(path)) else {
            let reason = "this server has no metadata of a protected resource at this path";
            return self.plain(request, 404, reason, out);
        };
        let began = out.len();
        endpoint::write_json(
            out,
            resource.document(),
            request.keep_alive,
            with_body,
            request.head.origin,
        );
        self.answered_plainly(request, 200, "metadata", out.len() - began)
    }

    /// What the head alone decides, before the body is waited for.
    pub(in super::super) fn early(&mut self, head: &Head<'_>, arrival: Arrival<'_>) -> Early {
        let facts = match self.resource(head) {
            Resource::Mcp | Resource::Sse => facts(head),
            Resource::Messages => HttpFacts {
                accept: None,
                ..facts(head)
            },
            _ => return Early::Refuse(None),
        };
        if self.check_host(head).is_err() {
            return Early::Refuse(None);
        }
        if let Err(stranger) = self.identify(head, arrival) {
            return Early::Refuse(Some(stranger));
        }
        let is_post = head.method == Method::Post;
        match is_post && (is_encoded(head) || route::admit_post(&facts).is_err()) {
            true => Early::Refuse(None),
            false => Early::Admit,
        }
    }

    /// Writes the answer for a request that [`Service::early`] refused.
    pub(in super::super) fn refuse_early(
        &mut self,
        head: &Head<'_>,
        arrival: Arrival<'_>,
        stranger: Option<Stranger>,
        out: &mut Vec<u8>,
    ) {
        let closing = Head {
            keep_alive: false,
            ..*head
        };
        match self.serve_found(&closing, &[], arrival, stranger, out) {
            Served::Answered { .. } => {}
            // Not what is refused early; but what is opened has to be closed.
            Served::Pending(exchange) => self.leave_exchange(&exchange),
            Served::Stream(stream) => self.end_stream(&stream),
        }
    }

    fn resource(&self, head: &Head<'_>) -> Resource {
        match Resource::of(head.target) {
            // An old transport is an operator's choice.
            Resource::Sse | Resource::Messages if !self.shared.http_sse => Resource::Unknown,
            resource => resource,
        }
    }

    fn check_host<'b>(&mut self, head: &Head<'b>) -> Result<(), Reason<'b>> {
        let hosts = &self.dispatcher.snapshot.load().hosts;
        hosts.check(head.host, head.origin)
    }

    fn options(&mut self, request: &Request<'_, '_>, out: &mut Vec<u8>) -> Served {
        let began = out.len();
        let head = request.head;
        let mut fields = vec![("Allow", ALLOW)];
        let origin = head
            .origin
            .and_then(|origin| std::str::from_utf8(origin).ok());
        let asked = head
            .access_control_request_headers
            .and_then(|value| std::str::from_utf8(value).ok());
        if let Some(origin) = origin {
            fields.push(("Access-Control-Allow-Origin", origin));
            fields.push(("Access-Control-Allow-Methods", "POST, GET, DELETE"));
            fields.push((
                "Access-Control-Allow-Headers",
                asked.unwrap_or("Content-Type, Accept, Authorization"),
            ));
            fields.push(("Access-Control-Max-Age", "600"));
            fields.push(("Vary", "Origin, Access-Control-Request-Headers"));
        }
        response::write_head(out, 204, None, Body::Empty, request.keep_alive, &fields);
        self.answered_plainly(request, 204, "options", out.len() - began)
    }
}
