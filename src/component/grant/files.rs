//! `wasi:filesystem`: the granted directories, and each path in them asked about as what it is on the host.
//!
//! What has no path (reading what is open, its size) is wasmtime's own; what it may do with a file that is open was decided when it was
//! opened. For a call that is narrowed it is asked again, because the file may have been opened by another's.

use std::fs::File as HostFile;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::filesystem::{
    Descriptor, Dir, File, FsPerms, OpenMode, WasiFilesystemCtxView, WasiFilesystemView,
};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult, ReaddirIterator};

use crate::limits::{LISTED_ENTRIES_MAX, RENAMED_ENTRIES_MAX};
use crate::policy::permission::{Access, Ask};

use super::super::store::State;
use super::Gate;
use super::path::{self, Found, Lost, Place};
use types::{DescriptorFlags, ErrorCode, HostDescriptor, OpenFlags, PathFlags};

const FILES_ONLY: &str = "only files and directories are opened";
const TOO_MANY_TO_LIST: &str = "no more entries of directories are read at one time";
const TOO_MANY_TO_MOVE: &str = "a directory is renamed only if all that is in it can be looked at";

/// Puts these in the place of wasmtime's.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    types::add_to_linker::<State, Files>(linker, State::files)?;
    preopens::add_to_linker::<State, Files>(linker, State::files)
}

struct Files;

impl HasData for Files {
    type Data<'a> = FilesView<'a>;
}

/// An instance's files, while the host works for it.
pub(crate) struct FilesView<'a> {
    pub(super) inner: WasiFilesystemCtxView<'a>,
    pub(super) gate: Arc<Gate>,
}

impl State {
    fn files(&mut self) -> FilesView<'_> {
        let gate = Arc::clone(self.gate());
        FilesView {
            inner: self.filesystem(),
            gate,
        }
    }
}

/// What is needed at a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Read,
    Write,
    Both,
    /// One of the two is enough: to know that something is there.
    Either,
}

