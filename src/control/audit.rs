//! The audit log of this process: opened as the configuration says, and what control itself tells it.

use crate::audit::{Audit, Event, Key, Kind, Outcome};
use crate::error::{Problem, exit};
use crate::tape::{AuditLane, AuditLog, AuditOptions, RecorderHandle};

use super::config::{AuditSettings, Config, WhenFull};
use super::secret::audit_key;

/// The log, where one is kept.
#[derive(Debug, Default)]
pub(super) struct Auditing {
    log: Option<AuditLog>,
}

impl Auditing {
    /// Opens the log that the configuration asks for.
    ///
    /// Errors: its directory or its key cannot be used, or another process writes it.
    pub(super) fn open(
        config: &Config,
        control: &tokio::runtime::Runtime,
        recorder: &RecorderHandle,
    ) -> Result<Self, Problem> {
        let Some(settings) = &config.audit else {
            return Ok(Self::default());
        };
        let options = options(settings, audit_key(config)?);
        let opened = control.block_on(recorder.open_audit(options));
        let log = opened.map_err(|error| {
            Problem::operator(
                exit::NO_INPUT,
                "audit log",
                settings.directory.display().to_string(),
                error.to_string(),
                "name another directory with audit.dir",
            )
        })?;
        Ok(Self { log: Some(log) })
    }

    /// The log itself.
    pub(super) fn log(&self) -> Option<AuditLog> {
        self.log.clone()
    }

    /// The way for everybody who is no shard.
    pub(super) fn audit(&self) -> Audit {
        self.log.as_ref().map_or_else(Audit::off, AuditLog::audit)
    }

    /// The way for one more shard.
    ///
    /// Errors: the recorder has stopped.
    pub(super) fn lane(
        &self,
        control: &tokio::runtime::Runtime,
    ) -> std::io::Result<Option<AuditLane>> {
        let Some(log) = &self.log else {
            return Ok(None);
        };
        let lane = control.block_on(log.lane());
        lane.map(Some).map_err(std::io::Error::other)
    }
}

fn options(settings: &AuditSettings, key: Key) -> AuditOptions {
    AuditOptions {
        choice: settings.choice,
        rotate_bytes: settings.rotate_bytes as u64,
        retention: settings.retention,
        refuses_when_full: settings.when_full == WhenFull::Refuse,
        ..AuditOptions::new(settings.directory.clone(), key)
    }
}

/// The appliance begins to serve.
pub(super) fn startup(audit: &Audit, config: &Config) {
    let (version, listen) = (env!("CARGO_PKG_VERSION"), config.listen);
    let exposed = if config.is_exposed() {
        ", reached from other machines"
    } else {
        ""
    };
    audit.record(&Event {
        target: &listen.to_string(),
        detail: &format!("margay {version}{exposed}"),
        ..Event::new(Kind::SystemStartup, Outcome::Ok)
    });
}

/// The appliance has ended, so.
pub(super) fn shutdown(audit: &Audit, result: &Result<(), Problem>) {
    let (outcome, detail) = match result {
        Ok(()) => (Outcome::Ok, String::new()),
        Err(problem) => (Outcome::Failed, problem.to_string()),
    };
    audit.record(&Event {
        detail: &detail,
        ..Event::new(Kind::SystemShutdown, outcome)
    });
}

/// A component is in force, or is no longer, or could not be loaded.
pub(super) fn component(audit: &Audit, kind: Kind, name: &str, digest: &str, detail: &str) {
    let outcome = if detail.is_empty() {
        Outcome::Ok
    } else {
        Outcome::Failed
    };
    audit.record(&Event {
        target: name,
        component_digest: digest,
        detail,
        ..Event::new(kind, outcome)
    });
}

/// Looks whether the encrypted store of secrets is another, and says so.
pub(super) fn look_at_secrets(secrets: &super::secrets::Secrets, audit: &Audit) {
    let target = || secrets.store().place().file.display().to_string();
    match secrets.refresh() {
        Ok(false) => {}
        Ok(true) => {
            tracing::info!(file = target(), "the secrets have changed");
            audit.record(&Event {
                target: &target(),
                detail: "secrets",
                ..Event::new(Kind::ConfigurationChanged, Outcome::Ok)
            });
        }
        Err(problem) => {
            tracing::error!(%problem, "the secrets stay as they were");
            audit.record(&Event {
                target: &target(),
                detail: &problem.to_string(),
                ..Event::new(Kind::ConfigurationChanged, Outcome::Failed)
            });
        }
    }
}
