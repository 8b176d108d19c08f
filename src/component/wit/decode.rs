//! JSON text to component values, in one pass, with the place of what does not fit.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use wasmtime::component::Val;

use crate::wire::json::{JsonError, Kind, Num, Reader, Str};

use super::plan::{Plan, TEXT_PARAMS_MAX};

/// Bytes of a value that an error quotes.
const EXCERPT_BYTES_MAX: usize = 60;

/// Names that an error lists.
const NAMES_LISTED_MAX: usize = 12;

/// Fields of one record whose presence is tracked without allocating.
const FIELDS_INLINE_MAX: usize = 64;

/// Arguments that do not fit the tool's input schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentError {
    /// JSON pointer (RFC 6901) to what does not fit; empty for the arguments as a whole.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            write!(f, "invalid arguments: {}", self.message)
        } else {
            write!(f, "invalid arguments: {}: {}", self.pointer, self.message)
        }
    }
}

impl std::error::Error for ArgumentError {}

/// A misfit on its way out of the recursion; each level adds its step to the path.
struct Misfit {
    message: String,
    path: Vec<String>,
}

type Fitted<T> = Result<T, Box<Misfit>>;

fn misfit<T>(message: impl Into<String>) -> Fitted<T> {
    Err(Box::new(Misfit {
        message: message.into(),
        path: Vec::new(),
    }))
}

fn malformed(error: JsonError) -> Box<Misfit> {
    Box::new(Misfit {
        message: error.to_string(),
        path: Vec::new(),
    })
}

fn at<T>(result: Fitted<T>, step: impl FnOnce() -> String) -> Fitted<T> {
    result.map_err(|mut misfit| {
        misfit.path.push(step());
        misfit
    })
}

impl From<Box<Misfit>> for ArgumentError {
    fn from(misfit: Box<Misfit>) -> Self {
        let mut pointer = String::new();
        for step in misfit.path.iter().rev() {
            pointer.push('/');
            pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
        }
        Self {
            pointer,
            message: misfit.message,
        }
    }
}

pub(super) fn arguments(
    params: &[(Box<str>, Plan)],
    text: &[u8],
    depth_max: usize,
) -> Result<Vec<Val>, ArgumentError> {
    let mut reader = Reader::new(if text.is_empty() { b"{}" } else { text }, depth_max);
    let decoded = fields(&mut reader, params, "parameter").and_then(|values| {
        reader.end().map_err(malformed)?;
        Ok(values.into_iter().map(|(_, value)| value).collect())
    });
    decoded.map_err(ArgumentError::from)
}

pub(super) fn text_arguments<'a>(
    params: &[(Box<str>, Plan)],
    text: &'a [u8],
    depth_max: usize,
    scratch: &'a mut Vec<u8>,
) -> Result<[&'a str; TEXT_PARAMS_MAX], ArgumentError> {
    Ok(text_fields(params, text, depth_max, scratch)?)
}

fn text_fields<'a>(
    params: &[(Box<str>, Plan)],
    text: &'a [u8],
    depth_max: usize,
    scratch: &'a mut Vec<u8>,
) -> Fitted<[&'a str; TEXT_PARAMS_MAX]> {
    #[derive(Clone, Copy)]
    enum Piece<'a> {
        Missing,
        Plain(&'a str),
        Decoded(usize, usize),
    }
    scratch.clear();
    let mut pieces = [Piece::Missing; TEXT_PARAMS_MAX];
    let mut reader = Reader::new(if text.is_empty() { b"{}" } else { text }, depth_max);
    expect(&mut reader, Kind::Object, "an object")?;
    reader.begin_object().map_err(malformed)?;
    while let Some(key) = reader.key().map_err(malformed)? {
        let index = position(
            params.iter().map(|(name, _)| name.as_ref()),
            &key,
            "parameter",
        )?;
        let value = at(string(&mut reader), || params[index].0.to_string())?;
        if !matches!(pieces[index], Piece::Missing) {
            return at(misfit("given twice"), || params[index].0.to_string());
        }
        pieces[index] = match value.as_plain() {
            Some(plain) => Piece::Plain(plain),
            None => {
                let start = scratch.len();
                value.decode_into(scratch);
                Piece::Decoded(start, scratch.len())
            }
        };
    }
    reader.end().map_err(malformed)?;
    let scratch: &'a [u8] = scratch;
    let mut texts = [""; TEXT_PARAMS_MAX];
    for ((piece, text), (name, _)) in pieces.iter().zip(&mut texts).zip(params) {
        *text = match *piece {
            Piece::Plain(plain) => plain,
            Piece::Decoded(start, end) => {
                std::str::from_utf8(&scratch[start..end]).expect("a decoded JSON string is UTF-8")
            }
            Piece::Missing => return misfit(format!("missing parameter \"{name}\"")),
        };
    }
    Ok(texts)
}

