//! A guest that tries every capability: what it was not granted is refused by rule and audited, and what it was granted it can do.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::audit::{Audit, Event, Kind, Outcome, Sink};
use crate::component::{Behalf, Grants, Resolve, Resolving};
use crate::policy::permission::{Own, Policy};
use crate::secret::{self, Secret, SecretRef, Shape, Unresolved};

mod bounds;
mod calls;
mod files;
mod guest;
mod http;
mod moves;
mod network;

use guest::Guest;

/// What was told to the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    kind: Kind,
    outcome: Outcome,
    principal: String,
    method: String,
    target: String,
    rule: String,
    digest: String,
}

#[derive(Default)]
struct Log(Mutex<Vec<Told>>);

impl Sink for Log {
    fn take(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(Told {
            kind: event.kind,
            outcome: event.outcome,
            principal: event.principal.to_owned(),
            method: event.method.to_owned(),
            target: event.target.to_owned(),
            rule: event.rule.to_owned(),
            digest: event.component_digest.to_owned(),
        });
    }
}

/// How long it takes to know where a slow name leads.
const SLOW: Duration = Duration::from_millis(200);

/// Names and what they lead to, one answer after the other; the last one for ever.
#[derive(Debug, Default)]
struct Names {
    answers: Vec<(&'static str, Vec<Vec<IpAddr>>)>,
    asked: Mutex<Vec<String>>,
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            if name.starts_with("slow.") {
                tokio::time::sleep(SLOW).await;
            }
            let mut asked = self.asked.lock().unwrap();
            let before = asked.iter().filter(|other| *other == name).count();
            asked.push(name.to_owned());
            let answers = self.answers.iter().find(|(own, _)| *own == name);
            let (_, answers) = answers.ok_or(std::io::ErrorKind::NotFound)?;
            Ok(answers[before.min(answers.len() - 1)].clone())
        })
    }
}

struct Secrets;

impl secret::Resolve for Secrets {
    fn resolve(&self, from: &SecretRef, _: Shape) -> Result<Secret, Unresolved> {
        match from {
            SecretRef::Stored(name) if name == "api" => Ok(Secret::new("s3cr3t")),
            _ => Err(Unresolved::Missing),
        }
    }
}

/// A runtime whose refusals are looked at.
struct Court {
    bench: Bench,
    log: Arc<Log>,
    names: Arc<Names>,
}

impl Court {
    fn new() -> Self {
        Self::with(Vec::new(), None)
    }

    /// A court of a server that has these files.
    fn owning(own: Own) -> Self {
        Self::of(Vec::new(), None, own)
    }

    fn with(answers: Vec<(&'static str, Vec<Vec<IpAddr>>)>, ca: Option<&Path>) -> Self {
        Self::of(answers, ca, Own::default())
    }

    fn of(answers: Vec<(&'static str, Vec<Vec<IpAddr>>)>, ca: Option<&Path>, own: Own) -> Self {
        let names = Arc::new(Names {
            answers,
            asked: Mutex::default(),
        });
        let options = RuntimeOptions {
            worker_count: 2,
            resolver: Some(Arc::<Names>::clone(&names)),
            ca: ca.map(Path::to_owned),
            own,
            ..RuntimeOptions::default()
        };
        let runtime = Runtime::new(&small_limits(), options).unwrap();
        let log = Arc::new(Log::default());
        assert!(runtime.set_audit(Audit::new(Arc::<Log>::clone(&log))));
        let mailbox = runtime.mailbox(|| {});
        let pool = runtime.instance_pool(mailbox);
        Self {
            bench: Bench { runtime, pool },
            log,
            names,
        }
    }

    fn load(&self, guest: &Guest, permissions: &str) -> Arc<Component> {
        self.load_as(guest, permissions, InstanceMode::Fresh)
    }

    fn load_as(&self, guest: &Guest, permissions: &str, instances: InstanceMode) -> Arc<Component> {
        let policy = policy(permissions);
        let own = |name: &str| (name == "LANG").then(|| "en".to_owned());
        let grants = Arc::new(Grants::of(&policy, &Secrets, &own).unwrap());
        let options = ComponentOptions {
            instances,
            ..ComponentOptions::default()
        };
        let runtime = &self.bench.runtime;
        runtime
            .load_granted("probe", &guest.build(), options, Some(grants))
            .unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// What the guest answers under these permissions.
    fn answer(&mut self, guest: &Guest, permissions: &str) -> String {
        let component = self.load(guest, permissions);
        self.answer_of(&component)
    }

    fn answer_of(&mut self, component: &Arc<Component>) -> String {
        let (outcome, result) = self.bench.call(component, "{}");
        assert_eq!(outcome, CallOutcome::Ok, "{result}");
        text(&result).to_owned()
    }

    /// The same for somebody.
    fn call_for(
        &mut self,
        component: &Arc<Component>,
        tool: usize,
        behalf: Option<Behalf>,
    ) -> (CallOutcome, Value) {
        let mut out = Vec::new();
        let call = CallContext {
            behalf: behalf.map(Arc::new),
            ..CallContext::new(7, Instant::now() + Duration::from_secs(20))
        };
        let pool = &mut self.bench.pool;
        match pool.call(component, tool, None, call, &mut out) {
            Started::Done(report) => (report.outcome, object(&out)),
            Started::Asked(asked, _) => panic!("{asked:?}"),
            Started::Moved(_) => {
                let finished = self.bench.finished();
                (finished.report.outcome, object(&finished.members))
            }
        }
    }

    /// What was refused: method, target and rule; all of this component.
    fn refusals(&self, component: &Arc<Component>) -> Vec<(String, String, String)> {
        let told = std::mem::take(&mut *self.log.0.lock().unwrap());
        let denied = told
            .into_iter()
            .filter(|told| told.outcome == Outcome::Denied);
        denied
            .map(|told| {
                assert_eq!(told.kind, Kind::SecurityViolation);
                assert_eq!(told.digest, component.digest());
                assert!(!told.rule.is_empty(), "{told:?}");
                (told.method, told.target, told.rule)
            })
            .collect()
    }
}

fn policy(permissions: &str) -> Arc<Policy> {
    let text = format!("version: \"1.0\"\npermissions:\n{permissions}\n");
    let parsed = Policy::parse(&text, "probe.policy.yaml", Path::new("/"));
    Arc::new(parsed.unwrap_or_else(|fault| panic!("{fault:?}\n{text}")))
}

/// A policy that narrows.
fn narrowing(permissions: &str) -> Behalf {
    let text = format!("version: \"1.0\"\npermissions:\n{permissions}\n");
    let parsed = Policy::parse_narrowing(&text, "guests.yaml", Path::new("/"));
    let policy = parsed.unwrap_or_else(|fault| panic!("{fault:?}\n{text}"));
    Behalf::narrowed("api-key:guest".into(), [Arc::new(policy)].into())
}
