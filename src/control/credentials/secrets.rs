//! Secrets that credentials need, read where they are kept, each time they are needed: one that was changed counts at once.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::secret::{Secret, SecretRef};

/// Bytes of one secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Whoever reads secrets. Blocks.
pub type SecretReader = Arc<dyn Fn(&SecretRef) -> Result<Secret, String> + Send + Sync>;

/// Reads the environment, files and the service manager's credentials; has no encrypted store.
pub fn plain_reader() -> SecretReader {
    Arc::new(|place| {
        read(place, |name| std::env::var_os(name)).map_err(|why| format!("{}: {why}", shown(place)))
    })
}

/// A secret's place, for people.
pub(crate) fn shown(place: &SecretRef) -> String {
    match place {
        SecretRef::Environment(name) => format!("${name}"),
        SecretRef::File(path) => path.display().to_string(),
        SecretRef::Credential(name) => format!("the credential {name}"),
        SecretRef::Stored(name) => format!("the stored secret {name}"),
    }
}

fn read(
    place: &SecretRef,
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<Secret, String> {
    match place {
        SecretRef::Environment(name) => {
            let value = variable(name).ok_or("is not set in the environment")?;
            let value = value.into_string().map_err(|_| "is not text")?;
            Ok(Secret::new(value))
        }
        SecretRef::File(path) => read_file(path),
        SecretRef::Credential(name) => {
            let folder = variable("CREDENTIALS_DIRECTORY")
                .ok_or("$CREDENTIALS_DIRECTORY is not set: the service manager gave none")?;
            if name.is_empty() || name.contains('/') || name.starts_with('.') {
                return Err("is no credential's name".to_owned());
            }
            read_file(&Path::new(&folder).join(name))
        }
        SecretRef::Stored(_) => Err("the encrypted store is not open here".to_owned()),
    }
}

fn read_file(path: &Path) -> Result<Secret, String> {
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(SECRET_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("has more than {SECRET_BYTES_MAX} bytes"));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_where_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "one\ntwo\n").unwrap();
        let home = folder.path().as_os_str().to_owned();
        let variable = |name: &str| match name {
            "CREDENTIALS_DIRECTORY" => Some(home.clone()),
            "TOKEN" => Some("t".into()),
            _ => None,
        };
        let read =
            |place: SecretRef| read(&place, variable).map(|secret| secret.reveal().to_owned());
        assert_eq!(
            read(SecretRef::Environment("TOKEN".to_owned())),
            Ok("t".to_owned())
        );
        assert_eq!(
            read(SecretRef::Credential("key".to_owned())),
            Ok("one\ntwo".to_owned())
        );
        assert_eq!(
            read(SecretRef::File(folder.path().join("key"))),
            Ok("one\ntwo".to_owned())
        );
        for none in [
            SecretRef::Environment("ABSENT".to_owned()),
            SecretRef::Credential("../key".to_owned()),
            SecretRef::File("/nowhere".into()),
            SecretRef::Stored("x".to_owned()),
        ] {
            assert!(read(none.clone()).is_err(), "{none:?}");
        }
    }
}