impl FilesView<'_> {
    fn directory(&self, descriptor: &Resource<Descriptor>) -> FsResult<Arc<HostFile>> {
        match self.inner.table.get(descriptor)? {
            Descriptor::Dir(directory) => Ok(Arc::clone(&directory.dir)),
            Descriptor::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    /// Where a path leads, if this may be done there.
    async fn find(
        &mut self,
        descriptor: &Resource<Descriptor>,
        path: &str,
        follows_last: bool,
        need: Need,
    ) -> FsResult<Place> {
        let place = self.walk(descriptor, path, follows_last, need).await?;
        self.check(need, &place.path)?;
        Ok(place)
    }

    async fn walk(
        &mut self,
        descriptor: &Resource<Descriptor>,
        path: &str,
        follows_last: bool,
        need: Need,
    ) -> FsResult<Place> {
        let base = self.directory(descriptor)?;
        let text = path.to_owned();
        match blocking(move || path::walk(&base, &text, follows_last)).await? {
            Ok(place) => Ok(place),
            Err(Lost::Out(rule, path)) => {
                let method = match need {
                    Need::Read | Need::Either => "fs read",
                    Need::Write | Need::Both => "fs write",
                };
                self.gate.refuse(method, &path, rule);
                Err(ErrorCode::NotPermitted.into())
            }
            Err(Lost::Nothing(path, error)) => {
                // That there is nothing is not told about a place that may not be looked at.
                self.check(need, &path)?;
                Err(failed(error))
            }
            Err(Lost::Failed(error)) => Err(failed(error)),
        }
    }

    fn check(&self, need: Need, path: &str) -> FsResult<()> {
        let ask = |access| Ask::Path { access, path };
        let is_allowed = match need {
            Need::Read => self.gate.allows(&ask(Access::Read)),
            Need::Write => self.gate.allows(&ask(Access::Write)),
            Need::Both => {
                self.gate.allows(&ask(Access::Read)) && self.gate.allows(&ask(Access::Write))
            }
            Need::Either => {
                self.gate.decide(&ask(Access::Write)).is_allowed
                    || self.gate.allows(&ask(Access::Read))
            }
        };
        match is_allowed {
            true => Ok(()),
            false => Err(ErrorCode::Access.into()),
        }
    }

    /// Whether what is at `old` may come to be at `new`: nothing may be done with it there that may not be done with it now.
    fn check_move(&self, old: &str, new: &str) -> FsResult<()> {
        self.check(Need::Write, old)?;
        self.check(Need::Write, new)?;
        let reads = |path| Ask::Path {
            access: Access::Read,
            path,
        };
        match self.gate.decide(&reads(new)).is_allowed {
            true => self.check(Need::Read, old),
            false => Ok(()),
        }
    }

    /// Whether a link with this content may be at a place, so many directories below where its guest begins. Whoever else follows it is
    /// not led out either.
    fn check_link(&self, content: &str, at: &str, depth: usize) -> FsResult<()> {
        let Some(rule) = path::leads_out(content, depth) else {
            return Ok(());
        };
        let target = format!("{at} -> {content}");
        self.gate.refuse("fs write", &target, rule);
        Err(ErrorCode::NotPermitted.into())
    }

    /// Whether a link, or a directory with all that is below it, may be at `new`: what it may be used for there, and where its links lead
    /// from there.
    async fn check_moved(&mut self, old: Place, new: &Place) -> FsResult<Place> {
        if old.kind() == Some(FileType::Symlink) {
            let (content, old) = blocking(move || (path::link_content(&old), old)).await?;
            self.check_link(&content.map_err(failed)?, &new.path, new.depth)?;
            return Ok(old);
        }
        if old.kind() != Some(FileType::Directory) {
            return Ok(old);
        }
        let (entries, old) =
            blocking(move || (path::below(&old, RENAMED_ENTRIES_MAX), old)).await?;
        let Some(entries) = entries.map_err(failed)? else {
            self.gate.refuse("fs write", &old.path, TOO_MANY_TO_MOVE);
            return Err(ErrorCode::Access.into());
        };
        for entry in entries {
            let path = &entry.path;
            let (from, to) = (
                format!("{}/{path}", old.path),
                format!("{}/{path}", new.path),
            );
            self.check_move(&from, &to)?;
            if let Some(content) = &entry.link {
                let depth = new.depth + 1 + path.matches('/').count();
                self.check_link(content, &to, depth)?;
            }
        }
        Ok(old)
    }

    /// For a call that is narrowed: whether it may do this with what is open.
    fn check_open(&self, descriptor: &Resource<Descriptor>, need: Need) -> FsResult<()> {
        if !self.gate.is_narrowed() {
            return Ok(());
        }
        let path = match self.inner.table.get(descriptor)? {
            Descriptor::File(file) => path::path_of(&*file.file),
            Descriptor::Dir(directory) => path::path_of(&*directory.dir),
        };
        self.check(need, &path.map_err(failed)?)
    }

    /// Has wasmtime's own functions look at what is at a place.
    fn look(&mut self, place: Place) -> FsResult<Resource<Descriptor>> {
        let Some(Found { file, .. }) = place.found else {
            return Err(ErrorCode::NoEntry.into());
        };
        let file = File::new(file.into(), FsPerms::ReadOnly, OpenMode::empty(), false);
        Ok(self.inner.table.push(Descriptor::File(file))?)
    }

    pub(super) fn open_directory(&self, file: HostFile, path: &str) -> Descriptor {
        let access = Access::Write;
        let writes = self.gate.decide(&Ask::Path { access, path }).is_allowed;
        let (perms, mode) = match writes {
            true => (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE),
            false => (FsPerms::ReadOnly, OpenMode::READ),
        };
        Descriptor::Dir(Dir::new(file, perms, mode, false))
    }
}

/// Does what may wait for a disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> FsResult<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| FsError::trap(wasmtime::Error::new(error)))
}

fn failed(error: Errno) -> FsError {
    ErrorCode::from(std::io::Error::from(error)).into()
}

async fn done(work: impl FnOnce() -> Result<(), Errno> + Send + 'static) -> FsResult<()> {
    blocking(work).await?.map_err(failed)
}

/// How something is to be opened.
struct Opening {
    follows: bool,
    creates: bool,
    exclusive: bool,
    directory: bool,
    truncates: bool,
    reads: bool,
    writes: bool,
}

