//! `wasi:filesystem/preopens`: the directories that a component was granted something in.

use std::fs::File as HostFile;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::preopens;

use crate::policy::permission::Root;

use super::files::FilesView;
use super::path::{self, Lost, Place};

impl preopens::Host for FilesView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let Some(grants) = self.gate.guard().grants().cloned() else {
            return Ok(Vec::new());
        };
        let mut shown: Vec<(Resource<Descriptor>, String)> = Vec::new();
        for root in &grants.roots {
            let Some((file, path, guest)) = self.root(root) else {
                continue;
            };
            if shown.iter().any(|(_, other)| other == guest) {
                continue;
            }
            let (Ok(place), Some(name)) = (path::path_of(&file), path.to_str()) else {
                continue;
            };
            if place != name {
                self.gate.call_also(&place, name);
            }
            let directory = self.open_directory(file, &place);
            shown.push((self.inner.table.push(directory)?, guest.to_owned()));
        }
        Ok(shown)
    }
}

impl FilesView<'_> {
    /// The directory of a root that is there, with its path and what its guest calls it: of a file, the directory that it is in.
    fn root<'r>(&self, root: &'r Root) -> Option<(HostFile, &'r Path, &'r str)> {
        let place = self.place_of(&root.path)?;
        let (place, path, guest) = match place.kind()? {
            FileType::Directory => (place, root.path.as_path(), root.guest.as_str()),
            FileType::RegularFile => {
                let (path, guest) = parents(&root.path, &root.guest);
                (self.place_of(path)?, path, guest)
            }
            _ => return None,
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let file = path::open(&place, flags, Mode::empty()).ok()?;
        Some((file, path, guest))
    }

    /// Where a granted path leads. One that leads nowhere now may lead somewhere at the next call.
    fn place_of(&self, path: &Path) -> Option<Place> {
        let is_guests = |path: &str| self.gate.may_be_written(path);
        match path::walk_host(path, &is_guests) {
            Ok(place) => Some(place),
            Err(Lost::Out(rule, link)) => {
                self.gate.refuse("fs read", &link, rule);
                None
            }
            Err(lost) => {
                tracing::debug!(path = %path.display(), ?lost, "a granted directory is not there");
                None
            }
        }
    }
}

fn parents<'r>(path: &'r Path, guest: &'r str) -> (&'r Path, &'r str) {
    let above = match guest.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((above, _)) => above,
        None => ".",
    };
    (path.parent().unwrap_or(path), above)
}
