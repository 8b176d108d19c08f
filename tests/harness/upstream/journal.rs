//! What an upstream has seen: in memory, or in a file that a child writes and the tests read.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::Value;

/// Entries, in order: what was sent, and what the upstream noted.
pub enum Journal {
    Memory(Mutex<Vec<Value>>),
    File(PathBuf, Mutex<std::fs::File>),
}

impl Journal {
    pub fn in_memory() -> Self {
        Self::Memory(Mutex::new(Vec::new()))
    }

    /// Goes on with a file, which other children of the same script may write too.
    pub fn in_file(path: &Path) -> Self {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        Self::File(path.to_owned(), Mutex::new(file))
    }

    pub fn note(&self, entry: Value) {
        match self {
            Self::Memory(entries) => entries.lock().unwrap().push(entry),
            // One write for each line, so that no two are mixed.
            Self::File(_, file) => {
                let line = format!("{entry}\n");
                file.lock().unwrap().write_all(line.as_bytes()).unwrap();
            }
        }
    }

    pub fn entries(&self) -> Vec<Value> {
        match self {
            Self::Memory(entries) => entries.lock().unwrap().clone(),
            Self::File(path, _) => read(path),
        }
    }
}

/// The whole lines of a journal's file.
pub fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The messages of this method among entries.
pub fn messages(entries: &[Value], method: &str) -> Vec<Value> {
    let found = entries.iter().map(|entry| &entry["message"]);
    found
        .filter(|message| message["method"] == method)
        .cloned()
        .collect()
}

/// The entries with this note.
pub fn notes(entries: &[Value], note: &str) -> Vec<Value> {
    let found = entries.iter().filter(|entry| entry["note"] == note);
    found.cloned().collect()
}
