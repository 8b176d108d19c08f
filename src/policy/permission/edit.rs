//! Changing a policy file: one line granted or taken back, everything else left as a person wrote it.
//!
//! A change is made twice: on what the document says, and on its lines. The lines are used if they then say the same; where they are written
//! in a way that this does not know (braces around a list, anchors), the document is written anew and its comments are lost, which is told.

use serde_json::{Map, Value, json};

use super::ask::Access;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Allow this access to an `fs://` address, beside what is allowed already.
    GrantStorage {
        /// The address.
        uri: String,
        /// Reading, writing or both.
        access: Vec<Access>,
    },
    /// Allow a host.
    GrantNetwork {
        /// As `host:` has it.
        host: String,
    },
    /// Allow a variable.
    GrantEnvironment {
        /// Its name.
        key: String,
    },
    /// Bound the memory.
    GrantMemory {
        /// As `512Mi`.
        limit: String,
    },
    /// Take every access to an address back.
    RevokeStorage {
        /// The address, as it was granted.
        uri: String,
    },
    /// Take a host back.
    RevokeNetwork {
        /// As it was granted.
        host: String,
    },
    /// Take a variable back.
    RevokeEnvironment {
        /// Its name.
        key: String,
    },
    /// Take everything back.
    Reset,
}

/// A policy file that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// Its new text.
    pub text: String,
    /// Whether comments of the old one are not in it.
    pub lost_comments: bool,
    /// Whether it says anything else than before.
    pub is_changed: bool,
}

/// Nothing was there to be taken back, or the document is not a policy's: its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nowhere {
    /// What is granted instead.
    pub granted: Vec<String>,
}

/// What a change does to one list.
struct Step {
    section: &'static str,
    /// The key that tells entries apart, and its value.
    key: &'static str,
    value: String,
    /// The whole entry; none takes it away.
    entry: Option<Value>,
}

/// Changes the text of a policy that was read without a fault; an empty text is that of a policy to begin.
///
/// Errors: nothing grants what is to be taken back.
pub fn edit(text: &str, change: &Change) -> Result<Edited, Nowhere> {
    let is_new = text.trim().is_empty();
    let start = "version: \"1.0\"\npermissions: {}\n";
    let text = if is_new { start } else { text };
    let before: Value = serde_saphyr::from_str(text).map_err(|_| Nowhere {
        granted: Vec::new(),
    })?;
    let mut after = before.clone();
    let lines = match change {
        Change::Reset => {
            after["permissions"] = json!({});
            without_permissions(text)
        }
        Change::GrantMemory { limit } => {
            let resources = section(&mut after, "resources");
            resources.remove("memory");
            resources.remove("memory_bytes");
            let limits = resources.entry("limits").or_insert_with(|| json!({}));
            if limits.is_null() {
                *limits = json!({});
            }
            limits["memory"] = json!(limit);
            with_memory(text, limit)
        }
        _ => {
            let step = step(&after, change);
            apply(text, &mut after, &step)?
        }
    };
    if before == after {
        return Ok(Edited {
            text: text.to_owned(),
            lost_comments: false,
            is_changed: is_new,
        });
    }
    let says_the_same =
        |lines: &String| serde_saphyr::from_str::<Value>(lines).is_ok_and(|said| said == after);
    let is_commented = text.lines().any(|line| line.contains('#'));
    Ok(match lines.filter(says_the_same) {
        Some(text) => Edited {
            text,
            lost_comments: false,
            is_changed: true,
        },
        None => Edited {
            text: serde_saphyr::to_string(&after).unwrap_or_else(|_| format!("{after}\n")),
            lost_comments: is_commented,
            is_changed: true,
        },
    })
}

