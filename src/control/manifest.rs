//! A manifest of components: what is served, with a digest and permissions for each, without anybody loading it by hand.
//!
//! The format is the one of Wassette's headless mode. Components are files of this machine: nothing is fetched here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::config::{self, read_text};
use super::store::{digest, read_component};
use crate::error::{Problem, exit};
use crate::limits::Limits;
use crate::policy::permission::{Permissions, Policy, Remark, Use};

/// The only version there is.
const VERSION: u64 = 1;

/// One component of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provision {
    /// The name that it has here: the manifest's, or the file's without its ending.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// What its bytes must have, in hexadecimal.
    pub sha256: Option<String>,
    /// What it may reach.
    pub policy: Arc<Policy>,
    /// What the manifest says of it and has no effect.
    remarks: Vec<Remark>,
}

impl Provision {
    /// Logs what has no effect.
    pub fn tell_remarks(&self, manifest: &Path) {
        for remark in &self.remarks {
            tracing::warn!(manifest = %manifest.display(), line = remark.line, "{}", remark.text);
        }
    }

    /// The component's bytes, checked.
    ///
    /// Errors: they cannot be read, are no component's, or have another digest.
    pub fn read(&self, limits: &Limits) -> Result<Vec<u8>, Problem> {
        let bytes = read_component(&self.path, limits.component_bytes_max)?;
        let Some(expected) = &self.sha256 else {
            return Ok(bytes);
        };
        let found = digest(&bytes);
        if *expected == found {
            return Ok(bytes);
        }
        Err(Problem::operator(
            exit::DATA,
            format!("component {}", self.path.display()),
            format!("sha256:{found}"),
            format!("is not the digest of the manifest, sha256:{expected}"),
            "serve the file that was meant, or change the manifest if this one is",
        ))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: Spanned<u64>,
    components: Spanned<Vec<Spanned<Entry>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    uri: Spanned<String>,
    name: Option<Spanned<String>>,
    digest: Option<Spanned<String>>,
    permissions: Permissions,
    retry_policy: Option<Spanned<RetryPolicy>>,
}

/// How often a fetch is tried. A file is there or it is not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryPolicy {
    #[serde(rename = "attempts")]
    _attempts: Option<u32>,
    #[serde(rename = "backoff")]
    _backoff: Option<Backoff>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Backoff {
    Exponential {
        #[serde(rename = "base_ms")]
        _base_ms: u64,
    },
    Linear {
        #[serde(rename = "increment_ms")]
        _increment_ms: u64,
    },
}

/// Reads a manifest.
///
/// Errors: it cannot be read; the first thing that is wrong in it, with its line.
pub fn read(path: &Path) -> Result<Vec<Provision>, Problem> {
    parse(&read_text(path)?, path)
}

fn parse(text: &str, path: &Path) -> Result<Vec<Provision>, Problem> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        reject_unsupported_tags: true,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
    };
    let document: Document = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| config::invalid(path, &error))?;
    let reader = Reader { path };
    if document.version.value != VERSION {
        let given = document.version.value.to_string();
        return Err(reader.wrong(
            document.version.referenced.line(),
            "version",
            &given,
            "is not read here",
            "write version: 1",
        ));
    }
    if document.components.value.is_empty() {
        let line = document.components.referenced.line();
        return Err(reader.wrong(line, "components", "", "is empty", "name a component"));
    }
    let (mut names, mut files) = (BTreeSet::new(), BTreeSet::new());
    let mut provisions = Vec::new();
    for entry in &document.components.value {
        let provision = reader.provision(&entry.value)?;
        let line = entry.referenced.line();
        if !files.insert(provision.path.clone()) {
            let uri = &entry.value.uri.value;
            return Err(reader.wrong(line, "uri", uri, "stands above already", "keep one of them"));
        }
        if !names.insert(provision.name.clone()) {
            let rule = "is the name of another component above";
            return Err(reader.wrong(
                line,
                "name",
                &provision.name,
                rule,
                "give one of them another name",
            ));
        }
        provisions.push(provision);
    }
    Ok(provisions)
}

struct Reader<'p> {
    path: &'p Path,
}

