use super::*;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_help_with_an_example() {
    fn visit(command: &clap::Command, inherited: bool) {
        let taught = command
            .get_after_help()
            .is_some_and(|help| help.to_string().contains("margay "));
        assert!(
            command.get_about().is_some(),
            "`{}` says nothing about itself",
            command.get_name()
        );
        if !command.has_subcommands() {
            assert!(
                taught || inherited,
                "`{}` has no example",
                command.get_name()
            );
        }
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "`{}` of `{}` has no help",
                argument.get_id(),
                command.get_name()
            );
        }
        command.get_subcommands().for_each(|sub| visit(sub, taught));
    }
    let mut root = Cli::command();
    root.get_subcommands_mut()
        .for_each(|command| *command = command.clone().disable_help_subcommand(true));
    // What margay runs for itself is hidden, and is explained where it is written.
    root.get_subcommands()
        .filter(|command| !command.is_hide_set())
        .for_each(|command| visit(command, false));
}

#[test]
fn every_flag_of_serve_has_its_key() {
    let root = Cli::command();
    let serve = root.find_subcommand("serve").unwrap();
    for argument in serve.get_arguments() {
        let id = argument.get_id().as_str();
        if matches!(id, "config" | "help" | "version") {
            continue;
        }
        let value = match id {
            "shards" => "1",
            "io" => "epoll",
            "profile" => "Balanced",
            "components" | "allowed_hosts" | "allowed_origins" => "[x]",
            "log_level" => "debug",
            "log_format" => "json",
            "http_sse" | "continue_on_provisioning_failure" => "true",
            "hardening" => "{landlock: false}",
            "upstreams" => "{x: {url: 'http://127.0.0.1:1/'}}",
            _ => "127.0.0.1:1",
        };
        let text = match id.strip_prefix("tls_") {
            Some("cert" | "key") => "tls: {cert: x, key: x}\n".to_owned(),
            _ => format!("{id}: {value}\n"),
        };
        let parsed = Config::parse(&text, std::path::Path::new("m.yaml"), &Overrides::default());
        assert!(parsed.is_ok(), "--{id} has no key: {}", parsed.unwrap_err());
    }
}

#[test]
fn completions_are_written_for_each_shell() {
    for shell in [
        Shell::Bash,
        Shell::Zsh,
        Shell::Fish,
        Shell::PowerShell,
        Shell::Elvish,
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "margay", &mut script);
        assert!(
            String::from_utf8(script).unwrap().contains("component"),
            "{shell}"
        );
    }
}

#[test]
fn a_message_of_many_lines_becomes_one() {
    assert_eq!(one_line("a\n  b\r\n\nc"), "a b c");
}

#[test]
fn a_wrong_flag_is_one_line_with_what_was_meant() {
    let shown = |line: &[&str]| {
        let error = Cli::try_parse_from(line).expect_err("must be refused");
        let problem = wrong_command_line(&error.to_string());
        assert_eq!(problem.exit_code, exit::USAGE);
        one_line(&problem.to_string())
    };
    let text = shown(&["margay", "serve", "--lisen", "x"]);
    assert!(
        text.contains("'--lisen'") && text.contains("'--listen'") && !text.contains("Usage"),
        "{text}"
    );
    let text = shown(&["margay", "serve", "--shards", "many"]);
    assert!(text.contains("many") && text.contains("--shards"), "{text}");
    let text = shown(&["margay", "tool", "call"]);
    assert!(text.contains("<NAME>") && text.contains("--help"), "{text}");
}