fn step(document: &Value, change: &Change) -> Step {
    let of = |section, key, value: &String, entry| Step {
        section,
        key,
        value: value.clone(),
        entry,
    };
    match change {
        Change::GrantNetwork { host } => of("network", "host", host, Some(json!({"host": host}))),
        Change::GrantEnvironment { key } => {
            of("environment", "key", key, Some(json!({"key": key})))
        }
        Change::GrantStorage { uri, access } => {
            let list = document
                .pointer("/permissions/storage/allow")
                .and_then(Value::as_array);
            let own = list
                .into_iter()
                .flatten()
                .find(|entry| entry["uri"] == **uri);
            let has = |word: &str| {
                let words = own.and_then(|entry| entry["access"].as_array());
                words.is_some_and(|words| words.iter().any(|own| own == word))
            };
            let mut words = Vec::new();
            for (access_of, word) in [(Access::Read, "read"), (Access::Write, "write")] {
                if has(word) || access.contains(&access_of) {
                    words.push(word);
                }
            }
            of(
                "storage",
                "uri",
                uri,
                Some(json!({"uri": uri, "access": words})),
            )
        }
        Change::RevokeStorage { uri } => of("storage", "uri", uri, None),
        Change::RevokeNetwork { host } => of("network", "host", host, None),
        Change::RevokeEnvironment { key } => of("environment", "key", key, None),
        Change::GrantMemory { .. } | Change::Reset => of("", "", &String::new(), None),
    }
}

/// The section of the document, made if it is not there.
fn section<'d>(document: &'d mut Value, name: &str) -> &'d mut Map<String, Value> {
    object(
        object(object(document).entry("permissions").or_insert(Value::Null))
            .entry(name)
            .or_insert(Value::Null),
    )
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object above"),
    }
}

/// Changes the document, and says how its lines would be changed, if they can be.
fn apply(text: &str, document: &mut Value, step: &Step) -> Result<Option<String>, Nowhere> {
    let list = section(document, step.section)
        .entry("allow")
        .or_insert_with(|| json!([]));
    if list.is_null() {
        *list = json!([]);
    }
    let Value::Array(list) = list else {
        return Err(Nowhere {
            granted: Vec::new(),
        });
    };
    // Where a host has several lines, limits tell them apart: a grant is the one without, a revocation takes them all.
    let is_it = |entry: &Value| entry[step.key] == *step.value;
    let Some(new) = &step.entry else {
        let granted = list
            .iter()
            .filter_map(|entry| entry[step.key].as_str())
            .map(str::to_owned)
            .collect();
        let places: Vec<usize> = (0..list.len()).filter(|at| is_it(&list[*at])).collect();
        if places.is_empty() {
            return Err(Nowhere { granted });
        }
        list.retain(|entry| !is_it(entry));
        let mut lines = Some(text.to_owned());
        for at in places.iter().rev() {
            lines = lines.and_then(|text| Lines::of(&text).replaced(step.section, *at, None));
        }
        return Ok(lines);
    };
    let is_merged = step.section == "storage";
    let place = list.iter().position(|entry| {
        if is_merged {
            is_it(entry)
        } else {
            entry == new
        }
    });
    match place {
        Some(at) if list[at] == *new => Ok(None),
        Some(at) => {
            list[at] = new.clone();
            Ok(Lines::of(text).replaced(step.section, at, Some(new)))
        }
        None => {
            list.push(new.clone());
            Ok(Lines::of(text).added(step.section, new))
        }
    }
}

/// The lines of a document in block style.
struct Lines<'t>(Vec<&'t str>);

/// A key and what is below it.
#[derive(Clone, Copy)]
struct Block {
    line: usize,
    /// Past its last line that is neither empty nor a comment.
    end: usize,
    indent: usize,
}

