//! What a request is about, and what a rule is about.

use std::collections::HashSet;

use super::argument::Truth;
use super::spec::What;
use crate::mcp::{List, Method};
use crate::policy::pattern::{Fit, Pattern};

/// A request, as far as rules ask. Everything comes from the body, decoded, and never from a header.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The method.
    pub method: Method,
    /// The tool, under the name that clients know.
    pub tool: Option<&'r str>,
    /// The upstream that has what it is about.
    pub upstream: Option<&'r str>,
    /// The component that has what it is about.
    pub component: Option<&'r str>,
    /// The address of a resource, or the text of a template.
    pub resource: Option<&'r str>,
    /// The prompt, under the name that clients know.
    pub prompt: Option<&'r str>,
    /// The text of the arguments object, validated; none counts as an empty one.
    pub arguments: Option<&'r [u8]>,
}

impl<'r> Request<'r> {
    /// A request that is about nothing in particular.
    pub fn new(method: Method) -> Self {
        Self {
            method,
            tool: None,
            upstream: None,
            component: None,
            resource: None,
            prompt: None,
            arguments: None,
        }
    }

    /// The request that uses an entry of a list.
    pub(super) fn to_use(list: List, name: &'r str, owner: Owned<'r>) -> Option<Self> {
        let (method, tool, resource, prompt) = match list {
            List::Tools => (Method::CallTool, Some(name), None, None),
            List::Resources | List::Templates => (Method::ReadResource, None, Some(name), None),
            List::Prompts => (Method::GetPrompt, None, None, Some(name)),
            List::Tasks => return None,
        };
        let (component, upstream) = match owner {
            Owned::Component(name) => (Some(name), None),
            Owned::Upstream(name) => (None, Some(name)),
        };
        Some(Self {
            tool,
            resource,
            prompt,
            component,
            upstream,
            ..Self::new(method)
        })
    }

    /// Whether it touches nothing that anybody owns: the protocol's own round.
    pub(super) fn is_basic(&self) -> bool {
        let uses = matches!(
            self.method,
            Method::CallTool
                | Method::ReadResource
                | Method::GetPrompt
                | Method::Complete
                | Method::Subscribe
                | Method::Unsubscribe
        );
        !uses && self.tool.is_none() && self.resource.is_none() && self.prompt.is_none()
    }
}