fn value(reader: &mut Reader<'_>, plan: &Plan) -> Fitted<Val> {
    match plan {
        Plan::Bool => {
            expect(reader, Kind::True, "a boolean").or_else(|misfit| match reader.peek() {
                Ok(Kind::False) => Ok(()),
                _ => Err(misfit),
            })?;
            Ok(Val::Bool(reader.boolean().map_err(malformed)?))
        }
        Plan::Signed(bits) => signed(reader, *bits),
        Plan::Unsigned(bits) => unsigned(reader, *bits),
        Plan::Float32 => float(reader, "f32").and_then(|wide| {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rounding to the nearest f32 is what f32 means; overflow is refused"
            )]
            let narrow = wide.0 as f32;
            if narrow.is_infinite() && wide.1 {
                return misfit(format!("{:e} is out of the range of f32", wide.0));
            }
            Ok(Val::Float32(narrow))
        }),
        Plan::Float64 => float(reader, "f64").and_then(|wide| {
            if wide.0.is_infinite() && wide.1 {
                misfit("the number is out of the range of f64")
            } else {
                Ok(Val::Float64(wide.0))
            }
        }),
        Plan::Char => {
            let text = string(reader)?.to_cow();
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => Ok(Val::Char(c)),
                _ => misfit(format!(
                    "{} characters where exactly one belongs",
                    text.chars().count()
                )),
            }
        }
        Plan::String => Ok(Val::String(string(reader)?.to_cow().into_owned())),
        Plan::Bytes => bytes(reader),
        Plan::List(item) => list(reader, item),
        Plan::Record(plans) => {
            let values = fields(reader, plans, "field")?;
            Ok(Val::Record(
                values
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
            ))
        }
        Plan::Tuple(items) => tuple(reader, items),
        Plan::Variant(cases) => variant(reader, cases),
        Plan::Enum(names) => {
            let name = string(reader)?;
            match names.iter().find(|candidate| name.eq_str(candidate)) {
                Some(found) => Ok(Val::Enum(found.to_string())),
                None => misfit(unknown(&name, names.iter().map(AsRef::as_ref), "value")),
            }
        }
        Plan::Option(some) => option(reader, some),
        Plan::Result(sides) => result(reader, &sides.0, &sides.1),
        Plan::Flags(names) => flags(reader, names),
    }
}

/// Fails unless the next value is of this kind.
fn expect(reader: &mut Reader<'_>, kind: Kind, wanted: &str) -> Fitted<()> {
    let found = reader.peek().map_err(malformed)?;
    if found == kind {
        return Ok(());
    }
    let excerpt = reader.clone().skip().map_err(malformed)?;
    misfit(format!("{} where {wanted} belongs", quoted(excerpt)))
}

fn quoted(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match text.char_indices().find(|(at, _)| *at >= EXCERPT_BYTES_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

fn string<'b>(reader: &mut Reader<'b>) -> Fitted<Str<'b>> {
    expect(reader, Kind::String, "a string")?;
    reader.string().map_err(malformed)
}

/// The integer text of a number, or of a 64-bit integer sent as a decimal string because the sender's numbers are doubles.
enum Integer<'b> {
    Number(Num<'b>),
    Text(Str<'b>),
}

fn integer<'b>(reader: &mut Reader<'b>, bits: u8) -> Fitted<Integer<'b>> {
    if bits == 64 && reader.peek().map_err(malformed)? == Kind::String {
        return Ok(Integer::Text(reader.string().map_err(malformed)?));
    }
    expect(reader, Kind::Number, "an integer")?;
    Ok(Integer::Number(reader.number().map_err(malformed)?))
}

