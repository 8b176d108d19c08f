//! Arguments of one function that has a parameter of every WIT type, each of which may be left out.

use margay::component::wit::{FunctionPlan, Plan};
use wasmtime::component::Val;

/// Nesting that the target allows; small, so that short inputs reach it.
const DEPTH_MAX: usize = 24;

/// A refusal is for a model to read: it quotes what it refuses, and does not grow with it.
const REFUSAL_BYTES_MAX: usize = 4096;

/// Panics if `text` is taken and is not JSON by `oracle`, if a value is not of its parameter's type, or if a refusal is
/// not one short line with the place of what does not fit.
pub fn check(text: &[u8], oracle: impl Fn(&[u8]) -> bool) {
    let params = params();
    let plan = FunctionPlan::from_parts(
        params
            .iter()
            .map(|(name, plan)| ((*name).into(), plan.clone()))
            .collect(),
        None,
    );
    match plan.decode(text, DEPTH_MAX) {
        Ok(values) => {
            assert!(
                text.trim_ascii().is_empty() || oracle(text),
                "accepted, but the oracle refuses it"
            );
            assert_eq!(values.len(), params.len());
            for ((name, plan), value) in params.iter().zip(&values) {
                assert!(
                    fits(plan, value),
                    "{name}: {value:?} is not of type {plan:?}"
                );
            }
        }
        Err(error) => {
            assert!(
                error.pointer.is_empty() || error.pointer.starts_with('/'),
                "{:?}",
                error.pointer
            );
            let shown = error.to_string();
            assert!(
                !error.message.is_empty() && shown.len() <= REFUSAL_BYTES_MAX + error.pointer.len(),
                "{shown:?}"
            );
        }
    }
}

fn params() -> Vec<(&'static str, Plan)> {
    let record = vec![
        ("name".into(), Plan::String),
        ("age".into(), Plan::Unsigned(8)),
        ("tags".into(), Plan::List(Box::new(Plan::String))),
        ("nick".into(), Plan::Option(Box::new(Plan::String))),
    ];
    let plans = [
        ("text", Plan::String),
        ("truth", Plan::Bool),
        ("u8", Plan::Unsigned(8)),
        ("u64", Plan::Unsigned(64)),
        ("s8", Plan::Signed(8)),
        ("s64", Plan::Signed(64)),
        ("f32", Plan::Float32),
        ("f64", Plan::Float64),
        ("char", Plan::Char),
        ("bytes", Plan::Bytes),
        ("list", Plan::List(Box::new(Plan::Unsigned(32)))),
        (
            "nested",
            Plan::List(Box::new(Plan::List(Box::new(Plan::Bool)))),
        ),
        ("record", Plan::Record(record)),
        (
            "tuple",
            Plan::Tuple(vec![Plan::Unsigned(8), Plan::String, Plan::Bool]),
        ),
        ("option", Plan::Option(Box::new(Plan::Unsigned(8)))),
        ("result", Plan::Result(Box::new((None, Some(Plan::String))))),
        (
            "variant",
            Plan::Variant(vec![
                ("some-case".into(), Some(Plan::Unsigned(32))),
                ("none".into(), None),
            ]),
        ),
        ("enum", Plan::Enum(vec!["red".into(), "green".into()])),
        (
            "flags",
            Plan::Flags(vec!["read".into(), "write".into(), "run".into()]),
        ),
    ];
    plans
        .into_iter()
        .map(|(name, plan)| (name, Plan::Option(Box::new(plan))))
        .collect()
}

/// Whether a value is of the type that a plan describes.
fn fits(plan: &Plan, value: &Val) -> bool {
    let payload = |plan: &Option<Plan>, value: &Option<Box<Val>>| match (plan, value) {
        (Some(plan), Some(value)) => fits(plan, value),
        (None, None) => true,
        _ => false,
    };
    match (plan, value) {
        (Plan::Bool, Val::Bool(_))
        | (Plan::String, Val::String(_))
        | (Plan::Char, Val::Char(_)) => true,
        (Plan::Signed(8), Val::S8(_)) | (Plan::Signed(16), Val::S16(_)) => true,
        (Plan::Signed(32), Val::S32(_)) | (Plan::Signed(64), Val::S64(_)) => true,
        (Plan::Unsigned(8), Val::U8(_)) | (Plan::Unsigned(16), Val::U16(_)) => true,
        (Plan::Unsigned(32), Val::U32(_)) | (Plan::Unsigned(64), Val::U64(_)) => true,
        (Plan::Float32, Val::Float32(_)) | (Plan::Float64, Val::Float64(_)) => true,
        (Plan::Bytes, Val::List(items)) => items.iter().all(|item| matches!(item, Val::U8(_))),
        (Plan::List(plan), Val::List(items)) => items.iter().all(|item| fits(plan, item)),
        (Plan::Record(plans), Val::Record(fields)) => {
            let pairs = || plans.iter().zip(fields);
            plans.len() == fields.len()
                && pairs()
                    .all(|((wanted, plan), (name, value))| **wanted == **name && fits(plan, value))
        }
        (Plan::Tuple(plans), Val::Tuple(items)) => {
            plans.len() == items.len()
                && plans.iter().zip(items).all(|(plan, item)| fits(plan, item))
        }
        (Plan::Option(plan), Val::Option(value)) => {
            value.as_ref().is_none_or(|value| fits(plan, value))
        }
        (Plan::Result(sides), Val::Result(Ok(value))) => payload(&sides.0, value),
        (Plan::Result(sides), Val::Result(Err(value))) => payload(&sides.1, value),
        (Plan::Variant(cases), Val::Variant(name, value)) => cases
            .iter()
            .any(|(case, plan)| **case == **name && payload(plan, value)),
        (Plan::Enum(cases), Val::Enum(name)) => cases.iter().any(|case| **case == **name),
        (Plan::Flags(names), Val::Flags(set)) => {
            let known = set
                .iter()
                .all(|flag| names.iter().any(|name| **name == **flag));
            known && (1..set.len()).all(|index| !set[..index].contains(&set[index]))
        }
        _ => false,
    }
}
