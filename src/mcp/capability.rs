//! What a client says it can do, as bits, and log levels.

use std::fmt;

use crate::wire::json::{JsonError, Kind, Reader, Str};

/// Client capabilities as a set of bits; what is not known is not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientCapabilities(u32);

impl ClientCapabilities {
    /// None declared.
    pub const NONE: Self = Self(0);
    /// `roots`.
    pub const ROOTS: Self = Self(1);
    /// `sampling`.
    pub const SAMPLING: Self = Self(1 << 1);
    /// `sampling.tools`.
    pub const SAMPLING_TOOLS: Self = Self(1 << 2);
    /// `sampling.context`.
    pub const SAMPLING_CONTEXT: Self = Self(1 << 3);
    /// `elicitation.form`, which an empty `elicitation` also means.
    pub const ELICITATION_FORM: Self = Self(1 << 4);
    /// `elicitation.url`.
    pub const ELICITATION_URL: Self = Self(1 << 5);
    /// The extension `io.modelcontextprotocol/tasks`, or the 2025-11-25 capability `tasks`.
    pub const TASKS: Self = Self(1 << 6);

    /// Whether every bit of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The members of this set that `declared` lacks.
    #[must_use]
    pub const fn missing_from(self, declared: Self) -> Self {
        Self(self.0 & !declared.0)
    }

    /// The bits, for storage.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set of stored bits.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Reads a `ClientCapabilities` object. Members that are unknown, or not objects, count as not declared.
    ///
    /// Errors: only where the text is not JSON, which a scanned message rules out.
    pub fn read(object: &[u8], depth_max: usize) -> Result<Self, JsonError> {
        let mut set = Self::NONE;
        let mut reader = Reader::new(object, depth_max);
        reader.begin_object()?;
        while let Some(key) = reader.key()? {
            if reader.peek()? != Kind::Object {
                reader.skip()?;
            } else if key.eq_str("roots") {
                set = set.with(Self::ROOTS);
                reader.skip()?;
            } else if key.eq_str("tasks") {
                set = set.with(Self::TASKS);
                reader.skip()?;
            } else if key.eq_str("sampling") {
                set = set
                    .with(Self::SAMPLING)
                    .with(Self::read_sampling(&mut reader)?);
            } else if key.eq_str("elicitation") {
                set = set.with(Self::read_elicitation(&mut reader)?);
            } else if key.eq_str("extensions") {
                set = set.with(Self::read_extensions(&mut reader)?);
            } else {
                reader.skip()?;
            }
        }
        Ok(set)
    }

    fn read_sampling(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let mut set = Self::NONE;
        reader.begin_object()?;
        while let Some(key) = reader.key()? {
            if key.eq_str("tools") {
                set = set.with(Self::SAMPLING_TOOLS);
            } else if key.eq_str("context") {
                set = set.with(Self::SAMPLING_CONTEXT);
            }
            reader.skip()?;
        }
        Ok(set)
    }

    fn read_elicitation(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let mut set = Self::NONE;
        reader.begin_object()?;
        while let Some(key) = reader.key()? {
            if key.eq_str("form") {
                set = set.with(Self::ELICITATION_FORM);
            } else if key.eq_str("url") {
                set = set.with(Self::ELICITATION_URL);
            }
            reader.skip()?;
        }
        // An object without a mode is the form of the revisions that had no modes.
        if set == Self::NONE {
            set = Self::ELICITATION_FORM;
        }
        Ok(set)
    }

    fn read_extensions(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let mut set = Self::NONE;
        reader.begin_object()?;
        while let Some(key) = reader.key()? {
            if key.eq_str("io.modelcontextprotocol/tasks") {
                set = set.with(Self::TASKS);
            }
            reader.skip()?;
        }
        Ok(set)
    }
}

/// The set as a `ClientCapabilities` object in JSON: `{"sampling":{"tools":{}}}`.
impl fmt::Display for ClientCapabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut members = Members { f, count: 0 };
        if self.contains(Self::ROOTS) {
            members.write("roots", &[])?;
        }
        let sampling = [
            (Self::SAMPLING_TOOLS, "tools"),
            (Self::SAMPLING_CONTEXT, "context"),
        ];
        self.write_group(&mut members, "sampling", Self::SAMPLING, sampling)?;
        let elicitation = [
            (Self::ELICITATION_FORM, "form"),
            (Self::ELICITATION_URL, "url"),
        ];
        self.write_group(&mut members, "elicitation", Self::NONE, elicitation)?;
        if self.contains(Self::TASKS) {
            members.write("extensions", &["io.modelcontextprotocol/tasks"])?;
        }
        if members.count == 0 {
            f.write_str("{")?;
        }
        f.write_str("}")
    }
}