/// Whose an entry of a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owned<'o> {
    /// A component's.
    Component(&'o str),
    /// An upstream's.
    Upstream(&'o str),
}

/// Compiled [`What`].
#[derive(Clone, Debug)]
pub(super) struct Target {
    what: What,
    has_name: bool,
    has_owner: bool,
    /// Tools that are named without a wildcard.
    exact_tools: HashSet<Box<str>>,
}

impl Target {
    pub(super) fn new(what: &What) -> Self {
        let mut what = what.clone();
        let has_name =
            !(what.tools.is_empty() && what.resources.is_empty() && what.prompts.is_empty());
        let exact = what
            .tools
            .iter()
            .filter_map(|tool| tool.exact().map(Into::into));
        let exact_tools = exact.collect();
        what.tools.retain(|tool| tool.exact().is_none());
        Self {
            has_name,
            has_owner: !(what.upstreams.is_empty() && what.components.is_empty()),
            what,
            exact_tools,
        }
    }

    /// The methods that it may be about, as bits.
    pub(super) fn methods(&self) -> u32 {
        let wanted = |method: &Method| {
            self.what.methods.is_empty()
                || self
                    .what
                    .methods
                    .iter()
                    .any(|one| one.matches(method.name()))
        };
        let bits = Method::all().filter(wanted);
        bits.fold(0, |bits, method| bits | bit(method))
    }

    /// Whether it names tools, resources and prompts.
    pub(super) fn names(&self) -> [bool; 3] {
        let what = &self.what;
        [
            !(what.tools.is_empty() && self.exact_tools.is_empty()),
            !what.resources.is_empty(),
            !what.prompts.is_empty(),
        ]
    }

    /// If it is about tools that are named without a wildcard and nothing else, these.
    pub(super) fn only_tools(&self) -> Option<impl Iterator<Item = &str>> {
        let what = &self.what;
        let only = !self.exact_tools.is_empty()
            && what.tools.is_empty()
            && what.resources.is_empty()
            && what.prompts.is_empty();
        only.then(|| self.exact_tools.iter().map(|name| &**name))
    }

    /// Whether the request is about one of these things; the method is not looked at. `is_template`: what stands for the
    /// resource is the text of a template.
    pub(super) fn fits(&self, request: &Request<'_>, is_template: bool) -> Truth {
        if self.has_owner {
            let is_one = |patterns: &[Pattern], name: Option<&str>| {
                name.is_some_and(|name| patterns.iter().any(|one| one.matches(name)))
            };
            if !is_one(&self.what.upstreams, request.upstream)
                && !is_one(&self.what.components, request.component)
            {
                return Truth::No;
            }
        }
        if !self.has_name {
            return Truth::Yes;
        }
        let any = |patterns: &[Pattern], name: &str| match patterns.iter().any(|p| p.matches(name))
        {
            true => Truth::Yes,
            false => Truth::No,
        };
        if let Some(tool) = request.tool {
            return match self.exact_tools.contains(tool) {
                true => Truth::Yes,
                false => any(&self.what.tools, tool),
            };
        }
        if let Some(uri) = request.resource {
            let fits = |one: &Pattern| match is_template {
                true => template_fits(one, uri),
                false => address_fits(one, uri),
            };
            let best = self.what.resources.iter().map(fits).max();
            return best.unwrap_or(Truth::No);
        }
        match request.prompt {
            Some(prompt) => any(&self.what.prompts, prompt),
            None => Truth::No,
        }
    }
}

/// The bit of a method.
pub(super) fn bit(method: Method) -> u32 {
    1 << (method as u32)
}

/// Whether an address matches; of one that another reader may take for another address, nobody knows.
fn address_fits(pattern: &Pattern, uri: &str) -> Truth {
    if pattern.is_any() {
        return Truth::Yes;
    }
    if is_ambiguous(uri) {
        return Truth::Unsure;
    }
    match pattern.fit(uri) {
        Fit::Yes => Truth::Yes,
        Fit::No => Truth::No,
        Fit::Untried => Truth::Unsure,
    }
}

/// Whether some address that the template makes may match. Each address is asked about again once it is used.
fn template_fits(pattern: &Pattern, template: &str) -> Truth {
    let start = &template[..template.find('{').unwrap_or(template.len())];
    let literal = pattern.literal_start();
    if pattern.matches(template) {
        return Truth::Yes;
    }
    match start.starts_with(literal) || literal.starts_with(start) {
        true => Truth::Unsure,
        false => Truth::No,
    }
}

/// Schemes whose hosts are the same in any case, and may have a user and a port that say nothing.
const OF_HOSTS: [&str; 5] = ["http", "https", "ws", "wss", "ftp"];

/// Whether some reader takes an address for another one.
///
/// Source: RFC 3986 section 6.2; RFC 8089 appendix B; the URL standard's parser.
pub(super) fn is_ambiguous(uri: &str) -> bool {
    let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
    let hierarchy = rest.strip_prefix("//");
    let (authority, path) = match hierarchy {
        Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
        None => ("", rest),
    };
    scheme.bytes().any(|byte| byte.is_ascii_uppercase())
        || uri.bytes().any(|byte| byte.is_ascii_control())
        || uri.trim() != uri
        || uri.contains(['\\', '#'])
        || has_needless_escape(uri)
        || path.contains("//")
        || (OF_HOSTS.contains(&scheme) && is_odd_host(authority))
        || (scheme == "file" && (hierarchy.is_none() || !authority.is_empty()))
        || (scheme == "file" && path.contains('?'))
        || has_dot_segment(uri)
}

/// Whether a host is written as it need not be: in upper case, with a user, with the port that it has anyway, with a dot at its end.
fn is_odd_host(authority: &str) -> bool {
    let is_odd = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'@' | b'%');
    authority.bytes().any(is_odd)
        || [":", ":80", ":443", ":21", "."]
            .iter()
            .any(|end| authority.ends_with(end))
}

