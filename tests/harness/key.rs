//! API keys as an operator makes them.

use std::process::Command;

use super::binary;

/// One key.
pub struct Key {
    pub name: String,
    /// What its owner shows.
    pub text: String,
    /// What a configuration has of it.
    pub hash: String,
}

impl Key {
    /// Made by `margay key new`.
    pub fn new(name: &str) -> Self {
        let output = Command::new(binary())
            .args(["key", "new", name])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let word = |prefix: &str| {
            let mut words =
                text.split(|letter: char| letter.is_whitespace() || "{},'\"".contains(letter));
            let found = words.find(|word| word.starts_with(prefix));
            found
                .unwrap_or_else(|| panic!("no {prefix} in {text}"))
                .to_owned()
        };
        Self {
            name: name.to_owned(),
            text: word("mgy_"),
            hash: word("sha256:"),
        }
    }

    /// Its entry in a configuration, with more keys, each behind a comma.
    pub fn entry(&self, more: &str) -> String {
        format!("{{name: {}, hash: '{}'{more}}}", self.name, self.hash)
    }

    /// The header line that shows it.
    pub fn header(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.text)
    }
}