fn signed(reader: &mut Reader<'_>, bits: u8) -> Fitted<Val> {
    let (min, max) = (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits));
    let (value, raw) = match integer(reader, bits)? {
        Integer::Number(number) => (number.as_i64_integral(), number.raw()),
        Integer::Text(text) => (
            text.as_plain()
                .filter(|text| is_decimal(text))
                .and_then(|text| text.parse().ok()),
            text.raw(),
        ),
    };
    let Some(value) = value.filter(|value| (min..=max).contains(value)) else {
        return misfit(format!(
            "{} is not an integer from {min} to {max}",
            quoted(raw.as_bytes())
        ));
    };
    // In range by the check above.
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    Ok(match bits {
        8 => Val::S8(value as i8),
        16 => Val::S16(value as i16),
        32 => Val::S32(value as i32),
        _ => Val::S64(value),
    })
}

fn unsigned(reader: &mut Reader<'_>, bits: u8) -> Fitted<Val> {
    let max = u64::MAX >> (64 - bits);
    let (value, raw) = match integer(reader, bits)? {
        Integer::Number(number) => (number.as_u64_integral(), number.raw()),
        Integer::Text(text) => (
            text.as_plain()
                .filter(|text| is_decimal(text))
                .and_then(|text| text.parse().ok()),
            text.raw(),
        ),
    };
    let Some(value) = value.filter(|value| *value <= max) else {
        return misfit(format!(
            "{} is not an integer from 0 to {max}",
            quoted(raw.as_bytes())
        ));
    };
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    Ok(match bits {
        8 => Val::U8(value as u8),
        16 => Val::U16(value as u16),
        32 => Val::U32(value as u32),
        _ => Val::U64(value),
    })
}

/// Rust's integer parser also takes a leading plus sign.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The double, and whether it was written as a number (then an infinity is an overflow).
fn float(reader: &mut Reader<'_>, ty: &str) -> Fitted<(f64, bool)> {
    if reader.peek().map_err(malformed)? == Kind::String {
        // What results write for the values that JSON numbers cannot be.
        let text = reader.string().map_err(malformed)?;
        return match text.as_plain() {
            Some("NaN") => Ok((f64::NAN, false)),
            Some("inf" | "Infinity") => Ok((f64::INFINITY, false)),
            Some("-inf" | "-Infinity") => Ok((f64::NEG_INFINITY, false)),
            _ => misfit(format!(
                "\"{}\" where a number belongs ({ty}; \"NaN\", \"inf\" and \"-inf\" are also taken)",
                quoted(text.raw().as_bytes())
            )),
        };
    }
    expect(reader, Kind::Number, "a number")?;
    Ok((reader.number().map_err(malformed)?.as_f64(), true))
}

fn bytes(reader: &mut Reader<'_>) -> Fitted<Val> {
    if reader.peek().map_err(malformed)? != Kind::String {
        return list(reader, &Plan::Unsigned(8));
    }
    let text = reader.string().map_err(malformed)?.to_cow();
    match BASE64_STANDARD.decode(text.as_bytes()) {
        Ok(bytes) => Ok(Val::List(bytes.into_iter().map(Val::U8).collect())),
        Err(error) => misfit(format!("not base64: {error}")),
    }
}

fn list(reader: &mut Reader<'_>, item: &Plan) -> Fitted<Val> {
    expect(reader, Kind::Array, "an array")?;
    reader.begin_array().map_err(malformed)?;
    let mut values = Vec::new();
    while reader.element().map_err(malformed)? {
        values.push(at(value(reader, item), || values.len().to_string())?);
    }
    Ok(Val::List(values))
}

fn tuple(reader: &mut Reader<'_>, items: &[Plan]) -> Fitted<Val> {
    expect(reader, Kind::Array, "an array")?;
    reader.begin_array().map_err(malformed)?;
    let mut values = Vec::with_capacity(items.len());
    while reader.element().map_err(malformed)? {
        let Some(item) = items.get(values.len()) else {
            return misfit(format!(
                "more than the {} elements of the tuple",
                items.len()
            ));
        };
        values.push(at(value(reader, item), || values.len().to_string())?);
    }
    if values.len() < items.len() {
        return misfit(format!(
            "{} elements where the tuple has {}",
            values.len(),
            items.len()
        ));
    }
    Ok(Val::Tuple(values))
}

