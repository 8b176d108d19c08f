//! The names: every phase, counter and gauge, with the family and label under which it is published.

/// Where a member of an enum of metrics appears in the exposition.
pub(super) struct Entry {
    /// Metric family without the `margay_` prefix and without `_total`.
    pub(super) family: &'static str,
    /// One sentence for `# HELP`.
    pub(super) help: &'static str,
    /// The label that tells the members of a family apart; `None` for a family of one.
    pub(super) label: Option<(&'static str, &'static str)>,
}

macro_rules! metrics {
    ($(#[$doc:meta])* $name:ident { $($(#[$member_doc:meta])* $member:ident = $family:literal $([$key:literal = $value:literal])?, $help:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum $name { $(#[doc = $help] $member,)* }

        impl $name {
            /// Every member, in the order of publication.
            pub const ALL: &'static [Self] = &[$(Self::$member,)*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            pub(super) fn entry(self) -> Entry {
                match self {
                    $(Self::$member => Entry {
                        family: $family,
                        help: $help,
                        label: metrics!(@label $([$key = $value])?),
                    },)*
                }
            }
        }
    };
    (@label [$key:literal = $value:literal]) => { Some(($key, $value)) };
    (@label) => { None };
}

metrics! {
    /// The parts of a request's time, in the order in which they happen. They share one histogram family.
    Phase {
        Read = "request_phase_seconds"["phase" = "read"], "First byte of the head to last byte of the body.";
        Parse = "request_phase_seconds"["phase" = "parse"], "Head, JSON and message scan.";
        Auth = "request_phase_seconds"["phase" = "auth"], "Host, origin and caller checks.";
        Session = "request_phase_seconds"["phase" = "session"], "Era, headers and session.";
        Intercept = "request_phase_seconds"["phase" = "intercept"], "The interceptor chain.";
        Lookup = "request_phase_seconds"["phase" = "lookup"], "Name to tool and its argument plan.";
        Instantiate = "request_phase_seconds"["phase" = "instantiate"], "Taking or making a component instance.";
        Execute = "request_phase_seconds"["phase" = "execute"], "Inside the component.";
        Encode = "request_phase_seconds"["phase" = "encode"], "Component values to the bytes of the answer.";
        Write = "request_phase_seconds"["phase" = "write"], "Answer ready to last byte taken by the kernel.";
        Total = "request_phase_seconds"["phase" = "total"], "First byte of the head to last byte of the answer.";
    }
}

