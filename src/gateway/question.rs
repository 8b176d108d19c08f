//! What upstreams ask clients before they answer, in all four pairs of eras.

use super::link::Scope;
use super::pending::{Ask, AskFrom, Collecting};
use super::{Action, AskClient, Gateway, text};
use crate::limits::QUESTIONS_PER_CALL_MAX;
use crate::mcp::{Era, code};
use crate::upstream::bridge::{self, InputRequired};
use crate::upstream::envelope::Envelope;
use crate::upstream::multiplex::AskNumber;
use crate::upstream::say;

impl Gateway {
    /// A legacy upstream asks something.
    pub(super) fn asked(
        &mut self,
        link: u64,
        number: AskNumber,
        caller: Option<u64>,
        envelope: &Envelope<'_>,
    ) {
        let Some(method) = envelope.method.map(|method| method.to_cow().into_owned()) else {
            return;
        };
        if method == "ping" {
            return self.acknowledge(link, number);
        }
        if method == "roots/list"
            && self
                .links
                .get(link)
                .is_some_and(|link| link.scope == Scope::Feed)
        {
            // Our own session has none, and says so: some servers ask at once.
            return self.answer_upstream(link, number, Ok(br#"{"roots":[]}"#));
        }
        let params = envelope.params.as_ref().map(|params| params.text);
        // Beside a client's call there may be requests of our own.
        let caller = caller.or_else(|| self.only_call(link));
        let refused = match caller.and_then(|slot| Some((slot, self.pending.get(slot)?))) {
            Some((slot, pending)) => match pending.call() {
                Some(call) => {
                    match bridge::may_ask(call.capabilities, &method, params.unwrap_or(b"{}")) {
                        Ok(()) if call.revision.era() == Era::Modern => {
                            return self.hold(slot, number, &method, params);
                        }
                        Ok(()) => match &call.outbox {
                            Ok(outbox) => {
                                let outbox = std::sync::Arc::clone(outbox);
                                let from = AskFrom::Upstream { link, number };
                                let params = params.map(|params| {
                                    bridge::question_to_legacy(&method, params, call.revision)
                                        .into_owned()
                                });
                                let session = call.session;
                                return self
                                    .ask_client(slot, from, session, outbox, &method, params);
                            }
                            Err(why) => (*why).to_owned(),
                        },
                        Err(capability) => format!("the client does not declare {capability}"),
                    }
                }
                None => "nobody is there to answer".to_owned(),
            },
            None => self.nobody(link),
        };
        self.refuse_ask(Some(link), number, &refused);
    }

    /// Why it is not known whom a question is for.
    fn nobody(&self, link: u64) -> String {
        let link = self.links.get(link);
        match link.map(|link| (link.scope, link.multiplexer.call_count())) {
            Some((Scope::Shared, count)) if count > 1 => {
                format!(
                    "several clients share this process, and it is not known which of them is asked; set upstreams.{}.sharing to per-session",
                    self.routes[link.map_or(0, |link| link.remote)]
                        .remote
                        .name()
                )
            }
            _ => "nobody is there to answer".to_owned(),
        }
    }

    fn ask_client(
        &mut self,
        slot: u64,
        from: AskFrom,
        session: Option<crate::mcp::SessionId>,
        outbox: std::sync::Arc<crate::component::Outbox>,
        method: &str,
        params: Option<Vec<u8>>,
    ) {
        let number = self.key();
        self.asks.insert(number, Ask { slot, from });
        let due_ms = self.now_ms + super::millis(self.limits.ask_deadline);
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.due_ms = pending.due_ms.max(due_ms);
        }
        if let Some(call) = self
            .pending
            .get(slot)
            .and_then(super::pending::Pending::call)
        {
            call.patience.begin();
        }
        self.act(Action::Ask(Box::new(AskClient {
            number,
            session,
            outbox,
            method: method.into(),
            params,
        })));
    }

    /// A client has answered a question, or cannot.
    pub fn answered(&mut self, number: u64, answer: Result<Vec<u8>, Vec<u8>>) {
        let Some(ask) = self.asks.remove(&number) else {
            return;
        };
        self.act(Action::Unask {
            number,
            tells: false,
        });
        self.waited(ask.slot);
        let answer = answer.as_deref().map_err(Vec::as_slice);
        match ask.from {
            AskFrom::Upstream { link, number } => self.answer_upstream(link, number, answer),
            AskFrom::InputRequest { key, method } => {
                match bridge::answer_to_modern(&method, answer) {
                    Some(value) => self.collected(ask.slot, key, value),
                    None => self.answer_with_error(
                        ask.slot,
                        "asked the client something that it refused to answer",
                    ),
                }
            }
        }
    }

    /// The time that a person takes to answer does not count.
    fn waited(&mut self, slot: u64) {
        let now_ms = self.now_ms;
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        if let Some(call) = pending.call() {
            let due_ms = now_ms + super::millis(call.timeout());
            call.patience.end();
            if !call.patience.is_asking() {
                pending.due_ms = due_ms;
            }
        }
    }

    /// Gives a question of a legacy upstream its answer.
    pub(super) fn answer_upstream(
        &mut self,
        link: u64,
        number: AskNumber,
        answer: Result<&[u8], &[u8]>,
    ) {
        let Some(found) = self.links.get_mut(link) else {
            return;
        };
        let Some(id) = found.multiplexer.take_ask(number) else {
            return;
        };
        let message = text::response(&id, answer);
        self.send_message(link, message);
    }

    fn acknowledge(&mut self, link: u64, number: AskNumber) {
        self.answer_upstream(link, number, Ok(b"{}"));
    }

    /// Tells an upstream that its question is answered by nobody.
    pub(super) fn refuse_ask(&mut self, link: Option<u64>, number: AskNumber, why: &str) {
        let Some(link) = link else { return };
        let Some(id) = self
            .links
            .get_mut(link)
            .and_then(|link| link.multiplexer.take_ask(number))
        else {
            return;
        };
        let mut message = Vec::new();
        say::refuse(&mut message, id.as_bytes(), code::INVALID_REQUEST, why);
        self.send_message(link, message);
    }

    /// An upstream wants no answer any longer.
    pub(super) fn ask_withdrawn(&mut self, link: u64, withdrawn: AskNumber) {
        let is_it = |ask: &Ask| matches!(ask.from, AskFrom::Upstream { link: of, number } if of == link && number == withdrawn);
        let found = self.asks.iter().find(|(_, ask)| is_it(ask));
        if let Some((number, slot)) = found.map(|(number, ask)| (*number, ask.slot)) {
            self.asks.remove(&number);
            self.waited(slot);
            self.act(Action::Unask {
                number,
                tells: true,
            });
        }
    }

    /// The call that caused these questions is over.
    pub(super) fn give_up_asks(&mut self, slot: u64) {
        let of_slot = |(number, ask): (&u64, &Ask)| (ask.slot == slot).then_some(*number);
        let numbers: Vec<u64> = self.asks.iter().filter_map(of_slot).collect();
        for number in numbers {
            let Some(ask) = self.asks.remove(&number) else {
                continue;
            };
            self.act(Action::Unask {
                number,
                tells: true,
            });
            if let AskFrom::Upstream { link, number } = ask.from {
                self.refuse_ask(Some(link), number, "the call that asked is over");
            }
        }
    }

    /// Nobody hears the questions of a call: their answers will not come.
    pub(super) fn unheard(&mut self, caller: super::CallerKey) {
        let Some(slot) = self.callers.get(&caller).copied() else {
            return;
        };
        let of_slot = |(number, ask): (&u64, &Ask)| (ask.slot == slot).then_some(*number);
        let numbers: Vec<u64> = self.asks.iter().filter_map(of_slot).collect();
        for number in numbers {
            let unheard = br#"{"code":-32603,"message":"the client went away before it answered"}"#;
            self.answered(number, Err(unheard.to_vec()));
        }
    }

    /// Asks a legacy client everything that a modern upstream wants to know.
    pub(super) fn collect(&mut self, slot: u64, asked: InputRequired) {
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        if asked.questions.len() > QUESTIONS_PER_CALL_MAX {
            return self.answer_with_error(slot, "asks more at once than a call may ask");
        }
        let Some(call) = pending.call() else { return };
        let (capabilities, revision, session) = (call.capabilities, call.revision, call.session);
        let outbox = match &call.outbox {
            Ok(outbox) => std::sync::Arc::clone(outbox),
            Err(why) => {
                let why = format!("asks the client something, and {why}");
                return self.answer_with_error(slot, &why);
            }
        };
        for question in &asked.questions {
            if let Err(capability) =
                bridge::may_ask(capabilities, &question.method, &question.params)
            {
                let why = format!("needs {capability}, which the client does not declare");
                return self.answer_with_error(slot, &why);
            }
        }
        // What is left of its exchange says nothing more, and of its place it has said enough.
        let exchange = pending.exchange.take();
        pending.collecting = Some(Collecting {
            open: asked.questions.len(),
            answers: Vec::new(),
            state: asked.state,
        });
        self.release_place(slot, Some(true));
        if let Some(exchange) = exchange {
            self.exchanges.remove(&exchange);
        }
        if asked.questions.is_empty() {
            // It wants nothing but to be asked again.
            return self.send_again(slot);
        }
        for question in asked.questions {
            let params = bridge::question_to_legacy(&question.method, &question.params, revision)
                .into_owned();
            let from = AskFrom::InputRequest {
                key: question.key,
                method: question.method.clone(),
            };
            let outbox = std::sync::Arc::clone(&outbox);
            self.ask_client(slot, from, session, outbox, &question.method, Some(params));
        }
    }

    fn collected(&mut self, slot: u64, key: String, value: Vec<u8>) {
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        let Some(collecting) = &mut pending.collecting else {
            return;
        };
        collecting.answers.push((key, value));
        collecting.open = collecting.open.saturating_sub(1);
        if collecting.open == 0 {
            self.send_again(slot);
        }
    }

    fn send_again(&mut self, slot: u64) {
        self.take_back(slot);
        self.advance(slot);
    }
}
