//! Requests that an upstream answers: made whole, and handed to the thread that has the way there.

use std::sync::Arc;
use std::time::Duration;

use crate::gateway::{Call, CallerKey, Gateway, Patience, Word, home_of_state, text};
use crate::mcp::{Invocation, Operation, Reason};
use crate::shard::{Shared, Upstreams};
use crate::upstream::remote::Remote;
use crate::upstream::settings::Sharing;
use crate::wire::json::Str;

use super::calls::{Away, Origin, Stop};
use super::dispatcher::{Asker, Conversation, Dispatcher, Made};
use super::work::{client_info, excerpt};

/// What a request to an upstream takes beside what it brings.
pub(in super::super) struct Forward<'b> {
    pub(super) remote: Arc<Remote>,
    /// What it is about, as the upstream knows it.
    pub(super) theirs: Box<str>,
    /// The same as the client knows it.
    pub(super) name: Str<'b>,
    /// Whether a second request changes nothing.
    pub(super) is_repeatable: bool,
    /// The arguments that the tool wants repeated in headers.
    pub(super) mirrored: Vec<(String, String)>,
}

impl<'b> Forward<'b> {
    pub(super) fn new(remote: &Arc<Remote>, theirs: impl Into<Box<str>>, name: Str<'b>) -> Self {
        Self {
            remote: Arc::clone(remote),
            theirs: theirs.into(),
            name,
            is_repeatable: false,
            mirrored: Vec::new(),
        }
    }
}

/// A request that an upstream has.
pub(in super::super) struct Forwarded {
    shared: Arc<Shared>,
    home: u16,
    remote: usize,
    caller: CallerKey,
    patience: Arc<Patience>,
    timeout: Duration,
}

impl Forwarded {
    /// Nobody wants the answer any longer.
    pub(super) fn cancel(&self) {
        let word = Word::Cancel {
            remote: self.remote,
            caller: self.caller,
        };
        self.shared.hand(self.home, word);
    }

    /// Nobody hears what is asked.
    pub(super) fn give_up_questions(&self) {
        if self.patience.is_asking() {
            self.shared.hand(self.home, Word::Unheard(self.caller));
        }
    }

    /// How much longer than a call's deadline it may take; none while its client has a question to answer.
    pub(super) fn extension(&self) -> Option<Duration> {
        (!self.patience.is_asking()).then_some(self.timeout)
    }

    pub(super) fn is_asking(&self) -> bool {
        self.patience.is_asking()
    }
}

