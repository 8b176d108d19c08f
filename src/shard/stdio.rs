//! One client on standard input and output: the same tools, one message a line.
//!
//! Lines are served in order by one thread; only a call that leaves for a worker lets later lines overtake it. Nothing but MCP is ever
//! written to the output. At the end of the input the calls in flight are still answered, then the server ends.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use crate::catalog::Target;
use crate::component::{CallContext, Caller, CancelHandle, InstancePool, Mailbox, Started};
use crate::mcp::reply::{self, Honoured, Page};
use crate::mcp::route::{ListenFilter, Process, route_stdio};
use crate::mcp::{
    InlineId, Invocation, List, Notice, Operation, Reason, Refusal, Revision, Route, scan,
};
use crate::mem::Slab;
use crate::wire::json::Str;
use crate::wire::stdio::{Line, LineSplitter};

use super::Shared;
use super::service::{CAPABILITIES, INSTRUCTIONS, LIST_HINTS};

/// Lines read ahead of the one being served: enough to keep the reader busy, and the rest waits in the pipe.
const LINES_AHEAD: usize = 64;
/// Instances made or disposed of after each event.
const MAINTAIN_BUDGET: usize = 8;
/// Bytes asked of the input at a time.
const READ_BYTES: usize = 64 << 10;

/// What the serving thread waits for.
enum Event {
    Line(Vec<u8>),
    TooLong,
    /// A worker has finished a call, or the catalogue changed.
    Wake,
    End,
}

struct Pending {
    id: InlineId,
    revision: Revision,
    cancel: CancelHandle,
}

/// The server of one client.
pub struct StdioServer<W> {
    shared: Arc<Shared>,
    pool: InstancePool,
    mailbox: Arc<Mailbox>,
    events: Receiver<Event>,
    process: Process,
    pending: Slab<Option<Pending>>,
    listeners: Vec<InlineId>,
    generation: u64,
    out: Vec<u8>,
    output: W,
}

