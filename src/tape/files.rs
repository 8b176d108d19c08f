//! Whole files, replaced atomically: whoever looks sees the old content or the new, at every point of a crash.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};

use super::disk::{BUFFER_BYTES, Disk, Open, write_all};

/// What a name of a file in the making contains. Files with it in their name are leftovers of a crash.
pub(super) const TEMPORARY: &str = ".margay-tmp-";

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

/// Serves file jobs one after the other, beside the logs.
pub(super) async fn serve<D: Disk>(
    disk: Rc<D>,
    mut buffer: D::Buffer,
    mut jobs: mpsc::Receiver<FileJob>,
) {
    let mut number = 0_u64;
    while let Some(job) = jobs.recv().await {
        number += 1;
        match job {
            FileJob::Write { path, bytes, reply } => {
                let (result, back) = replace(&*disk, buffer, &path, &bytes, number).await;
                buffer = back;
                // Nobody waiting for the answer is no reason not to have written the file.
                let _ = reply.send(result);
            }
            FileJob::Remove { path, reply } => {
                let _ = reply.send(remove(&*disk, &path).await);
            }
        }
    }
}

async fn replace<D: Disk>(
    disk: &D,
    buffer: D::Buffer,
    path: &Path,
    bytes: &[u8],
    number: u64,
) -> (io::Result<()>, D::Buffer) {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return (
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "is not the path of a file",
            )),
            buffer,
        );
    };
    let process = std::process::id();
    let temporary = directory.join(format!(
        ".{}{TEMPORARY}{process}-{number}",
        name.to_string_lossy()
    ));
    let (written, buffer) = write_new(disk, buffer, &temporary, bytes).await;
    let renamed = written.and_then(|()| disk.rename(&temporary, path));
    if let Err(error) = renamed {
        // The first error is the one to tell; a leftover is cleaned when the directory is opened next.
        let _ = disk.remove(&temporary);
        return (Err(error), buffer);
    }
    (disk.sync_directory(directory).await, buffer)
}

async fn write_new<D: Disk>(
    disk: &D,
    mut buffer: D::Buffer,
    path: &Path,
    bytes: &[u8],
) -> (io::Result<()>, D::Buffer) {
    let file = match disk.open(path, Open::New) {
        Ok((file, _)) => file,
        Err(error) => return (Err(error), buffer),
    };
    let mut result = Ok(());
    let mut at = 0;
    for chunk in bytes.chunks(BUFFER_BYTES) {
        buffer[..chunk.len()].copy_from_slice(chunk);
        (result, buffer) = write_all(disk, &file, buffer, chunk.len(), at).await;
        if result.is_err() {
            break;
        }
        at += chunk.len() as u64;
    }
    if result.is_ok() {
        result = disk.sync(&file).await;
    }
    disk.close(file).await;
    (result, buffer)
}

async fn remove<D: Disk>(disk: &D, path: &Path) -> io::Result<()> {
    disk.remove(path)?;
    match path.parent() {
        Some(directory) => disk.sync_directory(directory).await,
        None => Ok(()),
    }
}
