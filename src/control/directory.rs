//! The component directory while it is served: looked at in the background, one look at a time.
//!
//! A look may compile for minutes, so nothing of control waits for one: signals, housekeeping and the admin listener go on.

use std::future::pending;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::plane::Plane;
use super::store::Watch;

/// The directory of a running server.
pub(super) struct Directory {
    plane: Arc<dyn Plane>,
    /// Away during a look; gone if there is no directory to watch.
    watch: Option<Watch>,
    look: Option<JoinHandle<Watch>>,
    /// Somebody said that something changed, after the look under way began.
    told: bool,
}

impl Directory {
    pub(super) fn new(plane: Arc<dyn Plane>, watch: Option<Watch>) -> Self {
        Self {
            plane,
            watch,
            look: None,
            told: false,
        }
    }

    /// Begins a look, or leaves it to the one under way. `told`: somebody says that something changed, so the directory's time is
    /// not trusted, and a look that has begun already does not do.
    pub(super) fn look(&mut self, told: bool) {
        self.told |= told;
        let Some(mut watch) = self.watch.take() else {
            return;
        };
        if std::mem::take(&mut self.told) {
            watch.distrust();
        }
        let plane = Arc::clone(&self.plane);
        self.look = Some(tokio::task::spawn_blocking(move || {
            apply_changes(&mut watch, &*plane);
            watch
        }));
    }

    /// Waits for the look under way, for ever if there is none. May be dropped and called again.
    pub(super) async fn looked(&mut self) {
        let Some(look) = &mut self.look else {
            return pending().await;
        };
        let looked = look.await;
        self.look = None;
        match looked {
            Ok(watch) => {
                self.watch = Some(watch);
                if self.told {
                    self.look(true);
                }
            }
            Err(error) => {
                tracing::error!(%error, "looking at the component directory panicked; it is not watched any more");
            }
        }
    }
}

/// Polls the directory, and applies what changed there. Compiles: blocks.
fn apply_changes(watch: &mut Watch, plane: &dyn Plane) {
    let change = match watch.poll() {
        Ok(change) => change,
        Err(problem) => {
            tracing::error!(%problem, "the component directory cannot be read; what was loaded stays");
            return;
        }
    };
    for manifest in &change.removed {
        tracing::info!(
            component = manifest.name,
            digest = manifest.digest,
            "removed from the directory"
        );
    }
    for (manifest, _) in &change.added {
        let what = match change.repoliced.contains(&manifest.name) {
            true => "its policy has changed",
            false => "found in the directory",
        };
        tracing::info!(
            component = manifest.name,
            digest = manifest.digest,
            "{what}"
        );
    }
    let problems = if change.is_empty() {
        change.damaged
    } else {
        plane.apply(change)
    };
    for problem in problems {
        tracing::error!(%problem, "not taken from the directory; what was served before stays as it was");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::time::Duration;

    use super::*;
    use crate::control::plane::Answer;
    use crate::control::store::{Change, Manifest, POLL_INTERVAL, Store};
    use crate::error::Problem;
    use crate::metrics::{Extra, ShardMetrics};

    /// A plane whose every `apply` takes until the test lets it go on, and says how many components it was given.
    struct Slow {
        go_on: Mutex<Receiver<()>>,
        added: Mutex<Vec<usize>>,
    }

    impl Plane for Slow {
        fn apply(&self, change: Change) -> Vec<Problem> {
            self.go_on.lock().unwrap().recv().unwrap();
            self.added.lock().unwrap().push(change.added.len());
            Vec::new()
        }
        fn metrics(&self) -> Answer<'_, Vec<ShardMetrics>> {
            Box::pin(std::future::ready(Vec::new()))
        }
        fn extra(&self) -> Vec<Extra> {
            Vec::new()
        }
        fn shard_count(&self) -> usize {
            0
        }
        fn tool_count(&self) -> usize {
            0
        }
        fn tick(&self) {}
        fn drain(&self) {}
        fn running(&self) -> usize {
            0
        }

        fn tasks_running(&self) -> usize {
            0
        }
    }

    fn put(directory: &Path, name: &str) {
        let manifest = Manifest::new(
            name.to_owned(),
            name.as_bytes(),
            Path::new("/there.wasm"),
            Vec::new(),
        );
        fs::write(
            directory.join(format!("{}.wasm", manifest.digest)),
            name.as_bytes(),
        )
        .unwrap();
        fs::write(directory.join(format!("{name}.json")), manifest.to_json()).unwrap();
    }

    #[test]
    fn a_long_compilation_holds_nothing_up_and_what_is_told_meanwhile_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "first");
        let (let_go, go_on) = sync_channel(2);
        let plane = Arc::new(Slow {
            go_on: Mutex::new(go_on),
            added: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let watch = Watch::new(Store::new(folder.path()));
            let mut directory = Directory::new(plane.clone(), Some(watch));
            directory.look(false);
            let waited = tokio::time::timeout(POLL_INTERVAL / 5, directory.looked()).await;
            assert!(waited.is_err(), "control goes on while a look is under way");
            put(folder.path(), "second");
            directory.look(true);
            (0..2).for_each(|_| let_go.send(()).unwrap());
            for _ in 0..2 {
                tokio::time::timeout(Duration::from_secs(10), directory.looked())
                    .await
                    .expect("each look ends");
            }
        });
        assert_eq!(*plane.added.lock().unwrap(), [1, 1]);
    }
}
