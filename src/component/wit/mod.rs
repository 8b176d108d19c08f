//! WIT types as JSON: schemas, names, and the plan that turns argument text into component values and results into text.
//!
//! The names and shapes are Wassette's, so that its components and the prompts written for them keep working, with these mends:
//! integers have their bounds, `option` may be left out, unknown and repeated fields are refused with a JSON pointer, flags are
//! read as array or object, a nested `option` is not collapsed, an `err` result is an error, and no name panics.
//!
//! The plan is made once, at load; decoding reads the request's bytes and builds component values directly.
//! Nothing here runs a guest.

mod decode;
mod encode;
pub mod names;
mod plan;
mod schema;

#[cfg(test)]
mod tests;

pub use decode::ArgumentError;
pub(crate) use encode::{write_answer, write_text_answer};
pub use plan::{FunctionPlan, Plan, Unsupported};
pub(crate) use plan::{Text, TextResult};
