//! Which files a server needs, from its configuration.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Roots;
use crate::control::config::{Config, ManagementTools};
use crate::secret::SecretRef;
use crate::upstream::settings::{HeaderValue, Transport};

/// What the C library, the runtime and a report of a panic read.
const SYSTEM: [&str; 36] = [
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/passwd",
    "/etc/group",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/zoneinfo",
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/run/systemd/resolve",
    "/proc/self",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/proc/stat",
    "/proc/sys/kernel",
    "/proc/sys/net",
    "/proc/sys/vm",
    "/sys/fs/cgroup",
    "/sys/devices/system/cpu",
    "/dev/urandom",
    "/dev/random",
];

/// Folders that are too wide to be opened for the sake of one file in them.
const WIDE: [&str; 12] = [
    "/", "/etc", "/home", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/usr", "/var",
    "/var/lib",
];

/// Files and directories, with what is below them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Paths {
    /// Those that are read.
    pub(super) read: Vec<PathBuf>,
    /// Those that are written, too.
    pub(super) write: Vec<PathBuf>,
    /// Directories in which a file is made and written, and none removed.
    pub(super) append: Vec<PathBuf>,
}

impl Paths {
    /// Everything that `config` names, what every server needs, and `roots`. Directories that are to be written, and are not there,
    /// are made: nobody could open them later.
    pub(super) fn of(config: &Config, roots: &Roots) -> Self {
        let mut paths = Self::default();
        paths.read.extend(SYSTEM.map(PathBuf::from));
        paths.resolver();
        let variables = ["SSL_CERT_FILE", "SSL_CERT_DIR", "CREDENTIALS_DIRECTORY"];
        let named = variables.iter().filter_map(std::env::var_os);
        paths.read.extend(named.map(PathBuf::from));
        // A report of a panic reads the names of functions from it.
        paths.read.extend(std::env::current_exe());
        paths.write.push(PathBuf::from("/dev/null"));

        for file in config
            .file
            .iter()
            .chain(&config.components)
            .chain(&config.manifest)
        {
            paths.file(file);
        }
        paths.read.extend(config.request_state_key_file.clone());
        for upstream in &config.upstreams {
            let of_auth = upstream.auth.iter().flat_map(|auth| auth.secrets());
            of_auth.for_each(|place| paths.secret(place));
            if let Transport::Http { tls, headers, .. } = &upstream.transport {
                for (_, value) in headers {
                    if let HeaderValue::Secret(place) = value {
                        paths.secret(place);
                    }
                }
                let pair = tls
                    .identity
                    .iter()
                    .flat_map(|(first, second)| [first, second]);
                let files = tls.ca.iter().chain(pair);
                files.for_each(|file| paths.file(file));
            }
        }
        for tls in config.tls.iter().chain(&config.admin_tls) {
            let files = [&tls.cert, &tls.key].into_iter().chain(&tls.client_ca);
            files.for_each(|file| paths.file(file));
        }
        for file in config.auth.files().chain(config.admin_auth.files()) {
            paths.file(file);
        }
        paths.directory(&folder(&config.pinning.path));
        if config.management_tools != ManagementTools::Off {
            // They load what an operator names, wherever it is.
            paths.read.push(PathBuf::from("/"));
        }
        let store = &config.secrets;
        // The command that changes it puts another file of its name there.
        paths.file(&store.file);
        if let SecretRef::File(identity) = &store.identity {
            paths.file(identity);
        }
        if let Some(audit) = &config.audit {
            paths.directory(&audit.directory);
        }
        paths.directory(&config.cache_dir);
        paths.directory(&config.state_dir);
        if let Some(directory) = &config.component_dir {
            paths.directory(directory);
        }
        if let Some(log) = &config.access_log {
            paths.append.push(folder(log));
        }
        let hardening = &config.hardening;
        paths.read.extend(
            [&roots.read, &hardening.read_paths]
                .into_iter()
                .flatten()
                .cloned(),
        );
        paths.write.extend(
            [&roots.write, &hardening.write_paths]
                .into_iter()
                .flatten()
                .cloned(),
        );
        paths
    }

    /// Where a secret is kept, if that is a file.
    fn secret(&mut self, place: &SecretRef) {
        if let SecretRef::File(path) = place {
            self.file(path);
        }
    }

    /// A file that may be replaced by another of its name, and is then read again: its folder, unless that is a wide one. Also where
    /// it is a link: the folder of what it leads to.
    fn file(&mut self, file: &Path) {
        self.read.push(file.to_owned());
        let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        for folder in [folder(file), folder(&real)] {
            let known = fs::canonicalize(&folder).unwrap_or(folder);
            if !WIDE.iter().any(|wide| known == Path::new(wide)) && !is_home(&known) {
                self.read.push(known);
            }
        }
    }

    fn directory(&mut self, directory: &Path) {
        // What is wrong with it is told by whoever needs it.
        let _ = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory);
        self.write.push(directory.to_owned());
    }

    /// Where the addresses of name servers stand. A host that changes its network writes a new file, and the C library asks
    /// this host for names, in vain, when it cannot read that one. So where the file is one of `/etc` itself, and not mounted
    /// over it, the whole of `/etc` is read. Not by root, who could read the passwords there.
    fn resolver(&mut self) {
        let Ok(real) = fs::canonicalize("/etc/resolv.conf") else {
            return;
        };
        let folder = folder(&real);
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        let is_root = rustix::process::geteuid().is_root();
        if device(&real) == device(&folder) && !is_root {
            self.read.push(folder);
        }
    }
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn is_home(path: &Path) -> bool {
    std::env::var_os("HOME").is_some_and(|home| Path::new(&home) == path)
}
