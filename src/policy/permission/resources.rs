//! What one call may use up.

use std::sync::Arc;

use serde_saphyr::Spanned;

use super::document::{Resources, Word};
use super::fault::{Fault, Remark, Wrong};

/// Bytes of one unit of `memory: 64`: MB, as the policies that Wassette reads count memory.
const MEGABYTE: u64 = 1 << 20;

/// Bounds of one call; none is the bound that holds for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// Linear memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Time on a processor, in milliseconds.
    pub cpu_time_ms: Option<u64>,
    /// HTTP requests, each hop of a redirect counted.
    pub http_requests: Option<u64>,
    /// Bytes of HTTP bodies, both ways together.
    pub http_bytes: Option<u64>,
    /// Files and directories open at one time.
    pub open_files: Option<u64>,
}

impl Budgets {
    /// The lower of each two.
    pub fn and(&self, other: &Self) -> Self {
        let least = |own: Option<u64>, other: Option<u64>| own.into_iter().chain(other).min();
        Self {
            memory_bytes: least(self.memory_bytes, other.memory_bytes),
            cpu_time_ms: least(self.cpu_time_ms, other.cpu_time_ms),
            http_requests: least(self.http_requests, other.http_requests),
            http_bytes: least(self.http_bytes, other.http_bytes),
            open_files: least(self.open_files, other.open_files),
        }
    }

    /// Each that is set, with its key.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = [
            ("memory_bytes", self.memory_bytes),
            ("cpu_time_ms", self.cpu_time_ms),
            ("http_requests", self.http_requests),
            ("http_bytes", self.http_bytes),
            ("open_files", self.open_files),
        ];
        all.into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
    }
}

/// Reads `resources:`. What has no meaning here is remarked on.
pub(super) fn read(
    resources: &Resources,
    policy: &Arc<str>,
    remarks: &mut Vec<Remark>,
) -> Result<Budgets, Fault> {
    let limits = resources.limits.as_ref().and_then(Option::as_ref);
    for (given, text) in [
        (
            &resources.cpu,
            "resources.cpu, a share of a processor, is not enforced: bound what a call takes with resources.cpu_time_ms",
        ),
        (
            limits.map_or(&None, |limits| &limits.cpu),
            "resources.limits.cpu, a share of a processor, is not enforced: bound what a call takes with resources.cpu_time_ms",
        ),
        (
            &resources.io,
            "resources.io is not enforced: a component's operations are not counted",
        ),
    ] {
        if let Some(given) = given {
            if !is_quantity(&given.value.0) {
                let wrong = Wrong::new(
                    &given.value.0,
                    "is not a quantity",
                    "write it like 500m or 1",
                );
                return Err(wrong.at(policy, given.referenced.line()));
            }
            remarks.push(Remark {
                line: given.referenced.line(),
                text: text.to_owned(),
            });
        }
    }
    let at = |given: &Option<Spanned<Word>>, unit| -> Result<Option<(u64, u64)>, Fault> {
        let Some(given) = given else { return Ok(None) };
        let line = given.referenced.line();
        let read = quantity(&given.value.0, unit).map_err(|wrong| wrong.at(policy, line))?;
        Ok(Some((read, line)))
    };
    let memory = [
        at(&resources.memory, MEGABYTE)?,
        at(&resources.memory_bytes, 1)?,
        at(limits.map_or(&None, |limits| &limits.memory), 1)?,
    ];
    let mut memory = memory.into_iter().flatten();
    let memory_bytes = memory.next();
    if let Some((_, line)) = memory.next() {
        let rule = "says again what stands above, in another way";
        return Err(Wrong::new("memory", rule, "keep one of them").at(policy, line));
    }
    let value = |given, unit| at(given, unit).map(|given| given.map(|(value, _)| value));
    Ok(Budgets {
        memory_bytes: memory_bytes.map(|(bytes, _)| bytes),
        cpu_time_ms: value(&resources.cpu_time_ms, 1)?,
        http_requests: value(&resources.http_requests, 1)?,
        http_bytes: value(&resources.http_bytes, 1)?,
        open_files: value(&resources.open_files, 1)?,
    })
}

/// `512Mi`, `1Gi`, `2M` or a plain number of `unit` bytes.
pub fn quantity_bytes(text: &str) -> Option<u64> {
    quantity(text, 1).ok()
}

fn quantity(text: &str, unit: u64) -> Result<u64, Wrong> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let factor = match suffix {
        "" => Some(unit),
        "k" | "K" | "KB" => Some(1_000),
        "M" | "MB" => Some(1_000_000),
        "G" | "GB" => Some(1_000_000_000),
        "Ki" | "KiB" => Some(1 << 10),
        "Mi" | "MiB" => Some(1 << 20),
        "Gi" | "GiB" => Some(1 << 30),
        _ => None,
    };
    let value = number.parse::<u64>().ok().zip(factor);
    value
        .and_then(|(number, factor)| number.checked_mul(factor))
        .ok_or_else(|| {
            Wrong::new(
                text,
                "is not a quantity",
                "write it like 512Mi, 1Gi or 1000",
            )
        })
}

/// `500m`, `1`, `0.5`, `50.0`.
fn is_quantity(text: &str) -> bool {
    let number = text.strip_suffix('m').unwrap_or(text);
    number
        .parse::<f64>()
        .is_ok_and(|number| number.is_finite() && number >= 0.0)
}
