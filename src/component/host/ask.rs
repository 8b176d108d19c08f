//! `ask`: questions to the client, waited for where there is a session, and else the end of this run of the call.

use std::time::Instant;

use wasmtime::bail;

use crate::limits::{QUESTION_KEY_BYTES_MAX, QUESTIONS_PER_CALL_MAX};
use crate::mcp::reply;
use crate::mcp::{ClientCapabilities, Era, code};

use super::super::call::{CallOutcome, End, Failure, Stop};
use super::super::store::State;
use super::asks::{Full, OpenQuestion};
use super::bindings::margay::host::ask::{Answer, Host, KeyedQuestion};
use super::caller::{Asked, Asking, Recorded};
use super::conversation::Conversation;
use super::error::RpcError;
use super::outbox::Outgoing;
use super::question::{Question, failed};

impl Host for State {
    async fn ask(&mut self, asked: Vec<KeyedQuestion>) -> wasmtime::Result<Vec<Answer>> {
        let Some(conversation) = &mut self.conversation else {
            bail!("it asked the client before there was a request")
        };
        conversation.ask(asked).await
    }
}

/// A question with its key.
struct Keyed {
    key: String,
    question: Question,
}

/// What ended the wait for answers.
enum Waited {
    /// All are there, or it took too long.
    Enough,
    /// Nobody has carried the stream for too long that they were asked on.
    Unheard,
}

impl Conversation {
    async fn ask(&mut self, asked: Vec<KeyedQuestion>) -> wasmtime::Result<Vec<Answer>> {
        let questions = self.read(asked)?;
        let nobody = |why: &str| {
            let answer = || {
                failed(
                    code::INTERNAL_ERROR,
                    format!("the client cannot be asked: {why}"),
                )
            };
            Ok(questions.iter().map(|_| answer()).collect())
        };
        let caller = std::sync::Arc::clone(&self.caller);
        match &caller.asking {
            Asking::Never(why) => nobody(why),
            Asking::Live if caller.outbox.is_none() => nobody("it hears nothing before its answer"),
            Asking::Rerun(recorded) => match self.never_ends {
                Some(why) => nobody(why),
                None => {
                    self.check_capabilities(&questions)?;
                    self.ask_by_ending(&questions, recorded)
                }
            },
            Asking::Live => {
                self.check_capabilities(&questions)?;
                self.ask_and_wait(&questions).await
            }
        }
    }

    /// The questions in the form of the client's revision, within the call's bounds.
    ///
    /// Errors: the component asks what cannot be sent.
    fn read(&mut self, asked: Vec<KeyedQuestion>) -> wasmtime::Result<Vec<Keyed>> {
        if self.keys.len() + asked.len() > QUESTIONS_PER_CALL_MAX {
            bail!("it asks more than {QUESTIONS_PER_CALL_MAX} questions in one call");
        }
        let mut questions = Vec::with_capacity(asked.len());
        for KeyedQuestion { key, question } in asked {
            if key.is_empty() || key.len() > QUESTION_KEY_BYTES_MAX {
                bail!("the key of its question must have 1 to {QUESTION_KEY_BYTES_MAX} bytes");
            }
            let read = Question::new(&question, self.caller.revision, self.limits.json_depth_max);
            let question = match read {
                Ok(question) => question,
                Err(what) => bail!("its question `{key}` {what}"),
            };
            if !self.keys.insert(key.clone()) {
                bail!("it asks twice under the key `{key}`");
            }
            self.question_bytes = self.question_bytes.saturating_add(question.bytes());
            questions.push(Keyed { key, question });
        }
        if self.question_bytes > self.limits.outbox_bytes_max {
            bail!(
                "its questions have {} bytes, and limits.outbox_bytes_max is {}",
                self.question_bytes,
                self.limits.outbox_bytes_max
            );
        }
        Ok(questions)
    }

    /// Ends the call if the client has not declared what is asked of it.
    fn check_capabilities(&mut self, questions: &[Keyed]) -> wasmtime::Result<()> {
        let (declared, revision) = (self.caller.capabilities, self.caller.revision);
        let missing = questions
            .iter()
            .map(|keyed| keyed.question.missing(declared, revision))
            .fold(ClientCapabilities::NONE, ClientCapabilities::with);
        if missing == ClientCapabilities::NONE {
            return Ok(());
        }
        let end = match revision.era() {
            Era::Modern => End::Error(RpcError::capability(missing)),
            Era::Legacy => End::Failure(Failure::new(
                CallOutcome::ToolError,
                format!(
                    "the tool has to ask what the client cannot answer: its capabilities lack {missing}"
                ),
            )),
        };
        Err(self.ends(end))
    }

