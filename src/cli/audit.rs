//! `margay audit`: whether an audit log is as it was written, and what it says.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::audit::{Head, Key, Line, Report, Verifier};
use crate::control::config::{Config, LogLevel};
use crate::control::secret::known_audit_key;
use crate::error::{Problem, exit};
use crate::tape::{HEAD_FILE, segments};

use super::{Common, print_line};

pub(super) const EXAMPLES: &str = "\
Examples:
  margay audit verify                       the log of this configuration
  margay audit verify /var/log/margay/audit
  margay audit verify audit.0003.jsonl audit.0004.jsonl
  margay audit show --last 20

`verify` ends with 1 and names the first lines that are not as they were
written. Checkpoints and the end are checked with the key in the state
directory (audit.key): a copy of it elsewhere shows what somebody has done
who could write both.";

/// Bytes of one line; ours are far shorter.
const LINE_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check the chain of hashes, the checkpoints and the end.
    Verify {
        /// Directories of logs, or files of one log in their order [default: the configured log].
        #[arg(value_name = "DIR|FILE")]
        paths: Vec<PathBuf>,
        /// The key of checkpoints [default: audit.key in the state directory].
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Show the last lines.
    Show {
        /// Directory of the log [default: the configured log].
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
        /// How many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        last: usize,
        #[command(flatten)]
        common: Common,
    },
}

pub(super) fn run(command: &AuditCommand) -> Result<u8, Problem> {
    match command {
        AuditCommand::Verify { paths, key, common } => {
            let config = load(common)?;
            let key = match key {
                Some(path) => Some(known_audit_key(path)?),
                None => {
                    let path = config.state_dir.join("audit.key");
                    path.exists().then(|| known_audit_key(&path)).transpose()?
                }
            };
            verify(&config, paths, key)
        }
        AuditCommand::Show {
            directory,
            last,
            common,
        } => {
            let config = load(common)?;
            show(&directory.clone().unwrap_or_else(|| place(&config)), *last)
        }
    }
}

fn load(common: &Common) -> Result<Config, Problem> {
    common.load(&common.overrides(&[]), LogLevel::Warn)
}

/// The configured log, on or off.
fn place(config: &Config) -> PathBuf {
    let settings = config.audit.as_ref();
    settings.map_or_else(
        || config.state_dir.join("audit"),
        |settings| settings.directory.clone(),
    )
}

fn verify(config: &Config, paths: &[PathBuf], key: Option<Key>) -> Result<u8, Problem> {
    let own = [place(config)];
    let paths = if paths.is_empty() { &own[..] } else { paths };
    let mut is_intact = true;
    let (directories, files): (Vec<&PathBuf>, Vec<&PathBuf>) =
        paths.iter().partition(|path| path.is_dir());
    for directory in directories {
        let found = segments(directory).map_err(|error| unreadable(directory, &error))?;
        let head = head(directory)?;
        let found = found.iter().map(|segment| segment.path.as_path());
        let report = read_all(found, Verifier::new(key, head))?;
        is_intact &= say(&directory.display().to_string(), &report, key.is_some())?;
    }
    if !files.is_empty() {
        // A part of a log: it begins and ends somewhere.
        let verifier = Verifier::new(key, None).of_a_part();
        let report = read_all(files.iter().map(|path| path.as_path()), verifier)?;
        is_intact &= say("the files", &report, key.is_some())?;
    }
    Ok(u8::from(!is_intact))
}

fn head(directory: &Path) -> Result<Option<Head>, Problem> {
    let path = directory.join(HEAD_FILE);
    match fs::read(&path) {
        // One that cannot be read is a false one.
        Ok(bytes) => Ok(Some(Head::read(&bytes).unwrap_or(Head::FALSE))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(&path, &error)),
    }
}

fn read_all<'p>(
    files: impl Iterator<Item = &'p Path>,
    mut verifier: Verifier,
) -> Result<Report, Problem> {
    for path in files {
        let name = path.file_name().unwrap_or(path.as_os_str());
        verifier.file(&name.to_string_lossy());
        lines(path, |line| match line {
            Piece::Line(bytes) => verifier.line(bytes),
            Piece::Torn => verifier.torn(),
        })
        .map_err(|error| unreadable(path, &error))?;
    }
    Ok(verifier.finish())
}

/// A line of a file, or what is left of one at its end.
enum Piece<'l> {
    Line(&'l [u8]),
    Torn,
}

fn lines(path: &Path, mut take: impl FnMut(Piece<'_>)) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let count = Read::by_ref(&mut reader)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        match bytes.strip_suffix(b"\n") {
            Some(line) => take(Piece::Line(line)),
            None if reader.fill_buf()?.is_empty() => take(Piece::Torn),
            // Longer than any of ours: what is read of it is no line.
            None => take(Piece::Line(&bytes)),
        }
    }
}

fn say(name: &str, report: &Report, has_key: bool) -> Result<bool, Problem> {
    for finding in &report.findings {
        print_line(&finding.to_string())?;
    }
    if report.more > 0 {
        print_line(&format!("and {} more", report.more))?;
    }
    let checked = match has_key {
        true => format!(
            "{} checkpoints, the last at line {}",
            report.checkpoints, report.last_checkpoint
        ),
        false => "checkpoints were not checked: there is no key".to_owned(),
    };
    let lost = match report.lost {
        0 => String::new(),
        lost => format!("; it says that {lost} events were lost for want of room"),
    };
    let verdict = if report.is_intact() {
        "is as it was written"
    } else {
        "is NOT as it was written"
    };
    print_line(&format!(
        "{name} {verdict}: lines {} to {}; {checked}{lost}",
        report.first, report.last
    ))?;
    Ok(report.is_intact())
}

fn show(directory: &Path, count: usize) -> Result<u8, Problem> {
    let found = segments(directory).map_err(|error| unreadable(directory, &error))?;
    let mut shown: Vec<String> = Vec::new();
    // The newest files first, until there are enough lines.
    for segment in found.iter().rev() {
        let mut of_file = std::collections::VecDeque::new();
        let wanted = count - shown.len();
        lines(&segment.path, |line| {
            if let Piece::Line(bytes) = line {
                of_file.push_back(line_shown(bytes));
                if of_file.len() > wanted {
                    of_file.pop_front();
                }
            }
        })
        .map_err(|error| unreadable(&segment.path, &error))?;
        shown.splice(0..0, of_file);
        if shown.len() >= count {
            break;
        }
    }
    print_line(&shown.join("\n"))
}

/// A line without its hashes.
fn line_shown(bytes: &[u8]) -> String {
    match Line::read(bytes) {
        Some(line) => format!("{} {} {{{}}}", line.seq, line.time, line.members),
        None => "(no line of an audit log)".to_owned(),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem::operator(
        exit::NO_INPUT,
        "audit log",
        path.display().to_string(),
        error.to_string(),
        "name a directory with audit.NNNN.jsonl files, or such files",
    )
}