fn indent_of(line: &str) -> Option<usize> {
    let trimmed = line.trim_start_matches(' ');
    (!trimmed.is_empty() && !trimmed.starts_with('#')).then_some(line.len() - trimmed.len())
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        Self(text.lines().collect())
    }

    /// The key's block within the lines of another. A sequence may stand at its key's own indent.
    fn block(&self, within: Option<Block>, key: &str) -> Option<Block> {
        let (from, to) = within.map_or((0, self.0.len()), |block| (block.line + 1, block.end));
        let indent = self
            .0
            .get(from..to)?
            .iter()
            .find_map(|line| indent_of(line))?;
        let is_key = |line: &str| {
            indent_of(line) == Some(indent) && line.trim_start().starts_with(&format!("{key}:"))
        };
        let line = from + self.0[from..to].iter().position(|line| is_key(line))?;
        let mut end = line + 1;
        for at in line + 1..to {
            match indent_of(self.0[at]) {
                None => {}
                Some(deep)
                    if deep > indent
                        || (deep == indent && self.0[at].trim_start().starts_with('-')) =>
                {
                    end = at + 1
                }
                Some(_) => break,
            }
        }
        Some(Block { line, end, indent })
    }

    /// What stands behind the key in its own line, without a comment.
    fn value(&self, block: Block) -> &'t str {
        let (_, value) = self.0[block.line].split_once(':').unwrap_or_default();
        match value.trim() {
            comment if comment.starts_with('#') => "",
            value => value.split(" #").next().unwrap_or_default().trim_end(),
        }
    }

    /// Where the items of a sequence begin, and where the last ends.
    fn items(&self, list: Block) -> Option<(Vec<usize>, usize)> {
        let is_item = |at: &usize| self.0[*at].trim_start().starts_with('-');
        let mut lines = (list.line + 1..list.end).filter(|at| indent_of(self.0[*at]).is_some());
        let first = lines.next().filter(is_item)?;
        let indent = indent_of(self.0[first])?;
        let begins = (first..list.end).filter(|at| indent_of(self.0[*at]) == Some(indent));
        let begins: Vec<usize> = begins.collect();
        begins.iter().all(is_item).then_some((begins, indent))
    }

    fn joined(&self, replaced: std::ops::Range<usize>, new: &[String]) -> String {
        let (before, after) = (&self.0[..replaced.start], &self.0[replaced.end..]);
        let new = new.iter().map(String::as_str);
        let lines = before
            .iter()
            .copied()
            .chain(new)
            .chain(after.iter().copied());
        lines.fold(String::new(), |text, line| text + line + "\n")
    }

    /// The whole text with one entry more at the end of a section's allow list.
    fn added(&self, section: &str, entry: &Value) -> Option<String> {
        let permissions = self.block(None, "permissions")?;
        let item = |indent: usize| format!("{:indent$}- {entry}", "");
        // Keys above the list that are missing, each two columns further in.
        let nested = |keys: &[&str], indent: usize| {
            let mut lines: Vec<String> = Vec::new();
            for (deep, key) in keys.iter().enumerate() {
                lines.push(format!("{:width$}{key}:", "", width = indent + 2 * deep));
            }
            lines.push(item(indent + 2 * keys.len()));
            lines
        };
        let child = |block: Block| {
            let lines = self.0[block.line + 1..block.end].iter();
            lines
                .filter_map(|line| indent_of(line))
                .next()
                .unwrap_or(block.indent + 2)
        };
        let opened = |block: Block, keys: &[&str]| {
            // `permissions: {}` becomes `permissions:` with something below it.
            let line = self.0[block.line];
            let key = line.split(':').next().unwrap_or_default();
            let mut lines = vec![format!("{key}:")];
            lines.extend(nested(keys, block.indent + 2));
            Some(self.joined(block.line..block.end, &lines))
        };
        let is_empty = |block: Block| matches!(self.value(block), "{}" | "[]" | "null" | "~");
        if is_empty(permissions) {
            return opened(permissions, &[section, "allow"]);
        }
        let Some(found) = self.block(Some(permissions), section) else {
            return Some(self.joined(
                permissions.end..permissions.end,
                &nested(&[section, "allow"], child(permissions)),
            ));
        };
        if is_empty(found) {
            return opened(found, &["allow"]);
        }
        let Some(list) = self.block(Some(found), "allow") else {
            return Some(self.joined(found.end..found.end, &nested(&["allow"], child(found))));
        };
        if is_empty(list) {
            return opened(list, &[]);
        }
        let (_, indent) = self.items(list)?;
        Some(self.joined(list.end..list.end, &[item(indent)]))
    }

    /// The whole text with an entry of a section's allow list replaced or left out.
    fn replaced(&self, section: &str, at: usize, entry: Option<&Value>) -> Option<String> {
        let permissions = self.block(None, "permissions")?;
        let list = self.block(Some(self.block(Some(permissions), section)?), "allow")?;
        let (begins, indent) = self.items(list)?;
        let begin = *begins.get(at)?;
        let mut end = begins.get(at + 1).copied().unwrap_or(list.end);
        // Comments above the next entry are the next one's.
        while end > begin + 1 && indent_of(self.0[end - 1]).is_none() {
            end -= 1;
        }
        let new: Vec<String> = entry
            .iter()
            .map(|entry| format!("{:indent$}- {entry}", ""))
            .collect();
        if new.is_empty() && begins.len() == 1 {
            let empty = format!("{:width$}allow: []", "", width = list.indent);
            return Some(self.joined(list.line..end, &[empty]));
        }
        Some(self.joined(begin..end, &new))
    }
}