    /// The recorded answers if all are there. If not, the call ends with the questions that have none.
    fn ask_by_ending(
        &mut self,
        questions: &[Keyed],
        recorded: &Recorded,
    ) -> wasmtime::Result<Vec<Answer>> {
        let depth_max = self.limits.json_depth_max;
        let mut answers = Vec::with_capacity(questions.len());
        let mut requests = b"{".to_vec();
        for Keyed { key, question } in questions {
            match recorded.answers.get(key) {
                Some(result) => answers.push(question.answer(&Ok(result.clone()), depth_max)),
                None => {
                    if requests.len() > 1 {
                        requests.push(b',');
                    }
                    let params = question.params.as_deref();
                    reply::input_request(&mut requests, key, question.kind, params);
                }
            }
        }
        if answers.len() == questions.len() {
            return Ok(answers);
        }
        requests.push(b'}');
        let asked = Asked {
            requests,
            recorded: Recorded {
                answers: recorded.answers.clone(),
                state: self.state.take(),
                round: recorded.round.saturating_add(1),
            },
        };
        Err(self.ends(End::Again(CallOutcome::InputRequired, Box::new(asked))))
    }

    /// Asks all at once, and waits until each is answered or has taken too long.
    async fn ask_and_wait(&mut self, questions: &[Keyed]) -> wasmtime::Result<Vec<Answer>> {
        let open: Vec<Result<OpenQuestion, Full>> = questions
            .iter()
            .map(|keyed| self.put(&keyed.question))
            .collect();
        let opened: Vec<&OpenQuestion> = open.iter().flatten().collect();
        let waited = self.wait(&opened).await;
        let is_heard = !matches!(waited, Ok(Waited::Unheard));
        let mut answers = Vec::with_capacity(questions.len());
        for (keyed, open) in questions.iter().zip(&open) {
            answers.push(self.answer(&keyed.question, open, is_heard));
        }
        waited.map_err(wasmtime::Error::new)?;
        Ok(answers)
    }

    /// Sends one question.
    ///
    /// Errors: as many are open as may be.
    fn put(&self, question: &Question) -> Result<OpenQuestion, Full> {
        let open = self
            .exchange
            .asks
            .open(self.caller.session, &self.answer_room)?;
        let mut message = Vec::new();
        let params = question.params.as_deref();
        reply::request(&mut message, open.id(), question.kind, params);
        if let Some(outbox) = &self.caller.outbox {
            outbox.push(Outgoing::Message(message));
        }
        Ok(open)
    }

    /// Waits for the answers. Nothing computes meanwhile, and the call's time stands still.
    async fn wait(&self, open: &[&OpenQuestion]) -> Result<Waited, Stop> {
        if open.is_empty() {
            return Ok(Waited::Enough);
        }
        let held = self.exchange.asks.hold();
        let started = Instant::now();
        let paused = self.traffic.pause();
        let waiting = self.control.wait();
        let answered = async {
            for question in open {
                question.arrived().await;
            }
        };
        let stopped = tokio::select! {
            biased;
            () = self.control.cancelled() => Err(Stop::Cancelled),
            () = self.traffic.stopped() => Err(Stop::Cancelled),
            () = answered => Ok(Waited::Enough),
            () = self.control.unheard() => Ok(Waited::Unheard),
            () = tokio::time::sleep(self.limits.ask_deadline) => Ok(Waited::Enough),
        };
        self.control.extend(started.elapsed());
        drop((waiting, paused, held));
        stopped
    }

    /// What the component gets. A question that nobody answered is given up, and the client is told.
    fn answer(
        &self,
        question: &Question,
        open: &Result<OpenQuestion, Full>,
        is_heard: bool,
    ) -> Answer {
        let limits = &self.limits;
        let open = match open {
            Ok(open) => open,
            Err(full) => {
                let (limit, value, whose) = match full {
                    Full::Process => ("ask_count_max", limits.ask_count_max, ""),
                    Full::Session => (
                        "ask_session_count_max",
                        limits.ask_session_count_max,
                        " in this session",
                    ),
                };
                let message = format!(
                    "limits.{limit} ({value}) questions are open{whose}; try again once one is answered"
                );
                return failed(code::OVERLOADED, message);
            }
        };
        if let Some(reply) = open.reply() {
            return question.answer(reply, self.limits.json_depth_max);
        }
        let (limit, span) = match is_heard {
            true => ("ask_deadline", limits.ask_deadline),
            false => ("ask_unheard_deadline", limits.ask_unheard_deadline),
        };
        let reason = format!("no answer within limits.{limit} ({span:?})");
        if let Some(outbox) = &self.caller.outbox {
            let mut message = Vec::new();
            reply::cancelled(&mut message, &open.id(), &reason);
            outbox.push(Outgoing::Message(message));
        }
        failed(code::INTERNAL_ERROR, reason)
    }
}
