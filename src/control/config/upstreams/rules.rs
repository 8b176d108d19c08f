//! The numbers and times of an upstream, each within its bounds.

use std::time::Duration;

use serde_saphyr::Spanned;

use super::super::upstreams_document::*;
use super::super::values::{Span, show_span};
use super::{Read, at};
use crate::policy::{BreakerRules, BudgetRules, HealthRules, OutlierRules};
use crate::upstream::http::{PoolRules, Url};
use crate::upstream::naming::Glob;
use crate::upstream::settings::{Batching, HealthCheck, Probe, Timeouts};

/// A number within its bounds, or the default.
fn number<T: Copy + PartialOrd + std::fmt::Display>(
    key: &str,
    given: &Option<Spanned<T>>,
    default: T,
    bounds: std::ops::RangeInclusive<T>,
) -> Read<T> {
    let Some(given) = given else {
        return Ok(default);
    };
    if bounds.contains(&given.value) {
        return Ok(given.value);
    }
    let rule = format!("must be between {} and {}", bounds.start(), bounds.end());
    Err(at(given, key, &given.value.to_string(), rule, "change it"))
}

/// A time of at least a millisecond and at most a day, or the default.
fn span(key: &str, given: &Option<Spanned<Span>>, default: Duration) -> Read<Duration> {
    const MOST: Duration = Duration::from_secs(86_400);
    let Some(given) = given else {
        return Ok(default);
    };
    if (Duration::from_millis(1)..=MOST).contains(&given.value.0) {
        return Ok(given.value.0);
    }
    let shown = show_span(given.value.0);
    Err(at(
        given,
        key,
        &shown,
        "must be between 1ms and 1d",
        "change it",
    ))
}

fn millis(key: &str, given: &Option<Spanned<Span>>, default_ms: u64) -> Read<u64> {
    let span = span(key, given, Duration::from_millis(default_ms))?;
    Ok(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

pub(super) fn breaker(document: &BreakerDocument) -> Read<BreakerRules> {
    Ok(BreakerRules {
        failure_threshold: number(
            "breaker.failure_threshold",
            &document.failure_threshold,
            5,
            1..=10_000,
        )?,
        recovery_ms: millis("breaker.recovery_time", &document.recovery_time, 10_000)?,
        probe_count: number("breaker.probes", &document.probes, 1, 1..=100)?,
    })
}

pub(super) fn health(document: &HealthDocument) -> Read<HealthCheck> {
    let defaults = HealthRules::default();
    let rules = HealthRules {
        interval_ms: millis("health.interval", &document.interval, defaults.interval_ms)?,
        rise: number("health.rise", &document.rise, defaults.rise, 1..=100)?,
        fall: number("health.fall", &document.fall, defaults.fall, 1..=100)?,
    };
    let probe = match &document.path {
        None => Probe::Protocol,
        Some(path)
            if Url::parse(&format!("http://host{}", path.value)).is_ok()
                && path.value.starts_with('/') =>
        {
            Probe::Http(path.value.clone())
        }
        Some(path) => {
            return Err(at(
                path,
                "health.path",
                &path.value,
                "is no path of a URL",
                "write it like /healthz",
            ));
        }
    };
    Ok(HealthCheck {
        rules: document.enabled.unwrap_or(true).then_some(rules),
        probe,
        timeout: span("health.timeout", &document.timeout, Duration::from_secs(5))?,
    })
}

pub(super) fn outlier(document: &OutlierDocument) -> Read<OutlierRules> {
    let defaults = OutlierRules::default();
    Ok(OutlierRules {
        consecutive_failures: number(
            "outlier.consecutive_failures",
            &document.consecutive_failures,
            defaults.consecutive_failures,
            1..=10_000,
        )?,
        interval_ms: millis("outlier.interval", &document.interval, defaults.interval_ms)?,
        ejection_ms: millis(
            "outlier.ejection_time",
            &document.ejection_time,
            defaults.ejection_ms,
        )?,
        ejection_ms_max: millis(
            "outlier.max_ejection_time",
            &document.max_ejection_time,
            defaults.ejection_ms_max,
        )?,
        ejected_percent_max: number(
            "outlier.max_ejected_percent",
            &document.max_ejected_percent,
            defaults.ejected_percent_max,
            0..=100,
        )?,
        ..defaults
    })
}

pub(super) fn retry(document: &RetryDocument) -> Read<BudgetRules> {
    let defaults = BudgetRules::default();
    Ok(BudgetRules {
        percent: number(
            "retry.budget_percent",
            &document.budget_percent,
            defaults.percent,
            0..=100,
        )?,
        per_second_min: number(
            "retry.min_per_second",
            &document.min_per_second,
            defaults.per_second_min,
            0..=1_000,
        )?,
    })
}

pub(super) fn timeouts(document: &TimeoutsDocument) -> Read<Timeouts> {
    let defaults = Timeouts::default();
    Ok(Timeouts {
        connect: span("timeouts.connect", &document.connect, defaults.connect)?,
        head: span("timeouts.head", &document.head, defaults.head)?,
        call: span("timeouts.call", &document.call, defaults.call)?,
        silence: span("timeouts.silence", &document.silence, defaults.silence)?,
    })
}

/// The time of calls of single tools. Patterns count in order of their text, longest first: the more one says, the earlier it is asked.
pub(super) fn tool_timeouts(document: &TimeoutsDocument) -> Read<Vec<(Glob, Duration)>> {
    let mut rules = Vec::new();
    for (pattern, given) in document.tools.iter().flatten() {
        let timeout = span("timeouts.tools", &Some(given.clone()), Duration::ZERO)?;
        rules.push((pattern, timeout));
    }
    rules.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.len()));
    let rules = rules.into_iter();
    Ok(rules
        .map(|(pattern, timeout)| (Glob::new(pattern), timeout))
        .collect())
}

