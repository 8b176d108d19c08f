//! The types of one function, as a tree that decoding, encoding and schemas walk.

use std::fmt;

use serde_json::Value;
use wasmtime::component::Val;
use wasmtime::component::types::{ComponentFunc, Type};

use super::decode::{self, ArgumentError};
use super::encode::Answer;
use super::schema::{self, Direction};

/// Types inside types, at most. Component validation bounds this too, more loosely.
const DEPTH_MAX: usize = 64;

/// One value type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// `bool`
    Bool,
    /// `s8` … `s64`: bits.
    Signed(u8),
    /// `u8` … `u64`: bits.
    Unsigned(u8),
    /// `f32`
    Float32,
    /// `f64`
    Float64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<u8>`: also read from base64.
    Bytes,
    /// `list<T>`
    List(Box<Plan>),
    /// `record`: fields in declaration order.
    Record(Vec<(Box<str>, Plan)>),
    /// `tuple`
    Tuple(Vec<Plan>),
    /// `variant`: cases with their payloads.
    Variant(Vec<(Box<str>, Option<Plan>)>),
    /// `enum`
    Enum(Vec<Box<str>>),
    /// `option<T>`
    Option(Box<Plan>),
    /// `result<T, E>`
    Result(Box<(Option<Plan>, Option<Plan>)>),
    /// `flags`
    Flags(Vec<Box<str>>),
}

/// A type that has no JSON form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    place: String,
    what: &'static str,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, which has no JSON form", self.place, self.what)
    }
}

impl std::error::Error for Unsupported {}

impl Plan {
    /// The plan of a type; `place` names it in the error.
    pub fn new(ty: &Type, place: &str) -> Result<Self, Unsupported> {
        Self::build(ty, place, DEPTH_MAX)
    }

    fn build(ty: &Type, place: &str, depth: usize) -> Result<Self, Unsupported> {
        let refuse = |what| {
            Err(Unsupported {
                place: place.to_owned(),
                what,
            })
        };
        let Some(depth) = depth.checked_sub(1) else {
            return refuse("nested too deeply");
        };
        let inner = |ty: &Type| Self::build(ty, place, depth);
        let payload = |ty: Option<Type>| ty.map(|ty| inner(&ty)).transpose();
        Ok(match ty {
            Type::Bool => Self::Bool,
            Type::S8 => Self::Signed(8),
            Type::S16 => Self::Signed(16),
            Type::S32 => Self::Signed(32),
            Type::S64 => Self::Signed(64),
            Type::U8 => Self::Unsigned(8),
            Type::U16 => Self::Unsigned(16),
            Type::U32 => Self::Unsigned(32),
            Type::U64 => Self::Unsigned(64),
            Type::Float32 => Self::Float32,
            Type::Float64 => Self::Float64,
            Type::Char => Self::Char,
            Type::String => Self::String,
            Type::List(list) => match list.ty() {
                Type::U8 => Self::Bytes,
                ty => Self::List(Box::new(inner(&ty)?)),
            },
            Type::Record(record) => Self::Record(
                record
                    .fields()
                    .map(|field| Ok((field.name.into(), inner(&field.ty)?)))
                    .collect::<Result<_, _>>()?,
            ),
            Type::Tuple(tuple) => Self::Tuple(
                tuple
                    .types()
                    .map(|ty| inner(&ty))
                    .collect::<Result<_, _>>()?,
            ),
            Type::Variant(variant) => Self::Variant(
                variant
                    .cases()
                    .map(|case| Ok((case.name.into(), payload(case.ty)?)))
                    .collect::<Result<_, _>>()?,
            ),
            Type::Enum(names) => Self::Enum(names.names().map(Into::into).collect()),
            Type::Option(option) => Self::Option(Box::new(inner(&option.ty())?)),
            Type::Result(result) => {
                Self::Result(Box::new((payload(result.ok())?, payload(result.err())?)))
            }
            Type::Flags(flags) => Self::Flags(flags.names().map(Into::into).collect()),
            Type::Own(_) => return refuse("an owned resource handle"),
            Type::Borrow(_) => return refuse("a borrowed resource handle"),
            Type::Future(_) => return refuse("a future"),
            Type::Stream(_) => return refuse("a stream"),
            Type::ErrorContext => return refuse("an error context"),
            Type::Map(_) => return refuse("a map"),
            Type::FixedLengthList(_) => return refuse("a fixed-length list"),
        })
    }

    /// Whether the value may be left out of a record or of the arguments.
    pub(super) fn is_optional(&self) -> bool {
        matches!(self, Self::Option(_))
    }
}

/// A function all of whose values are text: it can be called without building component values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) param_count: usize,
    pub(crate) result: TextResult,
}

/// What such a function answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextResult {
    /// `string`
    Plain,
    /// `result<string, string>`
    Fallible,
}

/// String parameters that a call without component values can have.
pub(crate) const TEXT_PARAMS_MAX: usize = 3;

/// The types of one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionPlan {
    pub(super) params: Vec<(Box<str>, Plan)>,
    pub(super) result: Option<Plan>,
    text: Option<Text>,
}

impl FunctionPlan {
    /// The plan of a function.
    ///
    /// Errors: a parameter or the result has no JSON form.
    pub fn new(function: &ComponentFunc) -> Result<Self, Unsupported> {
        if function.async_() {
            return Err(Unsupported {
                place: "the function".to_owned(),
                what: "asynchronous",
            });
        }
        let params = function
            .params()
            .map(|(name, ty)| Ok((name.into(), Plan::new(&ty, &format!("parameter {name}"))?)))
            .collect::<Result<_, _>>()?;
        let mut results = function.results();
        let result = results
            .next()
            .map(|ty| Plan::new(&ty, "the result"))
            .transpose()?;
        if results.next().is_some() {
            return Err(Unsupported {
                place: "the result".to_owned(),
                what: "more than one value",
            });
        }
        Ok(Self::from_parts(params, result))
    }

    /// A plan from its parts, for tests and benchmarks that have no component.
    pub fn from_parts(params: Vec<(Box<str>, Plan)>, result: Option<Plan>) -> Self {
        let text = Self::text_shape(&params, result.as_ref());
        Self {
            params,
            result,
            text,
        }
    }

    fn text_shape(params: &[(Box<str>, Plan)], result: Option<&Plan>) -> Option<Text> {
        if params.len() > TEXT_PARAMS_MAX || params.iter().any(|(_, plan)| *plan != Plan::String) {
            return None;
        }
        let result = match result? {
            Plan::String => TextResult::Plain,
            Plan::Result(sides) if **sides == (Some(Plan::String), Some(Plan::String)) => {
                TextResult::Fallible
            }
            _ => return None,
        };
        Some(Text {
            param_count: params.len(),
            result,
        })
    }

    pub(crate) fn text(&self) -> Option<Text> {
        self.text
    }

    /// Whether the function returns a value.
    pub fn has_result(&self) -> bool {
        self.result.is_some()
    }

    /// JSON Schema of the arguments.
    pub fn input_schema(&self) -> Value {
        schema::object(&self.params, Direction::In)
    }

    /// JSON Schema of `structuredContent`: the result in an envelope, because it must be an object.
    pub fn output_schema(&self) -> Option<Value> {
        self.result.as_ref().map(schema::envelope)
    }

    /// The component values of the arguments in this JSON text; an empty text counts as `{}`.
    ///
    /// Errors: the text is not what the input schema says; the error names the place.
    pub fn decode(&self, text: &[u8], depth_max: usize) -> Result<Vec<Val>, ArgumentError> {
        decode::arguments(&self.params, text, depth_max)
    }

    /// The parameters of a function of text only, borrowed from `text` where they hold no escapes, else from `scratch`.
    pub(crate) fn decode_text<'a>(
        &self,
        text: &'a [u8],
        depth_max: usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<[&'a str; TEXT_PARAMS_MAX], ArgumentError> {
        decode::text_arguments(&self.params, text, depth_max, scratch)
    }

    pub(crate) fn answer<'v>(&'v self, value: Option<&'v Val>) -> Answer<'v> {
        match (&self.result, value) {
            (Some(Plan::Result(sides)), Some(Val::Result(Err(payload)))) => Answer::Err {
                plan: sides.1.as_ref(),
                payload: payload.as_deref(),
            },
            (Some(plan), Some(value)) => Answer::Value { plan, value },
            _ => Answer::Nothing,
        }
    }
}
