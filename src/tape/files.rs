//! Whole files, replaced atomically: whoever looks sees the old content or the new, at every point of a crash.
//!
//! Jobs that wait at one time are one round: their files are synced side by side, and each directory once for all of them.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::disk::{BUFFER_BYTES, Disk, Open, write_all};

/// What a name of a file in the making contains. Files with it in their name are leftovers of a crash.
pub(super) const TEMPORARY: &str = ".margay-tmp-";

/// Jobs of one round: this many files are open at one time.
const ROUND_MAX: usize = 64;

/// One file to write or remove.
#[derive(Debug)]
pub(super) enum FileJob {
    Write {
        path: PathBuf,
        bytes: Vec<u8>,
        reply: oneshot::Sender<io::Result<()>>,
    },
    Remove {
        path: PathBuf,
        reply: oneshot::Sender<io::Result<()>>,
    },
}

impl FileJob {
    /// Answers that too many files wait already.
    pub(super) fn refuse(self) {
        let (Self::Write { reply, .. } | Self::Remove { reply, .. }) = self;
        let busy = io::Error::new(
            io::ErrorKind::ResourceBusy,
            "too many files wait to be written",
        );
        // Whoever asked may have left.
        let _ = reply.send(Err(busy));
    }
}

/// Serves file jobs in rounds, beside the logs.
pub(super) async fn serve<D: Disk>(
    disk: Rc<D>,
    mut buffer: D::Buffer,
    mut jobs: mpsc::Receiver<FileJob>,
) {
    let mut number = 0_u64;
    while let Some(first) = jobs.recv().await {
        let mut round = Vec::new();
        let mut syncs = JoinSet::new();
        let mut next = Some(first);
        while let Some(job) = next {
            number += 1;
            let (step, back) = begin(&disk, buffer, job, number, round.len(), &mut syncs).await;
            buffer = back;
            round.push(step);
            next = (round.len() < ROUND_MAX)
                .then(|| jobs.try_recv().ok())
                .flatten();
        }
        while let Some(synced) = syncs.join_next().await {
            match synced {
                Ok((index, Err(error))) => round[index].fail(error),
                Ok((_, Ok(()))) => {}
                Err(error) => {
                    // Nobody knows which: none of the round is durable for certain.
                    let fault = || io::Error::other(format!("a sync panicked: {error}"));
                    round.iter_mut().for_each(|step| step.fail(fault()));
                }
            }
        }
        finish(&*disk, round).await;
    }
}

/// A job between its beginning and its answer.
struct Step {
    path: PathBuf,
    /// The file in the making; none where the job is to remove.
    temporary: Option<PathBuf>,
    result: io::Result<()>,
    reply: oneshot::Sender<io::Result<()>>,
}

impl Step {
    /// Keeps the first error: it is the one to tell.
    fn fail(&mut self, error: io::Error) {
        if self.result.is_ok() {
            self.result = Err(error);
        }
    }
}

/// Writes a job's new content beside its file, and has it synced while the next jobs of the round are written.
async fn begin<D: Disk>(
    disk: &Rc<D>,
    buffer: D::Buffer,
    job: FileJob,
    number: u64,
    index: usize,
    syncs: &mut JoinSet<(usize, io::Result<()>)>,
) -> (Step, D::Buffer) {
    let (path, bytes, reply) = match job {
        FileJob::Write { path, bytes, reply } => (path, bytes, reply),
        FileJob::Remove { path, reply } => {
            let step = Step {
                path,
                temporary: None,
                result: Ok(()),
                reply,
            };
            return (step, buffer);
        }
    };
    let mut step = Step {
        temporary: None,
        result: Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "is not the path of a file",
        )),
        path,
        reply,
    };
    let (Some(directory), Some(name)) = (step.path.parent(), step.path.file_name()) else {
        return (step, buffer);
    };
    let process = std::process::id();
    let temporary = directory.join(format!(
        ".{}{TEMPORARY}{process}-{number}",
        name.to_string_lossy()
    ));
    let (written, buffer) = write_new(&**disk, buffer, (&temporary, Open::New), &bytes).await;
    step.temporary = Some(temporary);
    step.result = match written {
        Ok(file) => {
            let disk = Rc::clone(disk);
            syncs.spawn_local(async move {
                let result = disk.sync(&file).await;
                disk.close(file).await;
                (index, result)
            });
            Ok(())
        }
        Err(error) => Err(error),
    };
    (step, buffer)
}

/// Writes a file that is not there yet.
pub(super) async fn write_new<D: Disk>(
    disk: &D,
    mut buffer: D::Buffer,
    (path, how): (&Path, Open),
    bytes: &[u8],
) -> (io::Result<D::File>, D::Buffer) {
    let file = match disk.open(path, how) {
        Ok((file, _)) => file,
        Err(error) => return (Err(error), buffer),
    };
    let mut at = 0;
    for chunk in bytes.chunks(BUFFER_BYTES) {
        buffer[..chunk.len()].copy_from_slice(chunk);
        let result;
        (result, buffer) = write_all(disk, &file, buffer, chunk.len(), at).await;
        if let Err(error) = result {
            disk.close(file).await;
            return (Err(error), buffer);
        }
        at += chunk.len() as u64;
    }
    (Ok(file), buffer)
}

/// Puts the round's files in their places, in the order of the jobs, and answers once their directories are synced.
async fn finish<D: Disk>(disk: &D, mut round: Vec<Step>) {
    let mut directories: Vec<PathBuf> = Vec::new();
    for step in &mut round {
        if step.result.is_ok() {
            step.result = match &step.temporary {
                Some(temporary) => disk.rename(temporary, &step.path),
                None => disk.remove(&step.path),
            };
        }
        if step.result.is_err() {
            // A leftover is cleaned when the directory is opened next.
            let _ = step.temporary.as_ref().map(|path| disk.remove(path));
        } else if let Some(directory) = step.path.parent()
            && !directories.iter().any(|known| known == directory)
        {
            directories.push(directory.to_owned());
        }
    }
    for directory in directories {
        let Err(error) = disk.sync_directory(&directory).await else {
            continue;
        };
        for step in &mut round {
            if step.path.parent() == Some(&directory) {
                step.fail(io::Error::new(error.kind(), error.to_string()));
            }
        }
    }
    for step in round {
        // Nobody waiting for the answer is no reason not to have written the file.
        let _ = step.reply.send(step.result);
    }
}