impl Opening {
    fn new(path: PathFlags, open: OpenFlags, flags: DescriptorFlags) -> FsResult<Self> {
        let syncs = DescriptorFlags::FILE_INTEGRITY_SYNC
            | DescriptorFlags::DATA_INTEGRITY_SYNC
            | DescriptorFlags::REQUESTED_WRITE_SYNC;
        if flags.intersects(syncs) {
            return Err(ErrorCode::Unsupported.into());
        }
        let changes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
        if open.contains(OpenFlags::DIRECTORY) && open.intersects(changes) {
            return Err(ErrorCode::Invalid.into());
        }
        let has = |flag| open.contains(flag);
        let (creates, truncates) = (has(OpenFlags::CREATE), has(OpenFlags::TRUNCATE));
        let exclusive = creates && has(OpenFlags::EXCLUSIVE);
        let asks_write = flags.contains(DescriptorFlags::WRITE);
        Ok(Self {
            follows: path.contains(PathFlags::SYMLINK_FOLLOW) && !exclusive,
            creates,
            exclusive,
            truncates,
            directory: has(OpenFlags::DIRECTORY),
            reads: flags.contains(DescriptorFlags::READ) || !asks_write,
            writes: asks_write || creates || truncates,
        })
    }

    fn need(&self) -> Need {
        match (self.reads, self.writes) {
            (true, true) => Need::Both,
            (false, true) => Need::Write,
            _ => Need::Read,
        }
    }

    fn flags(&self) -> OFlags {
        let mut flags = match (self.reads, self.writes) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            _ => OFlags::RDONLY,
        };
        flags.set(OFlags::CREATE, self.creates);
        flags.set(OFlags::EXCL, self.exclusive);
        flags
    }

    fn descriptor(&self, file: HostFile) -> Descriptor {
        let mut mode = OpenMode::empty();
        mode.set(OpenMode::READ, self.reads);
        mode.set(OpenMode::WRITE, self.writes);
        let perms = match self.writes {
            true => FsPerms::ReadWrite,
            false => FsPerms::ReadOnly,
        };
        Descriptor::File(File::new(file, perms, mode, false))
    }
}

impl FilesView<'_> {
    async fn open(
        &mut self,
        base: &Resource<Descriptor>,
        path: &str,
        opening: Opening,
    ) -> FsResult<Descriptor> {
        let place = self
            .walk(base, path, opening.follows, opening.need())
            .await?;
        if place.kind() == Some(FileType::Directory) && !opening.writes {
            self.check(Need::Either, &place.path)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let opened =
                blocking(move || (path::open(&place, flags, Mode::empty()), place)).await?;
            let (file, place) = (opened.0.map_err(failed)?, opened.1);
            return Ok(self.open_directory(file, &place.path));
        }
        self.check(opening.need(), &place.path)?;
        match place.kind() {
            Some(_) if opening.exclusive => return Err(ErrorCode::Exist.into()),
            Some(FileType::Directory) => return Err(ErrorCode::IsDirectory.into()),
            Some(FileType::Symlink) => return Err(ErrorCode::Loop.into()),
            Some(_) if opening.directory => return Err(ErrorCode::NotDirectory.into()),
            Some(FileType::RegularFile) => {}
            None if !opening.creates => return Err(ErrorCode::NoEntry.into()),
            None if place.must_be_directory => return Err(ErrorCode::IsDirectory.into()),
            None => {}
            Some(_) => {
                self.gate.refuse("fs read", &place.path, FILES_ONLY);
                return Err(ErrorCode::Access.into());
            }
        }
        let (asked, flags) = (place.path.clone(), opening.flags());
        let opened = blocking(move || -> Result<(HostFile, String), Errno> {
            let file = path::open(&place, flags, Mode::from_raw_mode(0o666))?;
            // What was there may have been replaced by what is no file.
            let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
            match kind {
                FileType::RegularFile => path::path_of(&file).map(|path| (file, path)),
                _ => Err(Errno::ACCESS),
            }
        });
        let (file, path) = opened.await?.map_err(failed)?;
        if path != asked {
            // A directory on the way was moved meanwhile, by another call. What was opened is what counts.
            self.check(opening.need(), &path)?;
        }
        let file = match opening.truncates {
            true => {
                let emptied = blocking(move || rustix::fs::ftruncate(&file, 0).map(|()| file));
                emptied.await?.map_err(failed)?
            }
            false => file,
        };
        Ok(opening.descriptor(file))
    }
}

impl types::Host for FilesView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        types::Host::filesystem_error_code(&mut self.inner, error)
    }
}

type Fd = Resource<Descriptor>;