/// The values of an object's fields, in the order of their declaration.
fn fields<'p>(
    reader: &mut Reader<'_>,
    plans: &'p [(Box<str>, Plan)],
    what: &str,
) -> Fitted<Vec<(&'p str, Val)>> {
    expect(reader, Kind::Object, "an object")?;
    reader.begin_object().map_err(malformed)?;
    // Fields usually come in their order: then each is pushed where it belongs and nothing is moved.
    let mut values: Vec<(usize, Val)> = Vec::with_capacity(plans.len());
    let mut seen = Seen::new(plans.len());
    while let Some(key) = reader.key().map_err(malformed)? {
        let expected = values.len();
        let index = match plans.get(expected) {
            Some((name, _)) if key.eq_str(name) => expected,
            _ => position(plans.iter().map(|(name, _)| name.as_ref()), &key, what)?,
        };
        let (name, plan) = &plans[index];
        if !seen.insert(index) {
            return at(misfit("given twice"), || name.to_string());
        }
        values.push((index, at(value(reader, plan), || name.to_string())?));
    }
    for (index, (name, plan)) in plans.iter().enumerate() {
        if seen.contains(index) {
            continue;
        }
        if !plan.is_optional() {
            return misfit(format!("missing {what} \"{name}\""));
        }
        values.push((index, Val::Option(None)));
    }
    values.sort_by_key(|(index, _)| *index);
    Ok(values
        .into_iter()
        .map(|(index, value)| (plans[index].0.as_ref(), value))
        .collect())
}

/// Which fields were given.
enum Seen {
    Few(u64),
    Many(Vec<bool>),
}

impl Seen {
    fn new(count: usize) -> Self {
        if count <= FIELDS_INLINE_MAX {
            Self::Few(0)
        } else {
            Self::Many(vec![false; count])
        }
    }

    /// False if it was there already.
    fn insert(&mut self, index: usize) -> bool {
        let fresh = !self.contains(index);
        match self {
            Self::Few(bits) => *bits |= 1 << index,
            Self::Many(flags) => flags[index] = true,
        }
        fresh
    }

    fn contains(&self, index: usize) -> bool {
        match self {
            Self::Few(bits) => bits >> index & 1 == 1,
            Self::Many(flags) => flags[index],
        }
    }
}

fn position<'n>(
    mut names: impl Iterator<Item = &'n str> + Clone,
    key: &Str<'_>,
    what: &str,
) -> Fitted<usize> {
    let all = names.clone();
    match names.position(|name| key.eq_str(name)) {
        Some(index) => Ok(index),
        None => at(misfit(unknown(key, all, what)), || {
            key.to_cow().into_owned()
        }),
    }
}

fn unknown<'n>(found: &Str<'_>, names: impl Iterator<Item = &'n str>, what: &str) -> String {
    let mut names: Vec<&str> = names.take(NAMES_LISTED_MAX + 1).collect();
    let more = if names.len() > NAMES_LISTED_MAX {
        ", …"
    } else {
        ""
    };
    names.truncate(NAMES_LISTED_MAX);
    let known = if names.is_empty() {
        "there are none".to_owned()
    } else {
        format!("there are {}{more}", names.join(", "))
    };
    format!(
        "unknown {what} \"{}\"; {known}",
        quoted(found.raw().as_bytes())
    )
}

fn variant(reader: &mut Reader<'_>, cases: &[(Box<str>, Option<Plan>)]) -> Fitted<Val> {
    expect(reader, Kind::Object, "an object with \"tag\"")?;
    // The tag decides how `val` is read, and may come after it: it is found first, on a copy of the reader.
    let mut ahead = reader.clone();
    ahead.begin_object().map_err(malformed)?;
    let mut tag = None;
    while let Some(key) = ahead.key().map_err(malformed)? {
        if key.eq_str("tag") && tag.is_none() {
            tag = Some(at(string(&mut ahead), || "tag".to_owned())?);
        } else {
            ahead.skip().map_err(malformed)?;
        }
    }
    let Some(tag) = tag else {
        return misfit("missing field \"tag\"");
    };
    let Some((name, payload)) = cases.iter().find(|(name, _)| tag.eq_str(name)) else {
        return at(
            misfit(unknown(
                &tag,
                cases.iter().map(|(name, _)| name.as_ref()),
                "case",
            )),
            || "tag".to_owned(),
        );
    };
    reader.begin_object().map_err(malformed)?;
    let (mut tags, mut found) = (0_usize, None);
    while let Some(key) = reader.key().map_err(malformed)? {
        match payload {
            _ if key.eq_str("tag") => {
                tags += 1;
                reader.skip().map_err(malformed)?;
                if tags > 1 {
                    return at(misfit("given twice"), || "tag".to_owned());
                }
            }
            Some(_) if key.eq_str("val") && found.is_some() => {
                return at(misfit("given twice"), || "val".to_owned());
            }
            Some(plan) if key.eq_str("val") => {
                found = Some(at(value(reader, plan), || "val".to_owned())?)
            }
            _ => {
                let known: &[&str] = if payload.is_some() {
                    &["tag", "val"]
                } else {
                    &["tag"]
                };
                return at(
                    misfit(unknown(&key, known.iter().copied(), "field")),
                    || key.to_cow().into_owned(),
                );
            }
        }
    }
    let payload = match (payload, found) {
        (None, _) => None,
        (Some(_), Some(value)) => Some(Box::new(value)),
        (Some(plan), None) if plan.is_optional() => Some(Box::new(Val::Option(None))),
        (Some(_), None) => return misfit(format!("missing field \"val\" of case \"{name}\"")),
    };
    Ok(Val::Variant(name.to_string(), payload))
}