/// After which time a call is made at another place, too.
pub(super) fn hedge_after(document: &UpstreamDocument) -> Read<Option<Duration>> {
    match &document.hedge_after {
        None => Ok(None),
        given => span("hedge_after", given, Duration::ZERO).map(Some),
    }
}

/// The connections of an upstream; what is not said is as `defaults` has it.
pub(super) fn pool(document: &PoolDocument, defaults: PoolRules) -> Read<PoolRules> {
    let rules = PoolRules {
        min_idle: number(
            "connection_pool.min_idle",
            &document.min_idle,
            defaults.min_idle,
            0..=10_000,
        )?,
        max_idle: number(
            "connection_pool.max_idle",
            &document.max_idle,
            defaults.max_idle,
            0..=10_000,
        )?,
        max_active: number(
            "connection_pool.max_active",
            &document.max_active,
            defaults.max_active,
            1..=10_000,
        )?,
        idle_timeout_ms: millis(
            "connection_pool.idle_timeout",
            &document.idle_timeout,
            defaults.idle_timeout_ms,
        )?,
    };
    let relation = [
        (
            "connection_pool.min_idle",
            &document.min_idle,
            rules.min_idle <= rules.max_idle,
            "must not be above max_idle",
        ),
        (
            "connection_pool.max_idle",
            &document.max_idle,
            rules.max_idle <= rules.max_active,
            "must not be above max_active",
        ),
    ];
    for (key, given, holds, rule) in relation {
        if let (false, Some(given)) = (holds, given) {
            return Err(at(
                given,
                key,
                &given.value.to_string(),
                rule,
                "change one of them",
            ));
        }
    }
    // Only what was given can be wrong: a default gives way.
    let max_idle = rules.max_idle.min(rules.max_active);
    Ok(PoolRules {
        min_idle: rules.min_idle.min(max_idle),
        max_idle,
        ..rules
    })
}

/// How many requests leave at once.
pub(super) fn batching(document: &BatchingDocument) -> Read<Batching> {
    let defaults = Batching::default();
    if let Some(timeout) = &document.batch_timeout
        && timeout.value.0 > Duration::ZERO
    {
        let shown = show_span(timeout.value.0);
        let rule = "must be 0s: to wait for others would delay a request while its upstream is idle; what is ready together leaves together anyway";
        return Err(at(
            timeout,
            "batching.batch_timeout",
            &shown,
            rule,
            "remove it",
        ));
    }
    Ok(Batching {
        enabled: document.enabled.unwrap_or(defaults.enabled),
        size_max: number(
            "batching.batch_size",
            &document.batch_size,
            defaults.size_max,
            1..=10_000,
        )?,
    })
}