fn without_permissions(text: &str) -> Option<String> {
    let lines = Lines::of(text);
    let block = lines.block(None, "permissions")?;
    Some(lines.joined(block.line..block.end, &["permissions: {}".to_owned()]))
}

/// Only where a limit stands already, or no resources at all.
fn with_memory(text: &str, limit: &str) -> Option<String> {
    let lines = Lines::of(text);
    let permissions = lines.block(None, "permissions")?;
    let limit = json!(limit);
    let nested = |indent: usize| {
        ["resources:", "  limits:"]
            .iter()
            .map(|key| format!("{:indent$}{key}", ""))
            .chain([format!("{:indent$}    memory: {limit}", "")])
            .collect::<Vec<_>>()
    };
    if matches!(lines.value(permissions), "{}" | "null" | "~") {
        let mut new = vec!["permissions:".to_owned()];
        new.extend(nested(2));
        return Some(lines.joined(permissions.line..permissions.end, &new));
    }
    let Some(resources) = lines.block(Some(permissions), "resources") else {
        let child = lines.0[permissions.line + 1..permissions.end]
            .iter()
            .find_map(|line| indent_of(line))?;
        return Some(lines.joined(permissions.end..permissions.end, &nested(child)));
    };
    let memory = lines.block(Some(lines.block(Some(resources), "limits")?), "memory")?;
    let new = format!("{:width$}memory: {limit}", "", width = memory.indent);
    Some(lines.joined(memory.line..memory.end, &[new]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# whose\nversion: \"1.0\"\npermissions:\n  network:\n    allow:\n      # why a\n      - host: a.com\n      # why b\n      - host: b.com  # more\n        ports: [443]\n    deny:\n    - host: c.com\n  storage:\n    allow:\n    - {uri: \"fs://w\", access: [read]}\n";

    fn host(name: &str) -> Change {
        Change::GrantNetwork {
            host: name.to_owned(),
        }
    }

    #[test]
    fn a_grant_is_one_line_more_and_everything_else_stays() {
        let edited = edit(FILE, &host("*.d.com")).unwrap();
        assert!(!edited.lost_comments && edited.is_changed);
        let line = "        ports: [443]\n      - {\"host\":\"*.d.com\"}\n    deny:";
        assert!(edited.text.contains(line), "{}", edited.text);
        assert_eq!(
            edited.text.replace("      - {\"host\":\"*.d.com\"}\n", ""),
            FILE
        );
        assert!(!edit(&edited.text, &host("*.d.com")).unwrap().is_changed);
    }

    #[test]
    fn a_revocation_takes_the_entry_and_nobody_elses_comment() {
        let edited = edit(
            FILE,
            &Change::RevokeNetwork {
                host: "a.com".to_owned(),
            },
        )
        .unwrap();
        assert_eq!(edited.text, FILE.replace("      - host: a.com\n", ""));
        let edited = edit(
            &edited.text,
            &Change::RevokeNetwork {
                host: "b.com".to_owned(),
            },
        )
        .unwrap();
        assert!(
            edited.text.contains("    allow: []\n    deny:"),
            "{}",
            edited.text
        );
        let nowhere = edit(
            FILE,
            &Change::RevokeNetwork {
                host: "c.com".to_owned(),
            },
        )
        .unwrap_err();
        assert_eq!(nowhere.granted, ["a.com", "b.com"]);
    }

    #[test]
    fn access_to_storage_is_added_to_what_there_is() {
        let change = Change::GrantStorage {
            uri: "fs://w".to_owned(),
            access: vec![Access::Write],
        };
        let edited = edit(FILE, &change).unwrap();
        assert!(
            edited
                .text
                .ends_with("    - {\"uri\":\"fs://w\",\"access\":[\"read\",\"write\"]}\n"),
            "{}",
            edited.text
        );
        assert!(!edited.lost_comments);
    }

    #[test]
    fn a_file_in_another_style_is_written_anew_and_says_the_same_beside_the_change() {
        let flow = "# why\nversion: \"1.0\"\npermissions: {network: {allow: [{host: a.com}]}}\n";
        let edited = edit(flow, &host("b.com")).unwrap();
        assert!(edited.lost_comments);
        let said: Value = serde_saphyr::from_str(&edited.text).unwrap();
        let expected = json!({"version": "1.0", "permissions": {"network": {"allow": [{"host": "a.com"}, {"host": "b.com"}]}}});
        assert_eq!(said, expected);
    }

    #[test]
    fn every_change_of_every_beginning_says_what_the_change_of_the_document_says() {
        let beginnings = [
            "",
            "version: \"1.0\"\npermissions:\n",
            "version: \"1.0\"\npermissions: {}\ndescription: x\n",
            "version: \"1.0\"\npermissions:\n  network:\n  storage: {}\n  environment:\n    allow: []\ndescription: x\n",
            "version: \"1.0\"\npermissions:\n  resources: {memory: 1, cpu: 2}\n",
            FILE,
            "version: \"1.0\"\npermissions:\n  resources:\n    limits:\n      cpu: 1\n      memory: 1Mi # small\n",
        ];
        let changes = [
            host("a.b"),
            Change::GrantEnvironment {
                key: "K".to_owned(),
            },
            Change::GrantMemory {
                limit: "64Mi".to_owned(),
            },
            Change::GrantStorage {
                uri: "fs://x/**".to_owned(),
                access: vec![Access::Read, Access::Write],
            },
        ];
        let policy =
            |text: &str| super::super::Policy::parse(text, "p", std::path::Path::new("/b"));
        for beginning in beginnings {
            let mut text = beginning.to_owned();
            for change in &changes {
                let edited = edit(&text, change).unwrap();
                assert!(edited.is_changed, "{change:?}\n{text}");
                text = edited.text;
                policy(&text).unwrap_or_else(|fault| panic!("{fault}\n{text}"));
            }
            let read = policy(&text).unwrap();
            assert_eq!(read.budgets().memory_bytes, Some(64 << 20), "{text}");
            assert!(
                read.environment()
                    .iter()
                    .any(|variable| *variable.key == *"K")
                    && !read.roots().is_empty(),
                "{text}"
            );
            let reset = edit(&text, &Change::Reset).unwrap();
            assert_eq!(policy(&reset.text).unwrap().environment(), []);
        }
    }
}
