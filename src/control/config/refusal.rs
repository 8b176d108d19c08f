//! What a person reads when the file is refused.

use std::path::Path;

use super::values::show_size;
use crate::error::{Problem, exit, nearest};

/// The file cannot be read.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    let code = if error.kind() == std::io::ErrorKind::InvalidData {
        exit::CONFIG
    } else {
        exit::NO_INPUT
    };
    Problem::operator(
        code,
        "configuration file",
        path.display().to_string(),
        error.to_string(),
        "name a readable YAML file with --config, or leave the flag out",
    )
}

/// The file goes on where no configuration does.
pub(super) fn too_large(path: &Path) -> Problem {
    Problem::operator(
        exit::CONFIG,
        "configuration file",
        path.display().to_string(),
        format!("is larger than {}", show_size(super::FILE_BYTES_MAX)),
        "name the YAML file with --config, or leave the flag out",
    )
}

/// Turns the reader's error into a problem that names the line, the key and the nearest valid key.
pub(in crate::control) fn invalid(path: &Path, error: &serde_saphyr::Error) -> Problem {
    use serde_saphyr::Error;
    let error = error.without_snippet();
    let line = error
        .location()
        .map(|location| location.line())
        .filter(|line| *line > 0);
    let place = line.map_or_else(
        || path.display().to_string(),
        |line| format!("{} line {line}", path.display()),
    );
    match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => {
            let remedy = match nearest(field, expected.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("valid keys here: {}", expected.join(", ")),
            };
            Problem::operator(
                exit::CONFIG,
                place,
                format!("`{field}`"),
                "is not a key",
                remedy,
            )
        }
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => {
            let remedy = format!("use one of: {}", expected.join(", "));
            Problem::operator(
                exit::CONFIG,
                place,
                format!("`{variant}`"),
                "is not a valid value",
                remedy,
            )
        }
        Error::DuplicateMappingKey { key, .. } => Problem::operator(
            exit::CONFIG,
            place,
            format!("`{}`", key.as_deref().unwrap_or("a key")),
            "is a duplicate: it stands above already",
            "keep one of them",
        ),
        Error::Budget { .. } => Problem::operator(
            exit::CONFIG,
            place,
            "",
            "has more nodes, aliases or nesting than a configuration needs",
            "write its values out; `margay serve --help` names the keys",
        ),
        other => {
            let text = other.render();
            let first = text
                .lines()
                .next()
                .unwrap_or("is not valid YAML")
                .to_owned();
            Problem::operator(
                exit::CONFIG,
                place,
                first,
                "",
                "correct the file; `margay serve --help` names the keys",
            )
        }
    }
}