impl<P> Dispatcher<P> {
    /// Hands a request to the home of what leads to its upstream.
    pub(super) fn forward<'b>(
        &mut self,
        invocation: &Invocation<'b>,
        asker: Asker<'_>,
        origin: Origin<P>,
        forward: Forward<'b>,
        conversation: &dyn Conversation,
    ) -> Result<Made<'b>, Reason<'b>> {
        let shared = Arc::clone(&self.shared);
        let upstreams = shared.upstreams().ok_or(Reason::Internal)?;
        let ticket = self.desk().ticket()?;
        let caller = CallerKey {
            port: self.port,
            ticket,
        };
        let home = self.home(upstreams, &forward.remote, invocation);
        let tool = matches!(invocation.operation, Operation::CallTool { .. });
        let settings = &forward.remote.settings;
        let timeout = settings.call_timeout(tool.then_some(&*forward.theirs));
        let patience = Arc::new(Patience::default());
        let forwarded = Forwarded {
            shared: Arc::clone(&shared),
            home,
            remote: forward.remote.index,
            caller,
            patience: Arc::clone(&patience),
            timeout,
        };
        let outbox = asker.hears.map(|()| self.pool.outbox(ticket));
        let mut away = Away::new(
            invocation,
            excerpt(forward.name),
            origin,
            Stop::Upstream(Box::new(forwarded)),
        );
        away.outbox = outbox.as_ref().ok().map(Arc::clone);
        self.desk().leave(ticket, away)?;
        let method = invocation.method();
        let is_renamed = !forward.name.eq_str(&forward.theirs);
        let params = invocation.params.unwrap_or(b"{}");
        let call = Call {
            caller,
            principal: asker.principal,
            revision: invocation.revision,
            session: invocation.session,
            remote: forward.remote,
            method,
            // With everything that its client put into it.
            message: text::request(&invocation.id, method.name(), Some(params)),
            target: forward.theirs,
            is_renamed,
            mirrored: forward.mirrored,
            capabilities: invocation.capabilities,
            client_info: client_info(invocation, conversation),
            log_level: invocation.log_level,
            is_repeatable: forward.is_repeatable || Gateway::reads(method),
            patience,
            outbox,
        };
        shared.hand(home, Word::Begin(Box::new(call)));
        Ok(Made::Later(ticket))
    }

    /// The thread that has, or will have, what leads to an upstream for this request.
    fn home(&self, upstreams: &Upstreams, remote: &Remote, invocation: &Invocation<'_>) -> u16 {
        let homes = &upstreams.homes;
        let is_home = homes.contains(&self.port);
        let own = if is_home { self.port } else { homes.start };
        // Noted in any case: when the session ends, the homes are told.
        let of_session = invocation
            .session
            .map(|session| upstreams.home_of(session, own));
        if remote.is_stdio() && remote.settings.sharing == Sharing::Shared {
            return upstreams.feed_home(remote.index);
        }
        let state = match invocation.operation {
            Operation::CallTool { retry, .. }
            | Operation::ReadResource { retry, .. }
            | Operation::GetPrompt { retry, .. } => retry.and_then(|retry| retry.request_state),
            _ => None,
        };
        let held = state.and_then(|state| home_of_state(&state.to_cow()));
        if let Some(home) = held.filter(|home| homes.contains(home)) {
            return home;
        }
        of_session.unwrap_or(own)
    }

    /// Has the session follow a resource of an upstream, if that agrees.
    pub(super) fn follow_upstream<'b>(
        &mut self,
        invocation: &Invocation<'b>,
        asker: Asker<'_>,
        origin: Origin<P>,
        forward: Forward<'b>,
        conversation: &mut dyn Conversation,
    ) -> Result<Made<'b>, Reason<'b>> {
        // Before the upstream is asked: a change right after its word must not be missed.
        let uri = forward.theirs.clone();
        let is_new = conversation.follow(&uri)?;
        let made = self.forward(invocation, asker, origin, forward, conversation);
        match &made {
            Ok(Made::Later(ticket)) => {
                if let Some(away) = self.calls.get_mut(*ticket) {
                    away.followed = is_new;
                }
            }
            _ if is_new => conversation.unfollow(&uri),
            _ => {}
        }
        made
    }

    /// Hands on a request about a task of an upstream; gives the origin back where it is about another.
    pub(super) fn forward_task<'b>(
        &mut self,
        invocation: &Invocation<'b>,
        asker: Asker<'_>,
        origin: Origin<P>,
        conversation: &dyn Conversation,
    ) -> Result<Result<Made<'b>, Reason<'b>>, Origin<P>> {
        let shared = Arc::clone(&self.shared);
        let found = task_of(&invocation.operation).zip(shared.upstreams());
        let Some((name, upstreams)) = found else {
            return Err(origin);
        };
        let task_id = name.to_cow();
        let Some((upstream, theirs)) = self.task_ids.inward(&task_id, asker.principal) else {
            return Err(origin);
        };
        let mut remotes = upstreams.remotes.iter();
        let Some(remote) = remotes.find(|remote| remote.name() == upstream) else {
            return Err(origin);
        };
        let forward = Forward::new(remote, theirs, name);
        Ok(self.forward(invocation, asker, origin, forward, conversation))
    }
}

/// The task that a request is about.
fn task_of<'b>(operation: &Operation<'b>) -> Option<Str<'b>> {
    match operation {
        Operation::GetTask { task_id }
        | Operation::TaskResult { task_id }
        | Operation::UpdateTask { task_id, .. }
        | Operation::CancelTask { task_id } => Some(*task_id),
        _ => None,
    }
}
