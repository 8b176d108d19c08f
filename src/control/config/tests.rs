use super::*;

fn parse(text: &str) -> Result<Config, Problem> {
    Config::parse(
        text,
        Path::new("/etc/margay/margay.yaml"),
        &Overrides::default(),
    )
}

#[track_caller]
fn refused(text: &str) -> String {
    parse(text)
        .expect_err("this configuration must be refused")
        .to_string()
}

#[test]
fn an_empty_file_gives_the_defaults() {
    for text in ["", "# nothing\n", "{}\n"] {
        let config = parse(text).unwrap();
        assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(config.admin, Some("127.0.0.1:9091".parse().unwrap()));
        assert_eq!(config.limits, Limits::default());
        assert!(config.shards >= 1 && config.workers >= 1);
        assert!(
            config.network.tcp_nodelay
                && config.network.keep_alive == Some(Duration::from_secs(30))
        );
        assert!(config.component_dir.is_some() && config.components.is_empty());
    }
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_key() {
    let text = refused("listen: 127.0.0.1:1\nlimits:\n  call_deadline: 1s\n  body_byte_max: 1MB\n");
    assert!(text.contains("margay.yaml line 4"), "{text}");
    assert!(
        text.contains("`body_byte_max`") && text.contains("did you mean `body_bytes_max`?"),
        "{text}"
    );
    let text = refused("lissten: x\n");
    assert!(
        text.contains("line 1") && text.contains("did you mean `listen`?"),
        "{text}"
    );
    let text = refused("performance:\n  network:\n    tcp_no_delay: true\n");
    assert!(
        text.contains("line 3") && text.contains("did you mean `tcp_nodelay`?"),
        "{text}"
    );
    let text = refused("quux: 1\n");
    assert!(text.contains("valid keys here: listen, admin"), "{text}");
}

#[test]
fn performance_keys_that_are_implemented_set_their_limits() {
    let config = parse(
        "performance:\n  concurrency:\n    worker_threads: 3\n    max_concurrent_requests: 77\n    queue_size: 88\n  memory:\n    \
         buffer_pool_size: 100MB\n    max_message_size: 10MB\n  network:\n    tcp_nodelay: false\n    keep_alive: true\n    \
         keep_alive_interval: 45s\n",
    )
    .unwrap();
    assert_eq!(config.workers, 3);
    assert_eq!(config.limits.request_count_max, 77);
    assert_eq!(config.limits.worker_queue_max, 88);
    assert_eq!(config.limits.buffer_pool_bytes_max, 100_000_000);
    assert_eq!(config.limits.body_bytes_max, 10_000_000);
    assert_eq!(
        config.network,
        Network {
            tcp_nodelay: false,
            keep_alive: Some(Duration::from_secs(45))
        }
    );
    let off = parse("performance: {network: {keep_alive: false}}").unwrap();
    assert_eq!(off.network.keep_alive, None);
}

#[test]
fn performance_keys_that_are_not_implemented_are_refused_and_not_ignored() {
    for (block, key, value) in [
        ("cache", "metadata_cache_size", "1000"),
        ("cache", "component_cache_size", "100"),
        ("cache", "ttl", "60s"),
        ("memory", "gc_interval", "60s"),
    ] {
        let text = refused(&format!("performance:\n  {block}:\n    {key}: {value}\n"));
        assert!(
            text.contains(&format!("line 3: performance.{block}.{key}")),
            "{text}"
        );
        assert!(text.contains("is not implemented yet"), "{text}");
    }
}

#[test]
fn every_limit_has_a_key_that_reads_back() {
    let shown = limits_document::show(&Limits::default());
    let body: String = shown
        .iter()
        .map(|(key, value)| format!("  {key}: {value}\n"))
        .collect();
    assert_eq!(
        parse(&format!("limits:\n{body}")).unwrap().limits,
        Limits::default()
    );
    assert_eq!(
        shown.len(),
        format!("{:?}", Limits::default()).matches(": ").count()
    );
    assert_eq!(
        parse("limits: {call_deadline: 250ms}")
            .unwrap()
            .limits
            .call_deadline,
        Duration::from_millis(250)
    );
}

#[test]
fn a_wrong_value_names_its_line_and_how_to_write_it() {
    for (text, expected) in [
        (
            "limits:\n  body_bytes_max: ten\n",
            "like 4096, 64KiB or 10MB",
        ),
        (
            "limits:\n  call_deadline: 30\n",
            "write it like 30s or 30ms",
        ),
        (
            "limits:\n  call_deadline: 0s\n",
            "must be between 1ms and 1d",
        ),
        (
            "limits:\n  body_bytes_max: 200MiB\n",
            "must not be above buffer_pool_bytes_max, which is 100MiB",
        ),
        (
            "limits:\n  instance_ready_max: 1001\n",
            "must not be above instance_count_max, which is 1000",
        ),
        ("\nlisten: here\n", "is not an address"),
        ("\nio: kqueue\n", "use one of: uring, epoll"),
        ("\nshards: 5000\n", "must not be above 1024"),
        ("\nshards: 1\nshards: 2\n", "duplicate"),
    ] {
        let problem = parse(text).expect_err(text);
        let shown = problem.to_string();
        assert!(shown.contains(expected), "{text:?} gave {shown}");
        assert!(
            shown.contains("line 2") || shown.contains("line 3"),
            "{text:?} gave {shown}"
        );
        assert!(!shown.contains('\n'), "{shown}");
        assert_eq!(problem.exit_code, exit::CONFIG);
    }
}

#[test]
fn one_limit_under_two_names_must_not_contradict_itself() {
    let text = refused(
        "limits: {body_bytes_max: 1MB}\nperformance:\n  memory:\n    max_message_size: 2MB\n",
    );
    assert!(
        text.contains("line 4: performance.memory.max_message_size"),
        "{text}"
    );
    assert!(
        parse("limits: {body_bytes_max: 2MB}\nperformance: {memory: {max_message_size: 2MB}}\n")
            .is_ok()
    );
}

#[test]
fn the_command_line_wins_over_the_file() {
    let overrides = Overrides {
        listen: Some("127.0.0.1:1234".into()),
        admin: Some("off".into()),
        shards: Some(3),
        io: Some(Io::Epoll),
        components: vec!["x.wasm".into()],
        allowed_hosts: vec!["mcp.example".into()],
        ..Overrides::default()
    };
    let text = "listen: 127.0.0.1:1\nadmin: 127.0.0.1:2\nshards: 1\nio: uring\ncomponents: [a.wasm]\nallowed_hosts: [b]\n";
    let config = Config::parse(text, Path::new("m.yaml"), &overrides).unwrap();
    assert_eq!(
        (config.listen.port(), config.admin, config.shards, config.io),
        (1234, None, 3, Io::Epoll)
    );
    assert_eq!(config.components, [PathBuf::from("x.wasm")]);
    assert_eq!(config.allowed_hosts, ["mcp.example"]);
    let wrong = Overrides {
        listen: Some("nowhere".into()),
        ..Overrides::default()
    };
    assert_eq!(
        Config::parse("", Path::new("m.yaml"), &wrong)
            .unwrap_err()
            .exit_code,
        exit::USAGE
    );
}

#[test]
fn paths_in_a_file_start_at_its_folder() {
    let config = parse(
        "components: [a.wasm, /b.wasm]\ncomponent_dir: store\naccess_log: log/access.jsonl\n",
    )
    .unwrap();
    assert_eq!(
        config.components,
        [
            PathBuf::from("/etc/margay/a.wasm"),
            PathBuf::from("/b.wasm")
        ]
    );
    assert_eq!(
        config.component_dir,
        Some(PathBuf::from("/etc/margay/store"))
    );
    assert_eq!(
        config.access_log,
        Some(PathBuf::from("/etc/margay/log/access.jsonl"))
    );
}

#[test]
fn components_have_options_by_their_names() {
    use crate::component::InstanceMode;
    let config = parse(
        "component_options:\n  notes: {instances: per-session}\n  counter:\n    instances: singleton\n  plain: {}\n",
    )
    .unwrap();
    let modes: Vec<_> = config
        .component_options
        .iter()
        .map(|(name, options)| (name.as_str(), options.instances))
        .collect();
    assert_eq!(
        modes,
        [
            ("counter", InstanceMode::Singleton),
            ("notes", InstanceMode::PerSession),
            ("plain", InstanceMode::Fresh),
        ]
    );
    let text = refused("component_options:\n  notes:\n    instance: fresh\n");
    assert!(
        text.contains("line 3") && text.contains("did you mean `instances`?"),
        "{text}"
    );
    let text = refused("component_options:\n  notes:\n    instances: eternal\n");
    assert!(
        text.contains("line 3") && text.contains("fresh, per-session, singleton"),
        "{text}"
    );
}

#[test]
fn named_components_alone_leave_the_default_directory_out() {
    assert_eq!(parse("components: [a.wasm]\n").unwrap().component_dir, None);
    assert!(
        parse("components: [a.wasm]\ncomponent_dir: d\n")
            .unwrap()
            .component_dir
            .is_some()
    );
}

#[test]
fn a_profile_is_a_starting_point_and_explicit_keys_win() {
    assert_eq!(
        parse("profile: LowLatency\n")
            .unwrap()
            .limits
            .request_count_max,
        100
    );
    assert_eq!(
        parse("profile: Balanced\n")
            .unwrap()
            .limits
            .request_count_max,
        500
    );
    let config = parse("profile: LowLatency\nlimits: {request_count_max: 42}\n").unwrap();
    assert_eq!(config.limits.request_count_max, 42);
    assert!(refused("profile: Fast\n").contains("HighThroughput, LowLatency, Balanced"));
}

#[test]
fn a_missing_file_is_one_line_with_its_name() {
    let problem =
        Config::load(Some(Path::new("/nowhere/m.yaml")), &Overrides::default()).unwrap_err();
    assert_eq!(problem.exit_code, exit::NO_INPUT);
    assert!(problem.to_string().contains("/nowhere/m.yaml"));
}

#[test]
fn a_file_without_an_end_is_refused_and_not_read_to_it() {
    let problem = Config::load(Some(Path::new("/dev/zero")), &Overrides::default()).unwrap_err();
    assert_eq!(problem.exit_code, exit::CONFIG);
    assert!(
        problem.to_string().contains("larger than 1MiB"),
        "{problem}"
    );
}

#[test]
fn a_key_that_stands_twice_and_a_tower_of_aliases_are_refused_in_plain_words() {
    let text = refused("limits:\n  call_deadline: 1s\n  call_deadline: 2s\n");
    assert!(
        text.contains("line 3") && text.contains("`call_deadline`: is a duplicate"),
        "{text}"
    );
    let mut tower = String::from("performance:\n  cache:\n    ttl:\n    - &a0 [x, x]\n");
    for level in 1..30 {
        let below = level - 1;
        tower += &format!("    - &a{level} [*a{below}, *a{below}, *a{below}]\n");
    }
    for text in [tower, "listen: ".to_owned() + &"[".repeat(200_000)] {
        let begun = std::time::Instant::now();
        let shown = refused(&text);
        assert!(begun.elapsed() < Duration::from_secs(5), "{shown}");
        assert!(shown.len() < 300 && !shown.contains("Budget"), "{shown}");
    }
}

#[test]
fn what_outlives_a_restart_has_its_places() {
    let config = parse("").unwrap();
    assert!(config.state_dir.ends_with("margay") && config.request_state_key_file.is_none());
    assert!(!config.http_sse, "an old transport is an operator's choice");
    let config =
        parse("state_dir: state\nrequest_state_key_file: shared.key\nhttp_sse: true\n").unwrap();
    assert_eq!(config.state_dir, Path::new("/etc/margay/state"));
    assert_eq!(
        config.request_state_key_file.as_deref(),
        Some(Path::new("/etc/margay/shared.key"))
    );
    assert!(config.http_sse);
}