/// Whether something is escaped that stands for itself, or separates: it is the same to whoever decodes it, and another to whoever
/// does not.
fn has_needless_escape(uri: &str) -> bool {
    let mut rest = uri.as_bytes();
    while let Some(at) = memchr::memchr(b'%', rest) {
        rest = &rest[at + 1..];
        let Some((byte, _)) = escaped(rest) else {
            continue;
        };
        if byte.is_ascii_alphanumeric() || b"-._~/\\%".contains(&byte) {
            return true;
        }
    }
    false
}

/// Whether a path may lead elsewhere than it says, to whoever wrote this pattern: dot segments, empty ones, another system's
/// separators.
pub(super) fn is_unclear_path(pattern: &str, path: &str) -> bool {
    let is_new = |text: &str| path.contains(text) && !pattern.contains(text);
    is_new("//") || is_new("\\") || is_new("/") || has_dot_segment(path)
}

/// Whether a path has `.` or `..` in it, however they and the slashes are spelt, or a NUL, where some readers stop.
fn has_dot_segment(path: &str) -> bool {
    // Nearly all have neither.
    if memchr::memchr3(b'.', b'%', 0, path.as_bytes()).is_none() {
        return false;
    }
    let (mut dots, mut others) = (0_usize, 0_usize);
    let mut bytes = path.as_bytes();
    while let Some((byte, rest)) = bytes.split_first() {
        let (byte, rest) = match (byte, rest) {
            // What is escaped twice is decoded by some twice: `%252e`.
            (b'%', rest) => escaped(rest).unwrap_or((b'%', rest)),
            (byte, rest) => (*byte, rest),
        };
        bytes = rest;
        match byte {
            0 => return true,
            b'/' | b'\\' | b'?' | b'#' | b';' => {
                if others == 0 && (1..=2).contains(&dots) {
                    return true;
                }
                (dots, others) = (0, 0);
            }
            b'.' => dots += 1,
            _ => others += 1,
        }
    }
    others == 0 && (1..=2).contains(&dots)
}

/// The byte that `2e`, `252e`, `25252e` … stand for after a percent sign, and what follows.
fn escaped(mut rest: &[u8]) -> Option<(u8, &[u8])> {
    while let Some(after) = rest.strip_prefix(b"25") {
        rest = after;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low, after @ ..] = rest else {
        return None;
    };
    let value = digit(*high)? * 16 + digit(*low)?;
    Some((value as u8, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_found_however_they_are_spelt() {
        for path in [
            "/srv/../etc",
            "..",
            "/a/.",
            "/srv/%2e%2e/etc",
            "/srv/.%2E/etc",
            "/srv/%252e%252e/x",
            "/srv%2f..%2fetc",
            "\\srv\\..\\x",
            "/a\0b",
            "/a/%00",
            "/srv/..;x/y",
        ] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in [
            "/srv/a..b",
            "/srv/...",
            "/srv/.hidden",
            "/50%",
            "/a%20b",
            "/x.txt",
            "",
        ] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }

    #[test]
    fn an_address_in_other_letters_or_with_dots_is_in_doubt() {
        let pattern = Pattern::new("file:///srv/*");
        assert_eq!(address_fits(&pattern, "file:///srv/x"), Truth::Yes);
        assert_eq!(address_fits(&pattern, "file:///etc/x"), Truth::No);
        for uri in [
            "FILE:///srv/x",
            "file:///srv/%2e%2e/etc",
            "file:///srv/\n",
            "file:///%73rv/x",
            "file:///srv%2Fx",
            "file:////srv/x",
            "file:///srv//x",
            "file:///srv\\x",
            "file:/srv/x",
            "file://localhost/srv/x",
            " file:///srv/x",
            "file:///srv/x#",
            "file:///srv/x?",
            "https://EXAMPLE.com/x",
            "https://u@example.com/x",
            "https://example.com:443/x",
            "https://example.com./x",
        ] {
            assert_eq!(address_fits(&pattern, uri), Truth::Unsure, "{uri}");
            assert_eq!(address_fits(&Pattern::new("*"), uri), Truth::Yes);
        }
        for uri in [
            "file:///srv/a%20b.txt",
            "http://localhost:8080/x?y=1",
            "http://[::1]:8080/x",
            "github://Owner/Repo/x",
            "test://template/1/data",
            "note:Monday",
            "data:,100%",
        ] {
            assert!(!is_ambiguous(uri), "{uri}");
        }
    }
}