impl Reader<'_> {
    fn provision(&self, entry: &Entry) -> Result<Provision, Problem> {
        let file = self.file(&entry.uri)?;
        let stem = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let whole = std::path::absolute(self.path).unwrap_or_else(|_| self.path.to_owned());
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let base = whole.parent().unwrap_or(&whole);
        let policy = Policy::of(Some(&entry.permissions), &name, base, Use::Grant)
            .map_err(|fault| fault.into_problem(exit::CONFIG))?;
        let retry = entry.retry_policy.as_ref();
        let retry = retry.map(|retry| Remark {
            line: retry.referenced.line(),
            text: "retry_policy has no effect: nothing is fetched".to_owned(),
        });
        let remarks = retry.into_iter().chain(policy.remarks().iter().cloned());
        Ok(Provision {
            name: entry.name.as_ref().map_or(stem, |name| name.value.clone()),
            path: file,
            sha256: entry
                .digest
                .as_ref()
                .map(|given| self.digest(given))
                .transpose()?,
            remarks: remarks.collect(),
            policy: Arc::new(policy),
        })
    }

    fn file(&self, uri: &Spanned<String>) -> Result<PathBuf, Problem> {
        let wrong = |rule: &str, remedy: &str| {
            Err(self.wrong(uri.referenced.line(), "uri", &uri.value, rule, remedy))
        };
        const FORM: &str = "write it like file:///srv/margay/weather.wasm";
        let Ok(url) = url::Url::parse(&uri.value) else {
            return wrong("is not an address", FORM);
        };
        match url.scheme() {
            "file" => {}
            "oci" => {
                let remedy = "pull it to a file first (`wkg oci pull REF -o FILE.wasm`), and write file:///… and its digest here";
                return wrong("is in a registry, and margay fetches no components", remedy);
            }
            "https" | "http" => {
                let remedy = "download it first (`curl -o FILE.wasm URL`), and write file:///… and its digest here";
                return wrong("is elsewhere, and margay fetches no components", remedy);
            }
            _ => return wrong("has a scheme that is not known", FORM),
        }
        match url.to_file_path() {
            Ok(path)
                if url.query().is_none()
                    && url.fragment().is_none()
                    && path.file_stem().is_some() =>
            {
                Ok(path)
            }
            _ => wrong("is not the absolute path of a file of this machine", FORM),
        }
    }

    fn digest(&self, given: &Spanned<String>) -> Result<String, Problem> {
        let hex = given
            .value
            .strip_prefix("sha256:")
            .map(str::to_ascii_lowercase);
        hex.filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .ok_or_else(|| {
                let rule = "is not a digest";
                self.wrong(
                    given.referenced.line(),
                    "digest",
                    &given.value,
                    rule,
                    "write sha256: and 64 hexadecimal digits (`sha256sum FILE`)",
                )
            })
    }

    fn wrong(&self, line: u64, key: &str, value: &str, rule: &str, remedy: &str) -> Problem {
        let thing = format!("{} line {line}: {key}", self.path.display());
        Problem::operator(exit::CONFIG, thing, value, rule, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::permission::{Ask, Decide};

    fn of(text: &str) -> Result<Vec<Provision>, Problem> {
        parse(text, Path::new("/etc/m.yaml"))
    }

    #[test]
    fn a_manifest_as_wassette_reads_it_is_read() {
        let digest = "a".repeat(64);
        let text = format!(
            "version: 1\ncomponents:\n  - uri: file:///srv/w%20x.wasm\n    digest: sha256:{digest}\n    permissions:\n      network: {{allow: [{{host: api.x.com}}]}}\n      environment: {{allow: [{{key: API_KEY, value_from: PROD}}]}}\n      resources: {{memory_bytes: 67108864, cpu_time_ms: 500}}\n    retry_policy: {{attempts: 3, backoff: {{type: exponential, base_ms: 100}}}}\n  - {{uri: file:///srv/b.wasm, name: other, permissions: {{}}}}\n"
        );
        let read = of(&text).unwrap();
        assert_eq!(
            (read[0].name.as_str(), read[0].path.as_path()),
            ("w x", Path::new("/srv/w x.wasm"))
        );
        assert_eq!(
            (read[0].sha256.as_deref(), read[1].name.as_str()),
            (Some(digest.as_str()), "other")
        );
        assert_eq!(
            (
                read[0].policy.budgets().memory_bytes,
                read[0].policy.budgets().cpu_time_ms
            ),
            (Some(64 << 20), Some(500))
        );
        assert!(
            read[0]
                .policy
                .decide(&Ask::Resolve { name: "api.x.com" })
                .is_allowed
        );
        assert!(
            !read[1]
                .policy
                .decide(&Ask::Resolve { name: "api.x.com" })
                .is_allowed
        );
    }

    #[test]
    fn what_is_wrong_in_a_manifest_is_told_with_its_line() {
        for (text, words) in [
            (
                "version: 2\ncomponents: [{uri: file:///a.wasm, permissions: {}}]",
                "line 1: version",
            ),
            ("version: 1\ncomponents: []", "is empty"),
            (
                "version: 1\ncomponents:\n- {uri: file:///a.wasm}",
                "permissions",
            ),
            (
                "version: 1\ncomponents:\n- {uri: oci://ghcr.io/x/y:1, permissions: {}}",
                "wkg oci pull",
            ),
            (
                "version: 1\ncomponents:\n- {uri: https://x/y.wasm, permissions: {}}",
                "curl -o",
            ),
            (
                "version: 1\ncomponents:\n- {uri: a.wasm, permissions: {}}",
                "file:///",
            ),
            (
                "version: 1\ncomponents:\n- {uri: file://host/a.wasm, permissions: {}}",
                "absolute",
            ),
            (
                "version: 1\ncomponents:\n- {uri: file:///a.wasm, permissions: {}, digest: abc}",
                "line 3: digest",
            ),
            (
                "version: 1\ncomponents:\n- {uri: file:///a.wasm, permissions: {}}\n- {uri: file:///a.wasm, permissions: {}}",
                "line 4: uri",
            ),
            (
                "version: 1\ncomponents:\n- {uri: file:///a.wasm, permissions: {}}\n- {uri: file:///b/a.wasm, permissions: {}}",
                "line 4: name",
            ),
            (
                "version: 1\ncomponents:\n- {uri: file:///a.wasm, permissions: {netwrok: {}}}",
                "did you mean `network`",
            ),
            (
                "version: 1\ncomponents:\n- {uri: file:///a.wasm, permissions: {network: {allow: [{host: \"\"}]}}}",
                "line 3",
            ),
        ] {
            let problem = of(text).expect_err(text).to_string();
            assert!(problem.contains(words), "{words}: {problem}");
        }
    }
}
