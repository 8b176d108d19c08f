//! The log on standard error, without secrets.

use std::io::{self, IsTerminal, Write};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

use crate::control::config::{LogFormat, LogLevel};
use crate::secret::redactor;

/// Begins logging to standard error. Only the first call in a process has an effect.
pub(super) fn begin(level: LogLevel, format: LogFormat) {
    let is_terminal = io::stderr().is_terminal();
    // Fails only when a log was begun before, which then stays.
    let _ = Registry::default()
        .with(layer(level, format, is_terminal, io::stderr))
        .try_init();
}

/// What writes the log's lines to `out`.
fn layer<W>(
    level: LogLevel,
    format: LogFormat,
    is_terminal: bool,
    out: W,
) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // What libraries say below a warning is about themselves.
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("margay", level);
    let is_json = format == LogFormat::Json;
    let log = tracing_subscriber::fmt::layer().with_writer(Redacting { out, is_json });
    match format {
        LogFormat::Text => log.with_ansi(is_terminal).with_filter(targets).boxed(),
        LogFormat::Json => log.json().with_filter(targets).boxed(),
    }
}

/// Writes lines without secrets. The layer gives a line whole.
struct Redacting<W> {
    out: W,
    is_json: bool,
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for Redacting<W> {
    type Writer = Line<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Line {
            out: self.out.make_writer(),
            is_json: self.is_json,
        }
    }
}

struct Line<O> {
    out: O,
    is_json: bool,
}

impl<O: Write> Write for Line<O> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let shown = match self.is_json {
            true => redactor().redact_json(&text),
            false => redactor().redact(&text),
        };
        self.out.write_all(shown.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use base64::Engine;

    use super::*;
    use crate::error::Problem;
    use crate::secret::Secret;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, say: impl FnOnce()) -> String {
        let kept = Kept::default();
        let out = kept.clone();
        let layer = layer(LogLevel::Debug, format, false, move || out.clone());
        tracing::subscriber::with_default(Registry::default().with(layer), say);
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn no_line_of_the_log_shows_a_secret_in_either_format() {
        let canary = "canary-\"of\\the log";
        redactor().add(&Secret::new(canary));
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("u:{canary}"));
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, || {
                let span = tracing::info_span!("call", secret = canary);
                let _entered = span.enter();
                tracing::info!(value = canary, shown = %canary, "it is {canary}");
                tracing::error!(debug = ?Some(canary), "Basic {encoded}");
                let problem = Problem::operator(1, "x", canary, "y", "z");
                tracing::warn!(%problem, "wrong");
            });
            assert!(text.contains("[redacted]"), "{text}");
            for part in ["canary", "log\"", encoded.as_str()] {
                assert!(!text.contains(part), "{part} in {text}");
            }
            if format == LogFormat::Json {
                for line in text.lines() {
                    assert!(
                        serde_json::from_str::<serde_json::Value>(line).is_ok(),
                        "{line}"
                    );
                }
            }
        }
    }
}
