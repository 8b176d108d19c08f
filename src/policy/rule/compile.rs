//! From rules as they are written to rules as they are asked.

use std::collections::HashMap;

use super::argument::Plan;
use super::spec::{Effect, RuleOptions, RuleSpec, What, Who};
use super::target::{Target, bit};
use super::who::{Hierarchy, Whom};
use super::{Index, Rule, RuleSet, next_number};
use crate::limits::{RULE_ARGUMENT_KEYS_MAX, RULE_COUNT_MAX};
use crate::mcp::Method;

/// Why rules cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// There are too many.
    #[error("there are {0} rules and roles; at most {RULE_COUNT_MAX} are taken")]
    TooMany(usize),
    /// The conditions name too many keys of one object.
    #[error(
        "rule {0}: the conditions of all rules name more than {RULE_ARGUMENT_KEYS_MAX} keys of one object"
    )]
    TooManyKeys(String),
}

impl RuleSet {
    /// Compiles rules; `default` is what holds where none says anything: [`RuleOptions::default_effect`].
    pub fn compile(options: &RuleOptions, default: Effect) -> Result<Self, CompileError> {
        let count = options.rules.len() + options.roles.len();
        if count > RULE_COUNT_MAX {
            return Err(CompileError::TooMany(count));
        }
        let mut specs: Vec<RuleSpec> = options.rules.clone();
        let roles = options
            .roles
            .iter()
            .filter(|(_, role)| !role.what.is_empty());
        specs.extend(roles.map(|(name, role)| of_role(name, &role.what)));
        specs.sort_by_key(|spec| spec.effect == Effect::Allow);
        let hierarchy = Hierarchy(&options.scope_hierarchy);
        let mut plan = Plan::default();
        let mut rules = Vec::with_capacity(specs.len());
        for spec in &specs {
            let add = |(pointer, matcher)| plan.add(pointer, matcher);
            let arguments = spec.arguments.iter().map(|(one, two)| (one, two));
            let tests: Option<Vec<usize>> = arguments.map(add).collect();
            let tests = tests.ok_or_else(|| CompileError::TooManyKeys(spec.name.clone()))?;
            let target = Target::new(&spec.what);
            rules.push(Rule {
                name: spec.name.as_str().into(),
                effect: spec.effect,
                whom: Whom::new(&spec.who, &options.roles, &hierarchy),
                methods: target.methods(),
                target,
                tests,
                needs: spec
                    .needs_scopes
                    .iter()
                    .map(|scope| hierarchy.that_contain(scope))
                    .collect(),
                challenge: spec.needs_scopes.join(" ").into(),
                show_without_scopes: spec.show_without_scopes,
            });
        }
        Ok(Self::index(rules, plan, default))
    }

    fn index(rules: Vec<Rule>, plan: Plan, default: Effect) -> Self {
        let none = || vec![Vec::new(); Method::all().count()];
        let mut index = Index {
            unnamed: none(),
            tools: none(),
            resources: none(),
            prompts: none(),
            by_tool: HashMap::new(),
        };
        for (number, rule) in rules.iter().enumerate() {
            // RULE_COUNT_MAX fits.
            let number = number as u32;
            if let Some(tools) = rule.target.only_tools() {
                for tool in tools {
                    index.by_tool.entry(tool.into()).or_default().push(number);
                }
                continue;
            }
            let [tools, resources, prompts] = rule.target.names();
            let lists = [
                (!(tools || resources || prompts), &mut index.unnamed),
                (tools, &mut index.tools),
                (resources, &mut index.resources),
                (prompts, &mut index.prompts),
            ];
            for (_, list) in lists.into_iter().filter(|(is_in, _)| *is_in) {
                for method in Method::all().filter(|one| rule.methods & bit(*one) != 0) {
                    list[method as usize].push(number);
                }
            }
        }
        let denies = rules.iter().filter(|rule| rule.effect == Effect::Deny);
        Self {
            number: next_number(),
            deny_count: denies.count() as u32,
            rules,
            default,
            plan,
            index,
        }
    }
}

/// What a role may do, as the rule that it is.
fn of_role(name: &str, what: &What) -> RuleSpec {
    RuleSpec {
        name: format!("role {name}"),
        effect: Effect::Allow,
        who: Who {
            roles: vec![name.to_owned()],
            ..Who::default()
        },
        what: what.clone(),
        arguments: Vec::new(),
        needs_scopes: Vec::new(),
        show_without_scopes: false,
    }
}
