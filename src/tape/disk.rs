//! What the recorder asks of a disk, and the two disks there are.
//!
//! Writes and syncs are what takes time, so they are operations of the ring. Opening, renaming and removing happen a few times
//! in the life of a process and are plain system calls.

use std::fs::{File as StdFile, OpenOptions, TryLockError};
use std::future::Future;
use std::io;
use std::ops::{DerefMut, Range};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tokio_uring::buf::BoundedBuf;
use tokio_uring::buf::fixed::{FixedBuf, FixedBufRegistry};

/// Bytes of one write buffer.
pub(super) const BUFFER_BYTES: usize = 64 << 10;

/// Write buffers registered with the kernel: one a log, and one for whole files.
pub(super) const BUFFER_COUNT: usize = 8;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// To be appended to, made if missing, locked against other processes.
    Log,
    /// The same, made for its owner alone.
    PrivateLog,
    /// Must not exist yet.
    New,
    /// The same, for its owner alone.
    PrivateNew,
}

/// A disk. Buffers are handed to an operation and come back with its result.
pub(super) trait Disk: 'static {
    type File: 'static;
    type Buffer: DerefMut<Target = [u8]> + 'static;

    /// A write buffer of [`BUFFER_BYTES`], while there are some left.
    fn buffer(&self) -> Option<Self::Buffer>;
    /// Opens a file and tells its length.
    fn open(&self, path: &Path, how: Open) -> io::Result<(Self::File, u64)>;
    /// Writes once; the count may be short.
    fn write(
        &self,
        file: &Self::File,
        buffer: Self::Buffer,
        range: Range<usize>,
        at: u64,
    ) -> impl Future<Output = (io::Result<usize>, Self::Buffer)>;
    /// Makes what was written durable.
    fn sync(&self, file: &Self::File) -> impl Future<Output = io::Result<()>>;
    /// Makes renames and removals in a directory durable.
    fn sync_directory(&self, path: &Path) -> impl Future<Output = io::Result<()>>;
    /// Closes a file.
    fn close(&self, file: Self::File) -> impl Future<Output = ()>;

    /// Cuts a file; one that is shorter already stays as it is.
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() > length {
            file.set_len(length)?;
        }
        Ok(())
    }
    /// Renames a file over another.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

/// Opens with the standard library; both disks do.
fn open(path: &Path, how: Open) -> io::Result<(StdFile, u64)> {
    let mut options = OpenOptions::new();
    options.read(true);
    let file = match how {
        // Written at its end whatever offset is told: whoever rotates logs by cutting them in place gets no hole.
        Open::Log => options.append(true).create(true).open(path)?,
        Open::PrivateLog => options.append(true).create(true).mode(0o600).open(path)?,
        Open::New => options.write(true).create_new(true).open(path)?,
        Open::PrivateNew => options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?,
    };
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "is not a regular file",
        ));
    }
    if matches!(how, Open::Log | Open::PrivateLog) {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "is being written by another process",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok((file, facts.len()))
}

/// Files on tokio-uring, written from buffers registered with the kernel.
pub(super) struct UringDisk {
    buffers: FixedBufRegistry<Vec<u8>>,
}

impl UringDisk {
    /// Registers the buffers. Called inside a tokio-uring runtime.
    pub(super) fn new() -> io::Result<Self> {
        let buffers = FixedBufRegistry::new((0..BUFFER_COUNT).map(|_| vec![0; BUFFER_BYTES]));
        buffers.register()?;
        Ok(Self { buffers })
    }
}

impl Disk for UringDisk {
    type File = tokio_uring::fs::File;
    type Buffer = FixedBuf;

    fn buffer(&self) -> Option<FixedBuf> {
        (0..BUFFER_COUNT).find_map(|index| self.buffers.check_out(index))
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<(Self::File, u64)> {
        let (file, length) = open(path, how)?;
        Ok((tokio_uring::fs::File::from_std(file), length))
    }

    async fn write(
        &self,
        file: &Self::File,
        buffer: FixedBuf,
        range: Range<usize>,
        at: u64,
    ) -> (io::Result<usize>, FixedBuf) {
        let (result, slice) = file.write_fixed_at(buffer.slice(range), at).await;
        (result, slice.into_inner())
    }

    async fn sync(&self, file: &Self::File) -> io::Result<()> {
        file.sync_data().await
    }

    async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let directory = tokio_uring::fs::File::from_std(StdFile::open(path)?);
        let result = directory.sync_all().await;
        directory.close().await?;
        result
    }

    async fn close(&self, file: Self::File) {
        if let Err(error) = file.close().await {
            tracing::warn!(%error, "closing a recorded file failed");
        }
    }
}

/// Files on ordinary system calls, for hosts that forbid io_uring. The recorder's thread blocks in them; no shard does.
pub(super) struct PlainDisk;

impl Disk for PlainDisk {
    type File = StdFile;
    type Buffer = Box<[u8]>;

    fn buffer(&self) -> Option<Box<[u8]>> {
        Some(vec![0; BUFFER_BYTES].into_boxed_slice())
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<(StdFile, u64)> {
        open(path, how)
    }

    async fn write(
        &self,
        file: &StdFile,
        buffer: Box<[u8]>,
        range: Range<usize>,
        at: u64,
    ) -> (io::Result<usize>, Box<[u8]>) {
        let result = std::os::unix::fs::FileExt::write_at(file, &buffer[range], at);
        (result, buffer)
    }

    async fn sync(&self, file: &StdFile) -> io::Result<()> {
        file.sync_data()
    }

    async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        StdFile::open(path)?.sync_all()
    }

    async fn close(&self, file: StdFile) {
        drop(file);
    }
}

/// Writes a range whole, continuing short writes.
///
/// Errors: the first failure; a write of nothing is one.
pub(super) async fn write_all<D: Disk>(
    disk: &D,
    file: &D::File,
    mut buffer: D::Buffer,
    length: usize,
    at: u64,
) -> (io::Result<()>, D::Buffer) {
    let mut done = 0;
    while done < length {
        let (result, back) = disk
            .write(file, buffer, done..length, at + done as u64)
            .await;
        buffer = back;
        match result {
            Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buffer),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (Err(error), buffer),
        }
    }
    (Ok(()), buffer)
}
