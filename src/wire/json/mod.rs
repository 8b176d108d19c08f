//! Strict JSON (RFC 8259) without a tree: a validating pull [`Reader`] and appenders.
//!
//! Invariants: an invalid text never passes, whichever methods read it (UTF-8 is checked once, before the first
//! byte is read; a lone surrogate escape is an error; every value passed over is validated); nothing is allocated;
//! nesting is bounded by the caller and by [`DEPTH_CAP`], without recursion.
//! It never interprets: strings and numbers are handed out as they stand, and decoded only on request.
#![forbid(unsafe_code)]

mod check;
mod error;
mod flag;
mod number;
mod reader;
mod scan;
mod skip;
mod string;
mod write;

#[cfg(test)]
mod tests;

pub use check::check;
pub use error::JsonError;
pub use number::Num;
pub use reader::{DEPTH_CAP, Kind, Reader, validate};
pub use string::Str;
pub use write::{write_escaped, write_f64, write_i64, write_str, write_u64};
