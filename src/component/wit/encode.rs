//! Component values to the members of a `CallToolResult`.

use wasmtime::component::Val;

use crate::wire::json;

use super::super::call::CallOutcome;
use super::plan::{Plan, TextResult};

/// The encoded result is larger than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// What a function answered, with the plan of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer<'v> {
    /// It has no result.
    Nothing,
    /// A value.
    Value { plan: &'v Plan, value: &'v Val },
    /// The `err` side of its result.
    Err {
        plan: Option<&'v Plan>,
        payload: Option<&'v Val>,
    },
}

/// Appends `"content":[…]` and what else belongs to this answer.
///
/// The text is the value itself if it is a string, else its compact JSON; `structuredContent` has the value as `result`.
/// Errors: more than `bytes_max` bytes; `out` is as before.
pub(crate) fn write_answer(
    out: &mut Vec<u8>,
    answer: &Answer<'_>,
    bytes_max: usize,
) -> Result<CallOutcome, TooLarge> {
    let start = out.len();
    let mut writer = Writer {
        out,
        end_max: start.saturating_add(bytes_max),
    };
    let written = answer_members(&mut writer, answer);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn answer_members(writer: &mut Writer<'_>, answer: &Answer<'_>) -> Result<CallOutcome, TooLarge> {
    match answer {
        Answer::Nothing => {
            writer.raw(br#""content":[{"type":"text","text":"null"}]"#)?;
            Ok(CallOutcome::Ok)
        }
        Answer::Value {
            value: Val::String(text),
            ..
        } => {
            plain(writer, text)?;
            Ok(CallOutcome::Ok)
        }
        Answer::Value { plan, value } => {
            let mut structured = Vec::new();
            // The text quotes what the structure says, so the structure can be no larger than the whole.
            let room = writer.room();
            Writer {
                end_max: room,
                out: &mut structured,
            }
            .value(plan, value)?;
            writer.raw(br#""content":[{"type":"text","text":""#)?;
            writer.escaped(text_of(&structured))?;
            writer.raw(br#""}],"structuredContent":{"result":"#)?;
            writer.raw(&structured)?;
            writer.raw(b"}")?;
            Ok(CallOutcome::Ok)
        }
        Answer::Err { plan, payload } => {
            let mut structured = Vec::new();
            let room = writer.room();
            let mut inner = Writer {
                end_max: room,
                out: &mut structured,
            };
            match (plan, payload) {
                (Some(plan), Some(value)) => inner.value(plan, value)?,
                _ => inner.raw(b"null")?,
            }
            writer.raw(br#""content":[{"type":"text","text":""#)?;
            match payload {
                Some(Val::String(text)) => writer.escaped(text)?,
                _ => writer.escaped(text_of(&structured))?,
            };
            writer.raw(br#""}],"structuredContent":{"result":{"err":"#)?;
            writer.raw(&structured)?;
            writer.raw(br#"}},"isError":true"#)?;
            Ok(CallOutcome::ToolError)
        }
    }
}

/// The same for a function of text only, straight from the guest's string.
pub(crate) fn write_text_answer(
    out: &mut Vec<u8>,
    shape: TextResult,
    answer: Result<&str, &str>,
    bytes_max: usize,
    scratch: &mut Vec<u8>,
) -> Result<CallOutcome, TooLarge> {
    let start = out.len();
    let mut writer = Writer {
        out,
        end_max: start.saturating_add(bytes_max),
    };
    let written = text_members(&mut writer, shape, answer, scratch);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn text_members(
    writer: &mut Writer<'_>,
    shape: TextResult,
    answer: Result<&str, &str>,
    scratch: &mut Vec<u8>,
) -> Result<CallOutcome, TooLarge> {
    match (shape, answer) {
        (TextResult::Plain, Ok(text)) => {
            plain(writer, text)?;
            Ok(CallOutcome::Ok)
        }
        (_, Ok(text)) => {
            scratch.clear();
            let mut inner = Writer {
                end_max: writer.room(),
                out: scratch,
            };
            inner.raw(br#"{"ok":""#)?;
            inner.escaped(text)?;
            inner.raw(br#""}"#)?;
            writer.raw(br#""content":[{"type":"text","text":""#)?;
            writer.escaped(text_of(scratch))?;
            writer.raw(br#""}],"structuredContent":{"result":"#)?;
            writer.raw(scratch)?;
            writer.raw(b"}")?;
            Ok(CallOutcome::Ok)
        }
        (_, Err(text)) => {
            writer.raw(br#""content":[{"type":"text","text":""#)?;
            let escaped = writer.escaped(text)?;
            writer.raw(br#""}],"structuredContent":{"result":{"err":""#)?;
            writer.again(escaped)?;
            writer.raw(br#""}},"isError":true"#)?;
            Ok(CallOutcome::ToolError)
        }
    }
}

fn plain(writer: &mut Writer<'_>, text: &str) -> Result<(), TooLarge> {
    writer.raw(br#""content":[{"type":"text","text":""#)?;
    let escaped = writer.escaped(text)?;
    writer.raw(br#""}],"structuredContent":{"result":""#)?;
    // The same escapes serve twice.
    writer.again(escaped)?;
    writer.raw(br#""}"#)
}

fn text_of(json: &[u8]) -> &str {
    std::str::from_utf8(json).expect("what this module writes is UTF-8")
}

/// Appends to a buffer that may grow to a limit.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    end_max: usize,
}

impl Writer<'_> {
    fn room(&self) -> usize {
        self.end_max.saturating_sub(self.out.len())
    }

    fn checked(&self) -> Result<(), TooLarge> {
        if self.out.len() > self.end_max {
            Err(TooLarge)
        } else {
            Ok(())
        }
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        if bytes.len() > self.room() {
            return Err(TooLarge);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends text as the inside of a JSON string; says where.
    fn escaped(&mut self, text: &str) -> Result<std::ops::Range<usize>, TooLarge> {
        if text.len() > self.room() {
            return Err(TooLarge);
        }
        let start = self.out.len();
        json::write_escaped(self.out, text);
        self.checked()?;
        Ok(start..self.out.len())
    }

    fn again(&mut self, range: std::ops::Range<usize>) -> Result<(), TooLarge> {
        if range.len() > self.room() {
            return Err(TooLarge);
        }
        self.out.extend_from_within(range);
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), TooLarge> {
        self.raw(b"\"")?;
        self.escaped(text)?;
        self.raw(b"\"")
    }

    fn value(&mut self, plan: &Plan, value: &Val) -> Result<(), TooLarge> {
        match (plan, value) {
            (_, Val::Bool(value)) => self.raw(if *value { b"true" } else { b"false" }),
            (_, Val::S8(value)) => self.signed(i64::from(*value)),
            (_, Val::S16(value)) => self.signed(i64::from(*value)),
            (_, Val::S32(value)) => self.signed(i64::from(*value)),
            (_, Val::S64(value)) => self.signed(*value),
            (_, Val::U8(value)) => self.unsigned(u64::from(*value)),
            (_, Val::U16(value)) => self.unsigned(u64::from(*value)),
            (_, Val::U32(value)) => self.unsigned(u64::from(*value)),
            (_, Val::U64(value)) => self.unsigned(*value),
            (_, Val::Float32(value)) => self.float32(*value),
            (_, Val::Float64(value)) => self.float64(*value),
            (_, Val::Char(value)) => self.string(value.encode_utf8(&mut [0; 4])),
            (_, Val::String(text) | Val::Enum(text)) => self.string(text),
            (Plan::Bytes, Val::List(items)) => {
                self.list(items.iter().map(|item| (&Plan::Unsigned(8), item)))
            }
            (Plan::List(plan), Val::List(items)) => {
                self.list(items.iter().map(|item| (plan.as_ref(), item)))
            }
            (Plan::Tuple(plans), Val::Tuple(items)) => self.list(plans.iter().zip(items)),
            (Plan::Record(plans), Val::Record(fields)) => self.object(
                plans
                    .iter()
                    .zip(fields)
                    .map(|((_, plan), (name, value))| (name.as_str(), plan, value)),
            ),
            (Plan::Variant(cases), Val::Variant(name, payload)) => {
                self.raw(br#"{"tag":"#)?;
                self.string(name)?;
                let plan = cases
                    .iter()
                    .find(|(case, _)| **case == **name)
                    .and_then(|(_, plan)| plan.as_ref());
                if let (Some(plan), Some(value)) = (plan, payload) {
                    self.raw(br#","val":"#)?;
                    self.value(plan, value)?;
                }
                self.raw(b"}")
            }
            (Plan::Option(_), Val::Option(None)) => self.raw(b"null"),
            (Plan::Option(plan), Val::Option(Some(value))) if plan.is_optional() => {
                self.object(std::iter::once(("some", plan.as_ref(), value.as_ref())))
            }
            (Plan::Option(plan), Val::Option(Some(value))) => self.value(plan, value),
            (Plan::Result(sides), Val::Result(result)) => {
                let (name, plan, payload) = match result {
                    Ok(payload) => ("ok", &sides.0, payload),
                    Err(payload) => ("err", &sides.1, payload),
                };
                match (plan, payload) {
                    (Some(plan), Some(value)) => {
                        self.object(std::iter::once((name, plan, value.as_ref())))
                    }
                    _ => {
                        self.raw(b"{")?;
                        self.string(name)?;
                        self.raw(b":null}")
                    }
                }
            }
            (Plan::Flags(_), Val::Flags(names)) => {
                self.raw(b"[")?;
                for (index, name) in names.iter().enumerate() {
                    if index > 0 {
                        self.raw(b",")?;
                    }
                    self.string(name)?;
                }
                self.raw(b"]")
            }
            // wasmtime lifts results by the type that the plan was made from; there is no other pair.
            _ => {
                debug_assert!(false, "a value of another type than its plan");
                self.raw(b"null")
            }
        }
    }

    fn list<'v>(
        &mut self,
        items: impl Iterator<Item = (&'v Plan, &'v Val)>,
    ) -> Result<(), TooLarge> {
        self.raw(b"[")?;
        for (index, (plan, item)) in items.enumerate() {
            if index > 0 {
                self.raw(b",")?;
            }
            self.value(plan, item)?;
        }
        self.raw(b"]")
    }

    fn object<'v>(
        &mut self,
        fields: impl Iterator<Item = (&'v str, &'v Plan, &'v Val)>,
    ) -> Result<(), TooLarge> {
        self.raw(b"{")?;
        for (index, (name, plan, value)) in fields.enumerate() {
            if index > 0 {
                self.raw(b",")?;
            }
            self.string(name)?;
            self.raw(b":")?;
            self.value(plan, value)?;
        }
        self.raw(b"}")
    }

    fn signed(&mut self, value: i64) -> Result<(), TooLarge> {
        json::write_i64(self.out, value);
        self.checked()
    }

    fn unsigned(&mut self, value: u64) -> Result<(), TooLarge> {
        json::write_u64(self.out, value);
        self.checked()
    }

    /// The shortest text that reads back as the same `f32`: by way of `f64` it would show digits that nobody wrote.
    fn float32(&mut self, value: f32) -> Result<(), TooLarge> {
        if !value.is_finite() {
            return self.not_finite(f64::from(value));
        }
        let mut buffer = zmij::Buffer::new();
        self.raw(buffer.format_finite(value).as_bytes())
    }

    fn float64(&mut self, value: f64) -> Result<(), TooLarge> {
        if !json::write_f64(self.out, value) {
            return self.not_finite(value);
        }
        self.checked()
    }

    fn not_finite(&mut self, value: f64) -> Result<(), TooLarge> {
        self.raw(if value.is_nan() {
            br#""NaN""#
        } else if value > 0.0 {
            br#""inf""#
        } else {
            br#""-inf""#
        })
    }
}
