//! `rules:`, `roles:`, `scope_hierarchy:` and `default_rule:` as they are written.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

/// A list of words, each with its line.
pub(super) type Words = Option<Vec<Spanned<String>>>;

/// Conditions by JSON pointer.
pub(super) type Conditions = Option<BTreeMap<String, Spanned<ConditionDocument>>>;

/// One rule.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleDocument {
    pub(super) name: Option<Spanned<String>>,
    pub(super) allow: Option<Spanned<bool>>,
    pub(super) deny: Option<Spanned<bool>>,
    pub(super) who: Option<WhoDocument>,
    pub(super) methods: Words,
    pub(super) tools: Words,
    pub(super) resources: Words,
    pub(super) prompts: Words,
    pub(super) upstreams: Words,
    pub(super) components: Words,
    pub(super) arguments: Conditions,
    pub(super) needs_scopes: Words,
    pub(super) show_without_scopes: Option<Spanned<bool>>,
}

/// One role.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleDocument {
    pub(super) who: Option<WhoDocument>,
    pub(super) methods: Words,
    pub(super) tools: Words,
    pub(super) resources: Words,
    pub(super) prompts: Words,
    pub(super) upstreams: Words,
    pub(super) components: Words,
}

/// `who:`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhoDocument {
    pub(super) subjects: Words,
    pub(super) issuers: Words,
    pub(super) proofs: Option<Vec<ProofName>>,
    pub(super) scopes: Words,
    pub(super) roles: Words,
    pub(super) claims: Conditions,
}

/// How somebody shows who he is.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ProofName {
    None,
    ApiKey,
    Jwt,
    Certificate,
}

/// `default_rule:`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EffectName {
    Allow,
    Deny,
}

/// What a value has to be: itself, one of a list, or in words.
#[derive(Debug)]
pub(super) enum ConditionDocument {
    OneOf(Vec<Value>),
    Words(Box<MatcherDocument>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MatcherDocument {
    pub(super) equals: Option<Value>,
    pub(super) one_of: Option<Vec<Value>>,
    pub(super) glob: Option<Globs>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) bytes_max: Option<usize>,
    pub(super) absent: Option<bool>,
}

/// One pattern or several.
#[derive(Debug)]
pub(super) struct Globs(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Globs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Globs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pattern or a list of patterns")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Globs, E> {
                Ok(Globs(vec![text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Globs, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(Globs(texts))
            }
        }
        deserializer.deserialize_any(Reading)
    }
}

impl<'de> Deserialize<'de> for ConditionDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadingCondition)
    }
}

struct ReadingCondition;

fn only<E>(value: impl Into<Value>) -> Result<ConditionDocument, E> {
    Ok(ConditionDocument::OneOf(vec![value.into()]))
}

impl<'de> Visitor<'de> for ReadingCondition {
    type Value = ConditionDocument;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list of values, or one like {glob: \"/srv/*\"}")
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<ConditionDocument, E> {
        only(value)
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<ConditionDocument, E> {
        only(value)
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<ConditionDocument, E> {
        only(value)
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<ConditionDocument, E> {
        only(value)
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<ConditionDocument, E> {
        only(value)
    }
    fn visit_unit<E: de::Error>(self) -> Result<ConditionDocument, E> {
        only(Value::Null)
    }
    fn visit_none<E: de::Error>(self) -> Result<ConditionDocument, E> {
        only(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ConditionDocument, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(ConditionDocument::OneOf(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ConditionDocument, A::Error> {
        let words = MatcherDocument::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(ConditionDocument::Words(Box::new(words)))
    }
}
