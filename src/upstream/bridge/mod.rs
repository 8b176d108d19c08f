//! From one era to the other: what a message has to be so that the other side understands it.
//!
//! Between two sides of one era nothing here is needed: the bytes that came are passed on. Everything here is text in, text
//! out; a text that cannot be read is passed on as it is, because whoever receives it says better what is wrong with it.
//!
//! ```text
//!                 legacy client ─▶ modern upstream      modern client ─▶ legacy upstream
//!   request       params_to_modern                      params_to_legacy
//!   result        result_to_legacy                      result_to_modern
//!   error         error_to(Legacy)                      error_to(Modern), error_status
//!   question      read_input_required,                  question_to_modern,
//!                 question_to_legacy                    write_input_required
//!   answer        answer_to_modern, with_responses      read_responses, answer_to_legacy
//!   notification  notification_to(Legacy)               notification_to(Modern)
//! ```
//!
//! Invariants: what was JSON stays JSON; members that have no meaning here, and the text of every number, stay as they were.

mod check;
mod error;
mod notification;
mod object;
mod params;
mod question;
mod result;
mod task;

pub use check::check;
pub use error::{error_status, error_to};
pub use notification::notification_to;
pub use params::{
    Who, capabilities_text, params_to_legacy, params_to_modern, set_reference, set_task_id,
    with_responses,
};
pub use question::{
    InputRequired, Question, answer_to_legacy, answer_to_modern, may_ask, needed_to_ask,
    question_to_legacy, question_to_modern, read_input_required, read_responses,
    write_input_required,
};
pub use result::{ResultKind, result_kind, result_to_legacy, result_to_modern};
pub use task::rename_tasks;
