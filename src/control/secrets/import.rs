//! Secrets of Wassette's secrets directory: one file a component, `<component id>.yaml`, with `KEY: value` lines.
//!
//! An entry becomes `<component id>/<KEY>`. What a file has beside plain values is refused, and then nothing of any file is taken.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::Problem;
use crate::secret::{Secret, Shape, admit, is_stored_name};

use super::{Entries, private, problem};

/// Bytes of one file.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Files of one directory.
const FILE_COUNT_MAX: usize = 1_024;

/// Reads every file of the directory.
///
/// Errors: the first that cannot be read or taken, by its path, without its values.
pub fn read_directory(directory: &Path) -> Result<Entries, Problem> {
    let unreadable = |error: std::io::Error| {
        problem(
            directory,
            error.to_string(),
            "name Wassette's secrets directory",
        )
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_yaml = path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml");
        if is_yaml {
            files.push(path);
        }
        if files.len() > FILE_COUNT_MAX {
            let rule = format!("has more than {FILE_COUNT_MAX} files");
            return Err(problem(directory, rule, "import a part of it"));
        }
    }
    files.sort();
    let mut entries = Entries::new();
    for path in files {
        read_file(&path, &mut entries)?;
    }
    Ok(entries)
}

fn read_file(path: &Path, entries: &mut Entries) -> Result<(), Problem> {
    let bytes = private::read_up_to(path, FILE_BYTES_MAX).map_err(|unresolved| {
        let remedy = format!("`chmod 600 {}`", path.display());
        problem(path, unresolved.to_string(), &remedy)
    })?;
    let flat = "write one `KEY: value` a line";
    let text = std::str::from_utf8(&bytes).map_err(|_| problem(path, "is not UTF-8", flat))?;
    let component = path.file_stem().and_then(|stem| stem.to_str());
    let component = component.unwrap_or_default();
    let values: BTreeMap<String, Value> = if text.trim().is_empty() {
        BTreeMap::new()
    } else {
        // The reader's own words may quote a value.
        serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(0, |at| at.line());
            let rule = format!("line {line} is not a flat mapping of names to texts");
            problem(path, rule, flat)
        })?
    };
    for (key, Value(value)) in values {
        let name = format!("{component}/{key}");
        if !is_stored_name(&name) {
            let rule = format!("{key} cannot be a name here: letters, digits and . _ - are");
            return Err(problem(path, rule, "rename it"));
        }
        // Shape of text: Wassette gives a value to a component as it is.
        let admitted = admit(Zeroizing::new(value.as_bytes().to_vec()), Shape::Text);
        let secret: Secret = admitted
            .map_err(|unresolved| problem(path, format!("{key} {unresolved}"), "correct it"))?;
        entries.insert(name, secret);
    }
    Ok(())
}

/// A value as Wassette reads it: a text. A number or a truth value is the text that stands there.
struct Value(Zeroizing<String>);

impl<'de> serde::Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl serde::de::Visitor<'_> for Texts {
            type Value = Value;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value(Zeroizing::new(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Texts)
    }
}