impl<W: Write> StdioServer<W> {
    /// Starts reading `input` on a thread of its own.
    ///
    /// Call it, and [`StdioServer::run`], inside a tokio runtime that runs on other threads: components may wait there.
    /// Errors: the reading thread cannot be made.
    pub fn start(
        shared: Arc<Shared>,
        input: impl Read + Send + 'static,
        output: W,
    ) -> io::Result<Self> {
        let (sender, events) = sync_channel(LINES_AHEAD);
        let waking = sender.clone();
        // A full channel has events that will be followed by a look at the mailbox anyway.
        let mailbox = shared.runtime.mailbox(move || {
            let _ = waking.try_send(Event::Wake);
        });
        let line_bytes_max = shared.limits.body_bytes_max;
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || read(input, line_bytes_max, &sender))?;
        let mut pool = shared.runtime.instance_pool(Arc::clone(&mailbox));
        pool.follow(shared.snapshot.load().catalog.components());
        Ok(Self {
            pool,
            mailbox,
            events,
            process: Process::default(),
            pending: Slab::new(shared.limits.request_count_max),
            listeners: Vec::new(),
            generation: shared.snapshot.load().catalog.generation(),
            out: Vec::new(),
            output,
            shared,
        })
    }

    /// Serves until the input ends and the last call is answered.
    ///
    /// Errors: the output is closed or broken.
    pub fn run(&mut self) -> io::Result<()> {
        let mut ended = false;
        while !ended || !self.pending.is_empty() {
            match self.events.recv() {
                Ok(Event::Line(line)) => self.serve(&line),
                Ok(Event::TooLong) => {
                    let reason = Reason::TooLong {
                        limit: "limits.body_bytes_max",
                        value: self.shared.limits.body_bytes_max,
                    };
                    self.refuse(&Refusal::new(reason, None));
                }
                Ok(Event::Wake) => {}
                Ok(Event::End) | Err(_) => ended = true,
            }
            while let Some(finished) = self.mailbox.take() {
                if let Some(Some(call)) = self.pending.remove(finished.ticket) {
                    reply::call_result(
                        &mut self.out,
                        &call.id,
                        call.revision.era(),
                        &finished.members,
                    );
                    self.out.push(b'\n');
                }
            }
            self.notice_catalog();
            self.flush()?;
            self.pool.maintain(MAINTAIN_BUDGET);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.output.write_all(&self.out)?;
            self.output.flush()?;
            self.out.clear();
        }
        Ok(())
    }

    fn notice_catalog(&mut self) {
        let generation = self.shared.snapshot.load().catalog.generation();
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        self.pool
            .follow(self.shared.snapshot.load().catalog.components());
        if self.process.is_initialized() {
            reply::list_changed::<InlineId>(&mut self.out, List::Tools, None);
            self.out.push(b'\n');
        }
        for listener in &self.listeners {
            reply::list_changed(&mut self.out, List::Tools, Some(listener));
            self.out.push(b'\n');
        }
    }

    fn serve(&mut self, line: &[u8]) {
        let shared = Arc::clone(&self.shared);
        let message = match scan(line, shared.limits.json_depth_max) {
            Ok(message) => message,
            Err(refusal) => return self.refuse(&refusal),
        };
        match route_stdio(&mut self.process, &message) {
            Ok(Route::Invoke(invocation)) => self.invoke(&invocation),
            Ok(Route::Notice(Notice::Cancelled { request, .. })) => {
                self.cancel(InlineId::new(&request))
            }
            Ok(Route::Notice(_) | Route::Response(_)) => {}
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn refuse(&mut self, refusal: &Refusal<'_>) {
        refusal.write(&mut self.out);
        self.out.push(b'\n');
    }

    fn invoke(&mut self, invocation: &Invocation<'_>) {
        let era = invocation.era();
        let id = &invocation.id;
        match invocation.operation {
            Operation::Initialize { negotiated, .. } => {
                reply::initialize_result(
                    &mut self.out,
                    id,
                    negotiated,
                    CAPABILITIES,
                    Some(INSTRUCTIONS),
                );
            }
            Operation::Discover => {
                reply::discover_result(
                    &mut self.out,
                    id,
                    CAPABILITIES,
                    Some(INSTRUCTIONS),
                    LIST_HINTS,
                );
            }
            Operation::ListTools {
                cursor: Some(cursor),
            } => {
                return self.refuse(&Refusal::new(Reason::UnknownCursor { cursor }, Some(*id)));
            }
            Operation::ListTools { cursor: None } => {
                let snapshot = self.shared.snapshot.load_full();
                let listing = &*snapshot.catalog.listing();
                let page = Page {
                    list: List::Tools,
                    entries: listing,
                    next_cursor: None,
                };
                reply::list_result(&mut self.out, id, era, &page, LIST_HINTS);
            }
            Operation::CallTool {
                name, arguments, ..
            } => {
                return self.call(invocation, name, arguments);
            }
            Operation::Listen {
                filter: ListenFilter { tools, .. },
            } => {
                let value = self.shared.limits.stream_count_max;
                if self.listeners.len() >= value {
                    let limit = "limits.stream_count_max";
                    let reason = Reason::Overloaded { limit, value };
                    return self.refuse(&Refusal::new(reason, Some(*id)));
                }
                let id = InlineId::new(id);
                let honoured = Honoured {
                    tools,
                    ..Honoured::default()
                };
                reply::acknowledged(&mut self.out, &id, &honoured);
                if tools {
                    self.listeners.push(id);
                }
            }
            Operation::Ping => reply::empty_result(&mut self.out, id, era),
            // What is not advertised is not there.
            _ => {
                let reason = Reason::NotOffered {
                    method: invocation.method(),
                    revision: invocation.revision,
                };
                return self.refuse(&Refusal::new(reason, Some(*id)));
            }
        }
        self.out.push(b'\n');
    }

    fn call(&mut self, invocation: &Invocation<'_>, name: Str<'_>, arguments: Option<&[u8]>) {
        let snapshot = self.shared.snapshot.load_full();
        let Some(tool) = snapshot.catalog.tool(&name.to_cow()) else {
            return self.refuse(&Refusal::new(
                Reason::UnknownTool { name },
                Some(invocation.id),
            ));
        };
        let Ok(ticket) = self.pending.insert(None) else {
            let reason = Reason::Overloaded {
                limit: "limits.request_count_max",
                value: self.pending.count_max(),
            };
            return self.refuse(&Refusal::new(reason, Some(invocation.id)));
        };
        let context = CallContext {
            ticket,
            deadline: Instant::now() + self.shared.limits.call_deadline,
        };
        let mark = self.out.len();
        reply::result_open(&mut self.out, &invocation.id, invocation.era());
        let started = match tool.target {
            Target::Function(tool_index) if !tool.component.is_host_aware() => self.pool.call(
                &tool.component,
                tool_index,
                arguments,
                context,
                &mut self.out,
            ),
            _ => self.pool.invoke(
                &tool.component,
                tool.job(arguments.unwrap_or_default().to_vec()),
                Arc::new(Caller::silent("tools/call", invocation.revision)),
                context,
                &mut self.out,
            ),
        };
        match started {
            Started::Done(_) | Started::Asked(..) => {
                self.pending.remove(ticket);
                reply::result_close(&mut self.out, invocation.era());
                self.out.push(b'\n');
            }
            Started::Moved(cancel) => {
                self.out.truncate(mark);
                if let Some(slot) = self.pending.get_mut(ticket) {
                    let id = InlineId::new(&invocation.id);
                    *slot = Some(Pending {
                        id,
                        revision: invocation.revision,
                        cancel,
                    });
                }
            }
        }
    }

    /// A cancelled call gets no answer, and a cancelled listener hears nothing more.
    fn cancel(&mut self, id: InlineId) {
        self.listeners
            .retain(|listener| listener.as_bytes() != id.as_bytes());
        let found = self.pending.iter().find_map(|(ticket, call)| {
            call.as_ref()
                .is_some_and(|call| call.id.as_bytes() == id.as_bytes())
                .then_some(ticket)
        });
        if let Some(Some(call)) = found.and_then(|ticket| self.pending.remove(ticket)) {
            call.cancel.cancel();
        }
    }
}

/// The reading thread: bytes to lines, until the input ends or nobody listens.
fn read(mut input: impl Read, line_bytes_max: usize, events: &SyncSender<Event>) {
    let mut splitter = LineSplitter::new(line_bytes_max);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::error!(%error, "reading standard input failed");
                break;
            }
        };
        let mut bytes = &buffer[..count];
        while let Some(line) = splitter.next_line(&mut bytes) {
            if events.send(event(line)).is_err() {
                return;
            }
        }
    }
    if let Some(line) = splitter.finish()
        && events.send(event(line)).is_err()
    {
        return;
    }
    let _ = events.send(Event::End);
}

fn event(line: Line<'_>) -> Event {
    match line {
        Line::Complete(line) => Event::Line(line.to_vec()),
        Line::TooLong => Event::TooLong,
    }
}
