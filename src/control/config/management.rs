//! `management_tools:`, and the upstream that it makes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::{Config, ManagementTools, Parsed};
use crate::error::Problem;
use crate::upstream::naming::Prefix;
use crate::upstream::settings::{Command, Transport, Upstream};
use crate::upstream::stdio::ResourceLimits;

/// The name of the upstream that has the management tools.
const NAME: &str = "management";

/// This very program.
const SELF: &str = "/proc/self/exe";

impl Parsed<'_> {
    /// Adds what the choice needs to a configuration that is otherwise whole.
    ///
    /// Errors: there is no component directory that the tools could change, or no admin listener that could have them.
    pub(super) fn add_management(&self, config: &mut Config) -> Result<(), Problem> {
        let Some(given) = &self.document.management_tools else {
            return Ok(());
        };
        let line = Some(given.referenced.line());
        let refuse = |value: &str, rule: &str, remedy: &str| {
            Err(self.problem(line, "management_tools", value, rule, remedy))
        };
        config.management_tools = given.value;
        let word = match given.value {
            ManagementTools::Off => return Ok(()),
            ManagementTools::AdminListener => "admin-listener",
            ManagementTools::All => "all",
        };
        let Some(directory) = config.component_dir.clone() else {
            let rule = "changes the component directory, and here components are served from files";
            return refuse(
                word,
                rule,
                "load them into the directory: `margay component load FILE`",
            );
        };
        match given.value {
            ManagementTools::AdminListener if config.admin.is_none() => {
                let rule = "wants an admin listener, and admin is off";
                return refuse(word, rule, "give it an address, or say off");
            }
            ManagementTools::All => {
                if config.upstreams.iter().any(|other| other.name == NAME) {
                    let rule =
                        "has an upstream of its own, called management; another has this name";
                    return refuse(word, rule, "rename that one");
                }
                let upstream = self.management_upstream(config, &directory);
                config.upstreams.push(upstream);
                config
                    .upstreams
                    .sort_by(|left, right| left.name.cmp(&right.name));
            }
            ManagementTools::Off | ManagementTools::AdminListener => {}
        }
        Ok(())
    }

    /// `margay manage` over the same directories, its tools under their own names.
    fn management_upstream(&self, config: &Config, directory: &Path) -> Upstream {
        let mut arguments: Vec<OsString> = vec!["manage".into()];
        let mut add = |flag: &str, path: &Path| arguments.extend([flag.into(), path.into()]);
        if self.is_a_file {
            add("--config", self.path);
        }
        add("--component-dir", directory);
        add("--cache-dir", &config.cache_dir);
        add("--state-dir", &config.state_dir);
        let command = Command {
            program: SELF.into(),
            arguments,
            environment: BTreeMap::new(),
            pass_environment: Vec::new(),
            directory: None,
            limits: ResourceLimits::default(),
        };
        let mut upstream = Upstream::new(NAME, Transport::Stdio(command));
        upstream.names.prefix = Prefix::Never;
        upstream
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ManagementTools, Overrides};
    use std::path::Path;

    fn parse(text: &str) -> Result<Config, String> {
        let path = Path::new("margay.yaml");
        Config::parse(text, path, &Overrides::default()).map_err(|problem| problem.to_string())
    }

    #[test]
    fn the_management_tools_are_nowhere_unless_an_operator_says_so() {
        let config = parse("").unwrap();
        assert_eq!(config.management_tools, ManagementTools::Off);
        assert!(config.upstreams.is_empty());
        let config = parse("component_dir: /srv\nmanagement_tools: admin-listener\n").unwrap();
        assert_eq!(config.management_tools, ManagementTools::AdminListener);
        assert!(config.upstreams.is_empty());
        let config = parse("component_dir: /srv\nmanagement_tools: all\n").unwrap();
        assert_eq!(config.upstreams.len(), 1);
    }

    #[test]
    fn management_without_a_directory_or_a_listener_is_refused_with_its_line() {
        let fault = parse("components: [a.wasm]\nmanagement_tools: all\n").unwrap_err();
        assert!(fault.contains("line 2: management_tools"), "{fault}");
        let fault = parse("admin: off\ncomponent_dir: /srv\nmanagement_tools: admin-listener\n")
            .unwrap_err();
        assert!(fault.contains("admin is off"), "{fault}");
        let text = "component_dir: /srv\nmanagement_tools: all\nupstreams: {management: {url: 'http://a/mcp'}}\n";
        assert!(parse(text).unwrap_err().contains("rename"), "{text}");
    }
}
