//! Where a secret is kept, as it is written: `{env: NAME}`, `{file: PATH}`, `{credential: NAME}` or `{secret: NAME}`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::secret::{SecretRef, is_stored_name};

/// A place of a secret; exactly one of the four keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Keys")]
pub(super) struct SecretRefDocument(SecretRef);

impl SecretRefDocument {
    /// The place; `absolute` says where a file of a relative path is.
    pub(super) fn place(&self, absolute: impl Fn(&Path) -> PathBuf) -> SecretRef {
        match &self.0 {
            SecretRef::File(path) => SecretRef::File(absolute(path)),
            other => other.clone(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    env: Option<String>,
    file: Option<PathBuf>,
    credential: Option<String>,
    secret: Option<String>,
}

impl TryFrom<Keys> for SecretRefDocument {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let given = [
            keys.env.map(SecretRef::Environment),
            keys.file.map(SecretRef::File),
            keys.credential.map(SecretRef::Credential),
            keys.secret.map(SecretRef::Stored),
        ];
        let mut given = given.into_iter().flatten();
        let (Some(one), None) = (given.next(), given.next()) else {
            let rule = "a secret has exactly one of env, file, credential and secret";
            return Err(format!("{rule}; write it like {{env: NAME}}"));
        };
        let fault = match &one {
            SecretRef::Environment(name) if name.is_empty() || name.contains(['=', '\0']) => {
                "is not a variable's name"
            }
            SecretRef::File(path) if path.as_os_str().is_empty() => "is not a path",
            SecretRef::Credential(name) if name.contains('/') || !is_stored_name(name) => {
                "is not a credential's name"
            }
            SecretRef::Stored(name) if !is_stored_name(name) => {
                "is not a name: letters, digits and . _ - are, and / between them"
            }
            _ => return Ok(Self(one)),
        };
        Err(format!("`{one}` {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SecretRef, String> {
        let document: SecretRefDocument =
            serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        Ok(document.place(|path| Path::new("/base").join(path)))
    }

    #[test]
    fn a_place_is_exactly_one_of_four() {
        let name = || "NAME".to_owned();
        assert_eq!(read("{env: NAME}"), Ok(SecretRef::Environment(name())));
        assert_eq!(
            read("{credential: NAME}"),
            Ok(SecretRef::Credential(name()))
        );
        assert_eq!(read("{secret: NAME}"), Ok(SecretRef::Stored(name())));
        assert_eq!(read("{file: a}"), Ok(SecretRef::File("/base/a".into())));
        assert_eq!(read("{file: /a}"), Ok(SecretRef::File("/a".into())));
        for (text, part) in [
            ("{}", "exactly one"),
            ("{env: A, file: b}", "exactly one"),
            ("{enviroment: A}", "enviroment"),
            ("{env: A=B}", "variable's name"),
            ("{env: ''}", "variable's name"),
            ("{credential: ../x}", "credential's name"),
            ("{secret: a/../b}", "is not a name"),
            ("text", ""),
        ] {
            let said = read(text).expect_err(text);
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}
