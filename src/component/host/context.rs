//! The imports that answer at once: `context`, `state`, `changes`.
//!
//! Outside of a request (while an instance starts) nothing is heard, kept or announced, and there is no request to be seen.

use wasmtime::bail;

use crate::limits::{RELEASES_PER_CALL_MAX, URI_BYTES_MAX};
use crate::mcp::{ClientCapabilities as Declared, LogLevel as Level, Revision};

use super::super::call::{CallOutcome, End};
use super::super::store::State;
use super::announce::Announcement;
use super::bindings::margay::host::context::{ClientCapabilities, Host, LogLevel, Request};
use super::bindings::margay::host::{changes, state, types};
use super::caller::{Asked, Asking, Caller};
use super::outbox::Outgoing;
use super::text;

impl types::Host for State {}

impl Host for State {
    fn get_request(&mut self) -> wasmtime::Result<Request> {
        let Some(conversation) = &self.conversation else {
            bail!("it asked for its request before there was one")
        };
        Ok(request(
            &conversation.caller,
            conversation.limits.json_depth_max,
        ))
    }

    fn progress(
        &mut self,
        progress: f64,
        total: Option<f64>,
        message: Option<String>,
    ) -> wasmtime::Result<()> {
        if let Some(conversation) = &mut self.conversation {
            conversation.progress(progress, total, message.as_deref());
        }
        Ok(())
    }

    fn log(
        &mut self,
        level: LogLevel,
        logger: Option<String>,
        data: String,
    ) -> wasmtime::Result<()> {
        if let Some(conversation) = &self.conversation {
            conversation.log(protocol_level(level), logger.as_deref(), &data);
        }
        Ok(())
    }

    fn is_cancelled(&mut self) -> wasmtime::Result<bool> {
        let conversation = self.conversation.as_ref();
        Ok(conversation.is_some_and(|one| one.control.is_cancelled() || one.traffic.is_stopping()))
    }

    fn release_stream(&mut self, retry_ms: u32) -> wasmtime::Result<()> {
        let Some(conversation) = &mut self.conversation else {
            return Ok(());
        };
        // The one revision whose clients come back for an answer.
        if conversation.caller.revision == Revision::V2025_11_25
            && conversation.release_count < RELEASES_PER_CALL_MAX
            && let Some(outbox) = &conversation.caller.outbox
        {
            conversation.release_count += 1;
            outbox.push(Outgoing::Release { retry_ms });
        }
        Ok(())
    }

    fn become_task(&mut self) -> wasmtime::Result<()> {
        let Some(conversation) = &mut self.conversation else {
            return Ok(());
        };
        let caller = &conversation.caller;
        let can = caller.may_become_task && !caller.is_task && conversation.never_ends.is_none();
        let recorded = match &caller.asking {
            Asking::Rerun(recorded) if can => recorded.clone(),
            _ => return Ok(()),
        };
        let mut asked = Asked {
            requests: b"{}".to_vec(),
            recorded,
        };
        asked.recorded.state = conversation.state.take();
        Err(conversation.ends(End::Again(CallOutcome::BecomeTask, Box::new(asked))))
    }
}

fn request(caller: &Caller, depth_max: usize) -> Request {
    let text_of = |bytes: &Option<Box<[u8]>>| {
        let bytes = bytes.as_deref()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let traced = |name| text::string_member(caller.meta.as_deref()?, name, depth_max);
    let hears = caller.outbox.is_some();
    Request {
        method: caller.method.to_owned(),
        protocol_version: caller.revision.as_str().to_owned(),
        principal: caller.principal.as_deref().map(str::to_owned),
        capabilities: capabilities(caller.capabilities),
        client_info: text_of(&caller.client_info),
        traceparent: traced("traceparent"),
        tracestate: traced("tracestate"),
        baggage: traced("baggage"),
        wants_progress: hears && caller.progress_token.is_some(),
        log_level: caller
            .log_level
            .filter(|_| hears)
            .map(|level| LEVELS[level as usize]),
        meta: text_of(&caller.meta),
        is_task: caller.is_task,
    }
}

fn capabilities(declared: Declared) -> ClientCapabilities {
    let flags = [
        (Declared::ROOTS, ClientCapabilities::ROOTS),
        (Declared::SAMPLING, ClientCapabilities::SAMPLING),
        (Declared::SAMPLING_TOOLS, ClientCapabilities::SAMPLING_TOOLS),
        (
            Declared::SAMPLING_CONTEXT,
            ClientCapabilities::SAMPLING_CONTEXT,
        ),
        (
            Declared::ELICITATION_FORM,
            ClientCapabilities::ELICITATION_FORM,
        ),
        (
            Declared::ELICITATION_URL,
            ClientCapabilities::ELICITATION_URL,
        ),
        (Declared::TASKS, ClientCapabilities::TASKS),
    ];
    let declares = flags.into_iter().filter(|(bit, _)| declared.contains(*bit));
    declares.fold(ClientCapabilities::empty(), |all, (_, flag)| all | flag)
}

/// In the order of [`Level::ALL`].
const LEVELS: [LogLevel; 8] = [
    LogLevel::Debug,
    LogLevel::Info,
    LogLevel::Notice,
    LogLevel::Warning,
    LogLevel::Error,
    LogLevel::Critical,
    LogLevel::Alert,
    LogLevel::Emergency,
];

fn protocol_level(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Notice => Level::Notice,
        LogLevel::Warning => Level::Warning,
        LogLevel::Error => Level::Error,
        LogLevel::Critical => Level::Critical,
        LogLevel::Alert => Level::Alert,
        LogLevel::Emergency => Level::Emergency,
    }
}

impl state::Host for State {
    fn get(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        let conversation = self.conversation.as_ref();
        Ok(conversation.and_then(|conversation| conversation.state.clone()))
    }

    fn set(&mut self, state: Vec<u8>) -> wasmtime::Result<()> {
        let Some(conversation) = &mut self.conversation else {
            return Ok(());
        };
        let (bytes, limit) = (state.len(), conversation.limits.state_bytes_max);
        if bytes > limit {
            bail!(
                "it wants to keep {bytes} bytes for its next run, and limits.state_bytes_max is {limit}"
            );
        }
        conversation.state = Some(state);
        Ok(())
    }
}

impl changes::Host for State {
    fn tools_changed(&mut self) -> wasmtime::Result<()> {
        self.announce(Announcement::Tools)
    }

    fn prompts_changed(&mut self) -> wasmtime::Result<()> {
        self.announce(Announcement::Prompts)
    }

    fn resources_changed(&mut self) -> wasmtime::Result<()> {
        self.announce(Announcement::Resources)
    }

    fn resource_updated(&mut self, uri: String) -> wasmtime::Result<()> {
        if uri.len() > URI_BYTES_MAX {
            // Nobody can have subscribed to it.
            return Ok(());
        }
        self.announce(Announcement::Updated(uri))
    }
}

impl State {
    fn announce(&mut self, announcement: Announcement) -> wasmtime::Result<()> {
        if let Some(conversation) = &mut self.conversation {
            conversation.announce(announcement);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_capabilities_are_those_of_the_protocol() {
        for (index, level) in LEVELS.into_iter().enumerate() {
            assert_eq!(protocol_level(level), Level::ALL[index]);
        }
        for bit in 0..7 {
            let declared = Declared::from_bits(1 << bit);
            assert_eq!(capabilities(declared).as_array(), [1_u32 << bit]);
        }
    }
}