impl ClientCapabilities {
    /// Writes a member with those of its own members that are in the set; without them only if `alone` is.
    fn write_group(
        self,
        members: &mut Members<'_, '_>,
        name: &str,
        alone: Self,
        parts: [(Self, &'static str); 2],
    ) -> fmt::Result {
        let has = |part: Self| self.contains(part);
        let names = [parts[0].1, parts[1].1];
        let inner = match (has(parts[0].0), has(parts[1].0)) {
            (true, true) => &names[..],
            (true, false) => &names[..1],
            (false, true) => &names[1..],
            (false, false) if alone != Self::NONE && has(alone) => &[],
            (false, false) => return Ok(()),
        };
        members.write(name, inner)
    }
}

/// Writes the members of an object, each with empty objects in it.
struct Members<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    count: usize,
}

impl Members<'_, '_> {
    fn write(&mut self, name: &str, inner: &[&str]) -> fmt::Result {
        let open = if self.count == 0 { '{' } else { ',' };
        self.count += 1;
        write!(self.f, "{open}\"{name}\":{{")?;
        for (index, name) in inner.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(self.f, "{comma}\"{name}\":{{}}")?;
        }
        self.f.write_str("}")
    }
}

/// Severity of a log message, least severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// `debug`.
    Debug,
    /// `info`.
    Info,
    /// `notice`.
    Notice,
    /// `warning`.
    Warning,
    /// `error`.
    Error,
    /// `critical`.
    Critical,
    /// `alert`.
    Alert,
    /// `emergency`.
    Emergency,
}

impl LogLevel {
    /// Every level, least severe first.
    pub const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    /// What a legacy session that never said hears.
    pub const LEGACY_DEFAULT: Self = Self::Info;

    /// The level of this name.
    pub fn parse(name: Str<'_>) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|level| name.eq_str(level.as_str()))
    }

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Alert => "alert",
            Self::Emergency => "emergency",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ClientCapabilities {
        ClientCapabilities::read(text.as_bytes(), 16).unwrap()
    }

    #[test]
    fn an_empty_elicitation_object_means_forms() {
        assert_eq!(
            read(r#"{"elicitation":{}}"#),
            ClientCapabilities::ELICITATION_FORM
        );
        assert_eq!(
            read(r#"{"elicitation":{"url":{}}}"#),
            ClientCapabilities::ELICITATION_URL
        );
    }

    #[test]
    fn what_is_unknown_or_not_an_object_is_not_declared() {
        assert_eq!(
            read(r#"{"sampling":true,"roots":null,"experimental":{"x":{}}}"#),
            ClientCapabilities::NONE
        );
    }

    #[test]
    fn all_known_capabilities_are_read() {
        let set = read(
            r#"{"roots":{"listChanged":true},"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}},
               "extensions":{"io.modelcontextprotocol/tasks":{}}}"#,
        );
        assert_eq!(set.bits(), 0b111_1111);
        assert!(set.contains(ClientCapabilities::SAMPLING.with(ClientCapabilities::TASKS)));
    }

    #[test]
    fn a_set_is_written_as_the_object_that_declares_it() {
        let written = |set: ClientCapabilities| set.to_string();
        assert_eq!(written(ClientCapabilities::NONE), "{}");
        assert_eq!(written(ClientCapabilities::ROOTS), r#"{"roots":{}}"#);
        assert_eq!(written(ClientCapabilities::SAMPLING), r#"{"sampling":{}}"#);
        assert_eq!(
            written(ClientCapabilities::ELICITATION_FORM),
            r#"{"elicitation":{"form":{}}}"#
        );
        assert_eq!(
            written(ClientCapabilities::TASKS),
            r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#
        );
        for bits in 0..=0b111_1111 {
            let set = ClientCapabilities::from_bits(bits);
            let again = read(&written(set));
            assert!(again.contains(set), "{set}");
            // What it says more is only that a mode of sampling is sampling.
            assert!(
                set.with(ClientCapabilities::SAMPLING).contains(again),
                "{set}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let needed = ClientCapabilities::ROOTS.with(ClientCapabilities::SAMPLING);
        assert_eq!(
            needed.missing_from(ClientCapabilities::ROOTS.with(ClientCapabilities::TASKS)),
            ClientCapabilities::SAMPLING
        );
        assert_eq!(
            needed.missing_from(needed),
            ClientCapabilities::NONE,
            "nothing is missing"
        );
    }
}