metrics! {
    /// What only grows. Members with the same family are told apart by their label.
    Counter {
        ConnectionsAccepted = "connections_accepted", "Connections accepted.";
        ConnectionsRefused = "connections_refused", "Connections closed at once because the connection limit was reached.";
        AcceptErrors = "accept_errors", "Failed accept operations.";
        ConnectionsClosed = "connections_closed", "Connections closed.";
        ConnectionErrors = "connection_errors", "Connections ended by an error of the socket.";
        DeadlineHandshake = "connection_deadlines"["stage" = "handshake"], "Connections closed at a deadline, by what they were late with.";
        DeadlineHead = "connection_deadlines"["stage" = "head"], "Connections closed at a deadline, by what they were late with.";
        DeadlineBody = "connection_deadlines"["stage" = "body"], "Connections closed at a deadline, by what they were late with.";
        DeadlineIdle = "connection_deadlines"["stage" = "idle"], "Connections closed at a deadline, by what they were late with.";
        DeadlineWrite = "connection_deadlines"["stage" = "write"], "Connections closed at a deadline, by what they were late with.";
        TlsHandshakes = "tls_handshakes"["kind" = "full"], "TLS handshakes of clients.";
        TlsResumed = "tls_handshakes"["kind" = "resumed"], "TLS handshakes of clients.";
        TlsFailures = "tls_handshakes"["kind" = "failed"], "TLS handshakes of clients.";
        BytesReceived = "received_bytes", "Bytes received from downstream.";
        BytesSent = "sent_bytes", "Bytes sent downstream.";
        Requests = "http_requests", "HTTP requests whose head was read.";
        ResponsesOk = "http_responses"["class" = "2xx"], "HTTP responses by status class.";
        ResponsesClientError = "http_responses"["class" = "4xx"], "HTTP responses by status class.";
        ResponsesServerError = "http_responses"["class" = "5xx"], "HTTP responses by status class.";
        MessagesLegacy = "messages"["era" = "legacy"], "MCP messages by protocol era.";
        MessagesModern = "messages"["era" = "modern"], "MCP messages by protocol era.";
        OperationInitialize = "operations"["operation" = "initialize"], "MCP messages accepted, by operation.";
        OperationPing = "operations"["operation" = "ping"], "MCP messages accepted, by operation.";
        OperationDiscover = "operations"["operation" = "discover"], "MCP messages accepted, by operation.";
        OperationListTools = "operations"["operation" = "tools_list"], "MCP messages accepted, by operation.";
        OperationCallTool = "operations"["operation" = "tools_call"], "MCP messages accepted, by operation.";
        OperationListResources = "operations"["operation" = "resources_list"], "MCP messages accepted, by operation.";
        OperationListTemplates = "operations"["operation" = "resources_templates_list"], "MCP messages accepted, by operation.";
        OperationReadResource = "operations"["operation" = "resources_read"], "MCP messages accepted, by operation.";
        OperationSubscribe = "operations"["operation" = "resources_subscribe"], "MCP messages accepted, by operation.";
        OperationListPrompts = "operations"["operation" = "prompts_list"], "MCP messages accepted, by operation.";
        OperationGetPrompt = "operations"["operation" = "prompts_get"], "MCP messages accepted, by operation.";
        OperationComplete = "operations"["operation" = "complete"], "MCP messages accepted, by operation.";
        OperationSetLevel = "operations"["operation" = "set_level"], "MCP messages accepted, by operation.";
        OperationTask = "operations"["operation" = "task"], "MCP messages accepted, by operation.";
        OperationListen = "operations"["operation" = "listen"], "MCP messages accepted, by operation.";
        OperationNotice = "operations"["operation" = "notification"], "MCP messages accepted, by operation.";
        OperationResponse = "operations"["operation" = "response"], "MCP messages accepted, by operation.";
        OperationOther = "operations"["operation" = "other"], "MCP messages accepted, by operation.";
        Batches = "batches", "Batches of messages.";
        RefusedHead = "refusals"["reason" = "head"], "Requests refused, by reason.";
        RefusedSize = "refusals"["reason" = "size"], "Requests refused, by reason.";
        RefusedHost = "refusals"["reason" = "host"], "Requests refused, by reason.";
        RefusedJson = "refusals"["reason" = "json"], "Requests refused, by reason.";
        RefusedProtocol = "refusals"["reason" = "protocol"], "Requests refused, by reason.";
        RefusedSession = "refusals"["reason" = "session"], "Requests refused, by reason.";
        RefusedOverload = "refusals"["reason" = "overload"], "Requests refused, by reason.";
        RefusedUnknown = "refusals"["reason" = "unauthenticated"], "Requests refused, by reason.";
        RefusedRule = "refusals"["reason" = "rule"], "Requests refused, by reason.";
        RefusedRate = "refusals"["reason" = "rate"], "Requests refused, by reason.";
        RefusedOther = "refusals"["reason" = "other"], "Requests refused, by reason.";
        CallOk = "tool_calls"["outcome" = "ok"], "Tool calls by outcome.";
        CallToolError = "tool_calls"["outcome" = "tool_error"], "Tool calls by outcome.";
        CallTrap = "tool_calls"["outcome" = "trap"], "Tool calls by outcome.";
        CallDeadline = "tool_calls"["outcome" = "deadline"], "Tool calls by outcome.";
        CallMemory = "tool_calls"["outcome" = "memory"], "Tool calls by outcome.";
        CallTable = "tool_calls"["outcome" = "table"], "Tool calls by outcome.";
        CallStack = "tool_calls"["outcome" = "stack"], "Tool calls by outcome.";
        CallOutput = "tool_calls"["outcome" = "output"], "Tool calls by outcome.";
        CallHandles = "tool_calls"["outcome" = "handles"], "Tool calls by outcome.";
        CallBudget = "tool_calls"["outcome" = "budget"], "Tool calls by outcome.";
        CallExited = "tool_calls"["outcome" = "exited"], "Tool calls by outcome.";
        CallCancelled = "tool_calls"["outcome" = "cancelled"], "Tool calls by outcome.";
        CallBadArguments = "tool_calls"["outcome" = "bad_arguments"], "Tool calls by outcome.";
        CallOverloaded = "tool_calls"["outcome" = "overloaded"], "Tool calls by outcome.";
        CallError = "tool_calls"["outcome" = "error"], "Tool calls by outcome.";
        CallInputRequired = "tool_calls"["outcome" = "input_required"], "Tool calls by outcome.";
        CallUnknownTool = "tool_calls"["outcome" = "unknown_tool"], "Tool calls by outcome.";
        CallsMoved = "calls_moved", "Tool calls that outlived their slice and moved to a worker.";
        LeaseReady = "leases"["instance" = "ready"], "Instances leased, by whether one stood ready.";
        LeaseCold = "leases"["instance" = "cold"], "Instances leased, by whether one stood ready.";
        SessionsOpened = "sessions_opened", "Legacy sessions opened.";
        CallsDetached = "calls_detached", "Calls of legacy sessions that went on after their connection was gone.";
        QuestionsAnswered = "question_answers"["taken" = "yes"], "Answers of clients to questions, by whether a call waited for them.";
        AnswersUnasked = "question_answers"["taken" = "no"], "Answers of clients to questions, by whether a call waited for them.";
        StreamsOpened = "streams_opened", "Event streams opened.";
        StreamsResumed = "streams_resumed", "Event streams that a client came back to.";
        StreamEvents = "stream_events", "Events written to event streams.";
        StreamKeepAlives = "stream_keep_alives", "Comments written to silent event streams.";
        EventsLost = "stream_events_lost", "Events that a client missed because they went beyond a bound.";
        AccessLogDropped = "access_log_dropped", "Access log lines that did not fit the recorder's queue.";
        RingSubmissions = "ring_submissions", "Operations submitted to the ring.";
        RingCompletions = "ring_completions", "Completions reaped from the ring.";
        RingEnters = "ring_enters", "System calls into the ring.";
        ReceiveStarved = "receive_starved", "Receives that found the buffer group empty.";
        BufferMisses = "buffer_misses", "Buffers that had to be allocated because the pool had none ready.";
        BufferExhausted = "buffer_exhausted", "Buffers refused at the byte cap of the pool.";
        LoopTurns = "loop_turns", "Turns of the shard's loop.";
    }
}

metrics! {
    /// What goes up and down; the values of the shards are added.
    Gauge {
        ConnectionsOpen = "connections_open", "Connections open now.";
        RequestsInFlight = "requests_in_flight", "Requests being served now.";
        StreamsOpen = "streams_open", "Event streams open now.";
        OperationsInFlight = "ring_operations_in_flight", "Ring operations in flight now.";
        BuffersOut = "buffers_checked_out", "Pooled buffers checked out now.";
        BuffersOutHigh = "buffers_checked_out_high", "Most pooled buffers ever checked out at one time.";
        BufferBytes = "buffer_pool_bytes", "Bytes held by the buffer pools.";
        ArenaBytesHigh = "arena_bytes_high", "Most bytes that one request took from its arena.";
        InstancesReady = "instances_ready", "Pre-instantiated component instances that stand ready.";
    }
}