fn option(reader: &mut Reader<'_>, some: &Plan) -> Fitted<Val> {
    if reader.peek().map_err(malformed)? == Kind::Null {
        reader.null().map_err(malformed)?;
        return Ok(Val::Option(None));
    }
    if !some.is_optional() {
        return Ok(Val::Option(Some(Box::new(value(reader, some)?))));
    }
    // An option in an option: `null` alone is the outer none, `{"some": null}` the inner one.
    expect(reader, Kind::Object, "null or an object with \"some\"")?;
    let (_, inner) = single(reader, &["some"], |reader, _| value(reader, some))?;
    Ok(Val::Option(Some(Box::new(inner))))
}

fn result(reader: &mut Reader<'_>, ok: &Option<Plan>, err: &Option<Plan>) -> Fitted<Val> {
    expect(reader, Kind::Object, "an object with \"ok\" or \"err\"")?;
    let (side, payload) = single(reader, &["ok", "err"], |reader, side| {
        match if side == 0 { ok } else { err } {
            Some(plan) => Ok(Some(Box::new(value(reader, plan)?))),
            None => {
                expect(reader, Kind::Null, "null")?;
                reader.null().map_err(malformed)?;
                Ok(None)
            }
        }
    })?;
    Ok(Val::Result(if side == 0 {
        Ok(payload)
    } else {
        Err(payload)
    }))
}

/// An object with exactly one of these members.
fn single<T>(
    reader: &mut Reader<'_>,
    names: &[&str],
    mut read: impl FnMut(&mut Reader<'_>, usize) -> Fitted<T>,
) -> Fitted<(usize, T)> {
    reader.begin_object().map_err(malformed)?;
    let mut found = None;
    while let Some(key) = reader.key().map_err(malformed)? {
        let index = position(names.iter().copied(), &key, "field")?;
        if found.is_some() {
            return misfit(format!("more than one of \"{}\"", names.join("\", \"")));
        }
        found = Some((index, at(read(reader, index), || names[index].to_owned())?));
    }
    found.map_or_else(
        || misfit(format!("missing field \"{}\"", names.join("\" or \""))),
        Ok,
    )
}

fn flags(reader: &mut Reader<'_>, names: &[Box<str>]) -> Fitted<Val> {
    let known = || names.iter().map(AsRef::as_ref);
    let mut set = vec![false; names.len()];
    if reader.peek().map_err(malformed)? == Kind::Object {
        let mut seen = Seen::new(names.len());
        reader.begin_object().map_err(malformed)?;
        while let Some(key) = reader.key().map_err(malformed)? {
            let index = position(known(), &key, "flag")?;
            if !seen.insert(index) {
                return at(misfit("given twice"), || names[index].to_string());
            }
            match at(value(reader, &Plan::Bool), || names[index].to_string())? {
                Val::Bool(on) => set[index] = on,
                _ => unreachable!("a bool plan makes a bool value"),
            }
        }
    } else {
        expect(reader, Kind::Array, "an array of flags")?;
        reader.begin_array().map_err(malformed)?;
        let mut count = 0_usize;
        while reader.element().map_err(malformed)? {
            let name = at(string(reader), || count.to_string())?;
            let Some(index) = names.iter().position(|candidate| name.eq_str(candidate)) else {
                return at(misfit(unknown(&name, known(), "flag")), || {
                    count.to_string()
                });
            };
            if std::mem::replace(&mut set[index], true) {
                return at(
                    misfit(format!("flag \"{}\" given twice", names[index])),
                    || count.to_string(),
                );
            }
            count += 1;
        }
    }
    Ok(Val::Flags(
        names
            .iter()
            .zip(set)
            .filter(|(_, on)| *on)
            .map(|(name, _)| name.to_string())
            .collect(),
    ))
}
