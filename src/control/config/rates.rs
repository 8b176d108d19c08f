//! `rates:`, read into [`RateOptions`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_saphyr::Spanned;

use super::rates_document::{Named, PerName, RateDocument};
use super::{Parsed, nearest};
use crate::error::Problem;
use crate::limits::{Limits, RATE_COUNT_MAX, RATES_OF_A_KIND_MAX, RULE_PATTERN_BYTES_MAX};
use crate::mcp::Method;
use crate::policy::pattern::Pattern;
use crate::policy::rate::{NamedRate, Per, Rate, RateOptions};

impl Parsed<'_> {
    /// The limits; where there is no `rates:`, that of failures alone.
    pub(super) fn rates(&self, limits: &Limits) -> Result<RateOptions, Problem> {
        let failures = u32::try_from(limits.auth_failure_per_second_max);
        let auth_failure = Some(Rate::per_second(failures.unwrap_or(RATE_COUNT_MAX)));
        let Some(document) = &self.document.rates else {
            return Ok(RateOptions {
                auth_failure,
                ..RateOptions::default()
            });
        };
        let one = |key: &str, given: &Option<Spanned<RateDocument>>| {
            let given = given.as_ref();
            given
                .map(|given| self.rate(&format!("rates.{key}"), given))
                .transpose()
        };
        let methods = self.named("methods", &document.methods)?;
        if let Some(wrong) = methods.iter().find(|named| !is_method(&named.pattern)) {
            let name = wrong.pattern.as_str();
            let line = document.methods.as_ref().and_then(|all| all.get(name));
            let line = line.map(|given| given.referenced.line());
            let remedy = match nearest(name, Method::all().map(Method::name)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "write it like tools/call or tools/*".to_owned(),
            };
            return Err(self.problem(line, "rates.methods", name, "is no method", &remedy));
        }
        let tiers = self.tiers(&document.tiers)?;
        let default_tier = document.default_tier.as_ref();
        if let Some(given) = default_tier.filter(|given| !tiers.contains_key(&given.value)) {
            let line = Some(given.referenced.line());
            let known = tiers.keys().map(String::as_str);
            let remedy = match nearest(&given.value, known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "name one of rates.tiers".to_owned(),
            };
            let key = "rates.default_tier";
            return Err(self.problem(line, key, &given.value, "is not a tier", &remedy));
        }
        Ok(RateOptions {
            global: one("global", &document.global)?,
            address: one("address", &document.address)?,
            auth_failure,
            principal: one("principal", &document.principal)?,
            session: one("session", &document.session)?,
            methods,
            tools: self.named("tools", &document.tools)?,
            components: self.named("components", &document.components)?,
            upstreams: self.named("upstreams", &document.upstreams)?,
            tiers,
            default_tier: default_tier.map(|given| given.value.clone()),
            exempt: self.exempt(document.exempt.as_deref().unwrap_or_default())?,
        })
    }

    fn tiers(&self, given: &Named) -> Result<BTreeMap<String, Rate>, Problem> {
        let given = given.iter().flatten();
        given
            .map(|(name, given)| {
                let rate = self.rate(&format!("rates.tiers.{name}"), given)?;
                Ok((name.clone(), rate))
            })
            .collect()
    }

    fn named(&self, kind: &str, given: &Named) -> Result<Vec<NamedRate>, Problem> {
        let Some(given) = given else {
            return Ok(Vec::new());
        };
        let line = given.values().next().map(|given| given.referenced.line());
        if given.len() > RATES_OF_A_KIND_MAX {
            let rule = format!("are more than {RATES_OF_A_KIND_MAX}, each of which is tried");
            let (key, count) = (format!("rates.{kind}"), given.len().to_string());
            return Err(self.problem(line, &key, &count, &rule, "use patterns for several"));
        }
        let mut named = Vec::with_capacity(given.len());
        for (name, given) in given {
            let key = format!("rates.{kind}.{name}");
            if !(1..=RULE_PATTERN_BYTES_MAX).contains(&name.len()) {
                let rule = format!("must have a name of 1 to {RULE_PATTERN_BYTES_MAX} bytes");
                let line = Some(given.referenced.line());
                return Err(self.problem(line, &key, name, &rule, "change it"));
            }
            let document = &given.value;
            named.push(NamedRate {
                pattern: Pattern::new(name),
                per: match document.per {
                    None | Some(PerName::Everybody) => Per::Everybody,
                    Some(PerName::Principal) => Per::Principal,
                },
                rate: self.rate_of(&key, given)?,
            });
        }
        Ok(named)
    }

    /// A limit that says by itself of whom it counts.
    fn rate(&self, key: &str, given: &Spanned<RateDocument>) -> Result<Rate, Problem> {
        if given.value.per.is_some() {
            let line = Some(given.referenced.line());
            let rule = "has a meaning for methods, tools, components and upstreams only";
            return Err(self.problem(line, &format!("{key}.per"), "", rule, "remove it"));
        }
        self.rate_of(key, given)
    }

    fn rate_of(&self, key: &str, given: &Spanned<RateDocument>) -> Result<Rate, Problem> {
        let line = Some(given.referenced.line());
        let document = &given.value;
        let (count, rate): (u32, fn(u32) -> Rate) =
            match (document.per_second, document.per_minute, document.per_hour) {
                (Some(count), None, None) => (count, Rate::per_second),
                (None, Some(count), None) => (count, Rate::per_minute),
                (None, None, Some(count)) => (count, Rate::per_hour),
                _ => {
                    let rule = "must have one of per_second, per_minute and per_hour";
                    let remedy = "write it like {per_second: 100, burst: 200}";
                    return Err(self.problem(line, key, "", rule, remedy));
                }
            };
        for number in [count, document.burst.unwrap_or(count)] {
            if !(1..=RATE_COUNT_MAX).contains(&number) {
                let rule = format!("must be between 1 and {RATE_COUNT_MAX}");
                return Err(self.problem(line, key, &number.to_string(), &rule, "change it"));
            }
        }
        let rate = rate(count);
        Ok(document.burst.map_or(rate, |burst| rate.with_burst(burst)))
    }

    fn exempt(&self, given: &[Spanned<String>]) -> Result<Vec<IpNet>, Problem> {
        let read = |given: &Spanned<String>| {
            let text = given.value.as_str();
            let address = text
                .parse::<IpAddr>()
                .map(|address| IpNet::from(address.to_canonical()));
            address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
                let line = Some(given.referenced.line());
                let rule = "is neither an address nor a network";
                let remedy = "write it like 127.0.0.1 or 10.0.0.0/8";
                self.problem(line, "rates.exempt", text, rule, remedy)
            })
        };
        given.iter().map(read).collect()
    }
}

fn is_method(pattern: &Pattern) -> bool {
    Method::all().any(|method| pattern.matches(method.name()))
}

#[cfg(test)]
mod tests;