impl HostDescriptor for FilesView<'_> {
    async fn advise(
        &mut self,
        fd: Fd,
        offset: u64,
        length: u64,
        advice: types::Advice,
    ) -> FsResult<()> {
        self.inner.advise(fd, offset, length, advice).await
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        self.inner.sync_data(fd).await
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<DescriptorFlags> {
        self.inner.get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<types::DescriptorType> {
        self.inner.get_type(fd).await
    }

    async fn set_size(&mut self, fd: Fd, size: u64) -> FsResult<()> {
        self.check_open(&fd, Need::Write)?;
        self.inner.set_size(fd, size).await
    }

    async fn set_times(
        &mut self,
        fd: Fd,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        self.check_open(&fd, Need::Write)?;
        self.inner.set_times(fd, accessed, modified).await
    }

    async fn read(&mut self, fd: Fd, length: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        self.check_open(&fd, Need::Read)?;
        self.inner.read(fd, length, offset).await
    }

    async fn write(&mut self, fd: Fd, buffer: Vec<u8>, offset: u64) -> FsResult<u64> {
        self.check_open(&fd, Need::Write)?;
        self.inner.write(fd, buffer, offset).await
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<ReaddirIterator>> {
        let directory = self.directory(&fd)?;
        let path = path::path_of(&*directory).map_err(failed)?;
        self.check(Need::Read, &path)?;
        let room = LISTED_ENTRIES_MAX.saturating_sub(self.gate.listed());
        let counted = blocking(move || path::count(&directory, room)).await?;
        let Some(count) = counted.map_err(failed)? else {
            self.gate.refuse("fs read", &path, TOO_MANY_TO_LIST);
            return Err(ErrorCode::InsufficientMemory.into());
        };
        let stream = self.inner.read_directory(fd).await?;
        self.gate.lists(stream.rep(), path.into(), count);
        Ok(stream)
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        self.inner.sync(fd).await
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let place = self.find(&fd, &path, false, Need::Write).await?;
        if place.found.is_some() {
            return Err(ErrorCode::Exist.into());
        }
        let mode = Mode::from_raw_mode(0o777);
        done(move || rustix::fs::mkdirat(&*place.parent, place.name(), mode)).await
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<types::DescriptorStat> {
        self.check_open(&fd, Need::Either)?;
        self.inner.stat(fd).await
    }

    async fn stat_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
    ) -> FsResult<types::DescriptorStat> {
        let follows = flags.contains(PathFlags::SYMLINK_FOLLOW);
        let place = self.find(&fd, &path, follows, Need::Either).await?;
        let looked = self.look(place)?;
        let stat = self.inner.stat(Resource::new_borrow(looked.rep())).await;
        self.inner.table.delete(looked)?;
        stat
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        let follows = flags.contains(PathFlags::SYMLINK_FOLLOW);
        let place = self.find(&fd, &path, follows, Need::Write).await?;
        let times = Timestamps {
            last_access: timespec(accessed)?,
            last_modification: timespec(modified)?,
        };
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        done(move || rustix::fs::utimensat(&*place.parent, place.name(), &times, nofollow)).await
    }

    async fn link_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        old_path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FsResult<()> {
        if flags.contains(PathFlags::SYMLINK_FOLLOW) {
            return Err(ErrorCode::Invalid.into());
        }
        let moving = self.gate.moving().await;
        let old = self.find(&fd, &old_path, false, Need::Write).await?;
        let new = self.find(&new_fd, &new_path, false, Need::Write).await?;
        self.check_move(&old.path, &new.path)?;
        match (old.kind(), new.kind()) {
            (None, _) => return Err(ErrorCode::NoEntry.into()),
            (_, Some(_)) => return Err(ErrorCode::Exist.into()),
            (Some(FileType::RegularFile), None) => {}
            // A link to a link would lead elsewhere than the one that was looked at.
            (Some(_), None) => return Err(ErrorCode::NotPermitted.into()),
        }
        let none = AtFlags::empty();
        done(move || {
            let _moving = moving;
            rustix::fs::linkat(&*old.parent, old.name(), &*new.parent, new.name(), none)
        })
        .await
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        let opening = Opening::new(path_flags, open_flags, flags)?;
        self.gate.spend_file().map_err(FsError::trap)?;
        let opened = self.open(&fd, &path, opening).await?;
        // A stream of a file keeps it open when its descriptor is gone.
        self.gate.opened(match &opened {
            Descriptor::File(file) => &file.file,
            Descriptor::Dir(directory) => &directory.dir,
        });
        Ok(self.inner.table.push(opened)?)
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        let place = self.find(&fd, &path, false, Need::Read).await?;
        blocking(move || path::link_content(&place))
            .await?
            .map_err(failed)
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let place = self.find(&fd, &path, false, Need::Write).await?;
        remove(place, AtFlags::REMOVEDIR).await
    }

    async fn rename_at(
        &mut self,
        fd: Fd,
        old_path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FsResult<()> {
        let moving = self.gate.moving().await;
        let old = self.find(&fd, &old_path, false, Need::Write).await?;
        let new = self.find(&new_fd, &new_path, false, Need::Write).await?;
        self.check_move(&old.path, &new.path)?;
        if old.name.is_none() || new.name.is_none() {
            return Err(ErrorCode::Busy.into());
        }
        let old = self.check_moved(old, &new).await?;
        done(move || {
            let _moving = moving;
            rustix::fs::renameat(&*old.parent, old.name(), &*new.parent, new.name())
        })
        .await
    }

    async fn symlink_at(&mut self, fd: Fd, content: String, path: String) -> FsResult<()> {
        let moving = self.gate.moving().await;
        let place = self.find(&fd, &path, false, Need::Write).await?;
        self.check_link(&content, &place.path, place.depth)?;
        if place.found.is_some() {
            return Err(ErrorCode::Exist.into());
        }
        done(move || {
            let _moving = moving;
            rustix::fs::symlinkat(content, &*place.parent, place.name())
        })
        .await
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let place = self.find(&fd, &path, false, Need::Write).await?;
        remove(place, AtFlags::empty()).await
    }

    fn read_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynInputStream>> {
        self.check_open(&fd, Need::Read)?;
        self.inner.read_via_stream(fd, offset)
    }

    fn write_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        self.check_open(&fd, Need::Write)?;
        self.inner.write_via_stream(fd, offset)
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        self.check_open(&fd, Need::Write)?;
        self.inner.append_via_stream(fd)
    }

    async fn is_same_object(&mut self, a: Fd, b: Fd) -> wasmtime::Result<bool> {
        self.inner.is_same_object(a, b).await
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<types::MetadataHashValue> {
        self.check_open(&fd, Need::Either)?;
        self.inner.metadata_hash(fd).await
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        let follows = flags.contains(PathFlags::SYMLINK_FOLLOW);
        let place = self.find(&fd, &path, follows, Need::Either).await?;
        let looked = self.look(place)?;
        let borrowed = Resource::new_borrow(looked.rep());
        let hash = self.inner.metadata_hash(borrowed).await;
        self.inner.table.delete(looked)?;
        hash
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        HostDescriptor::drop(&mut self.inner, fd)
    }
}

impl types::HostDirectoryEntryStream for FilesView<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<ReaddirIterator>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        let directory = self.gate.listing(stream.rep());
        loop {
            let again = Resource::new_borrow(stream.rep());
            let entry = self.inner.read_directory_entry(again).await?;
            let (Some(found), Some(directory)) = (&entry, &directory) else {
                return Ok(entry);
            };
            // What may be neither read nor written is not shown by its name either.
            let path = format!("{}/{}", directory.trim_end_matches('/'), found.name);
            let may = |access| {
                let ask = Ask::Path {
                    access,
                    path: &path,
                };
                self.gate.decide(&ask).is_allowed
            };
            if may(Access::Read) || may(Access::Write) {
                return Ok(entry);
            }
        }
    }

    fn drop(&mut self, stream: Resource<ReaddirIterator>) -> wasmtime::Result<()> {
        let listing = stream.rep();
        types::HostDirectoryEntryStream::drop(&mut self.inner, stream)?;
        self.gate.listed_all(listing);
        Ok(())
    }
}

async fn remove(place: Place, flags: AtFlags) -> FsResult<()> {
    if place.name.is_none() {
        return Err(ErrorCode::Busy.into());
    }
    done(move || rustix::fs::unlinkat(&*place.parent, place.name(), flags)).await
}

fn timespec(time: types::NewTimestamp) -> FsResult<Timespec> {
    let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    Ok(match time {
        types::NewTimestamp::NoChange => special(UTIME_OMIT),
        types::NewTimestamp::Now => special(UTIME_NOW),
        types::NewTimestamp::Timestamp(time) if time.nanoseconds < 1_000_000_000 => Timespec {
            tv_sec: i64::try_from(time.seconds).map_err(|_| ErrorCode::Overflow)?,
            tv_nsec: time.nanoseconds.into(),
        },
        types::NewTimestamp::Timestamp(_) => return Err(ErrorCode::Invalid.into()),
    })
}
