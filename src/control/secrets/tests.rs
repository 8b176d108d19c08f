use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn secrets(directory: &Path) -> Secrets {
    let credentials = directory.join("credentials");
    Secrets::with_environment(StorePlace::of(directory), move |name| match name {
        "TOKEN" => Some("token-of-the-environment".into()),
        "EMPTY" => Some("".into()),
        "CREDENTIALS_DIRECTORY" => Some(credentials.clone().into()),
        _ => None,
    })
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn resolved(secrets: &Secrets, from: &SecretRef) -> Result<String, Unresolved> {
    let secret = secrets.resolve(from, Shape::Line)?;
    Ok(secret.reveal().to_owned())
}

#[test]
fn a_secret_is_found_in_each_of_its_four_places() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = secrets(folder.path());
    let file = folder.path().join("token");
    write(&file, "token-of-the-file\n", 0o640);
    write(
        &folder.path().join("credentials/db"),
        "token-of-the-service",
        0o400,
    );
    let value = Secret::new("token-of-the-store");
    secrets.store().set(&secrets, "web/KEY", value).unwrap();
    for (from, value) in [
        (
            SecretRef::Environment("TOKEN".into()),
            "token-of-the-environment",
        ),
        (SecretRef::File(file), "token-of-the-file"),
        (SecretRef::Credential("db".into()), "token-of-the-service"),
        (SecretRef::Stored("web/KEY".into()), "token-of-the-store"),
    ] {
        assert_eq!(resolved(&secrets, &from).as_deref(), Ok(value));
        let text = format!("is {value} shown?");
        assert_eq!(redactor().redact(&text), "is [redacted] shown?");
    }
}

#[test]
fn a_secret_that_is_not_one_is_refused_by_what_is_wrong_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = secrets(folder.path());
    let exposed = folder.path().join("exposed");
    write(&exposed, "canary-exposed", 0o644);
    let writable = folder.path().join("writable");
    write(&writable, "canary-writable", 0o660);
    let lines = folder.path().join("lines");
    write(&lines, "canary-lines\nmore", 0o600);
    let long = folder.path().join("long");
    write(&long, &"canary-long".repeat(10_000), 0o600);
    let file = |path: &Path| SecretRef::File(path.to_owned());
    let cases = [
        (SecretRef::Environment("ABSENT".into()), Unresolved::Missing),
        (SecretRef::Environment("EMPTY".into()), Unresolved::Empty),
        (file(&folder.path().join("absent")), Unresolved::Missing),
        (file(folder.path()), Unresolved::NotAFile),
        (file(&exposed), Unresolved::Exposed { mode: 0o644 }),
        (file(&writable), Unresolved::Exposed { mode: 0o660 }),
        (file(&lines), Unresolved::NotOneLine),
        (file(&long), Unresolved::TooLong),
        (SecretRef::Credential("absent".into()), Unresolved::Missing),
        (
            SecretRef::Credential("../token".into()),
            Unresolved::NotAName,
        ),
        (SecretRef::Stored("absent".into()), Unresolved::Missing),
    ];
    for (from, refused) in cases {
        let problem = secrets
            .secret("upstreams.docs.headers.X", &from, Shape::Line)
            .unwrap_err()
            .to_string();
        assert!(!problem.contains("canary"), "{problem}");
        assert!(problem.contains("upstreams.docs.headers.X"), "{problem}");
        assert_eq!(resolved(&secrets, &from), Err(refused));
    }
    let none = Secrets::with_environment(StorePlace::of(folder.path()), |_| None);
    let from = SecretRef::Credential("db".into());
    assert_eq!(resolved(&none, &from), Err(Unresolved::NoCredentials));
}

#[test]
fn the_store_is_private_encrypted_and_survives_with_its_identity_only() {
    let folder = tempfile::tempdir().unwrap();
    let one = secrets(folder.path());
    let store = one.store();
    let value = Secret::new("canary-of-the-store");
    assert!(!store.set(&one, "A", value.clone()).unwrap());
    assert!(
        store.set(&one, "A", value.clone()).unwrap(),
        "there was one"
    );
    for name in ["secrets.age", "secrets.key"] {
        let mode = fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
    let file = fs::read(folder.path().join("secrets.age")).unwrap();
    assert!(file.starts_with(b"age-encryption.org/v1\n"));
    assert!(!String::from_utf8_lossy(&file).contains("canary"));
    assert_eq!(store.read(&one).unwrap().get("A"), Some(&value));
    // Another identity does not open it, and a damaged file is not taken.
    fs::rename(
        folder.path().join("secrets.key"),
        folder.path().join("own.key"),
    )
    .unwrap();
    let other = secrets(&folder.path().join("other"));
    other.store().set(&other, "B", value.clone()).unwrap();
    fs::copy(
        folder.path().join("other/secrets.key"),
        folder.path().join("secrets.key"),
    )
    .unwrap();
    let said = store.read(&one).unwrap_err().to_string();
    assert!(said.contains("cannot be decrypted"), "{said}");
    fs::rename(
        folder.path().join("own.key"),
        folder.path().join("secrets.key"),
    )
    .unwrap();
    let mut damaged = file.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    fs::write(folder.path().join("secrets.age"), damaged).unwrap();
    let said = store.read(&one).unwrap_err().to_string();
    assert!(said.contains("cannot be decrypted"), "{said}");
    let from = SecretRef::Stored("A".into());
    assert!(matches!(resolved(&one, &from), Err(Unresolved::Locked(_))));
}

#[test]
fn a_changed_store_is_noticed_and_a_broken_one_leaves_the_old_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let serving = secrets(folder.path());
    let from = SecretRef::Stored("A".into());
    assert_eq!(resolved(&serving, &from), Err(Unresolved::Missing));
    assert!(!serving.refresh().unwrap());
    // The command is another process, with an instance of its own.
    let command = secrets(folder.path());
    let set = |text: &str| {
        let value = Secret::new(text);
        command.store().set(&command, "A", value).unwrap();
    };
    set("first-value");
    assert!(serving.refresh().unwrap());
    assert_eq!(resolved(&serving, &from).as_deref(), Ok("first-value"));
    set("second-value");
    assert!(serving.refresh().unwrap());
    assert!(!serving.refresh().unwrap(), "nothing has changed since");
    assert_eq!(serving.generation(), 2);
    assert_eq!(resolved(&serving, &from).as_deref(), Ok("second-value"));
    write(&folder.path().join("secrets.age"), "garbage", 0o600);
    assert!(serving.refresh().is_err());
    assert!(!serving.refresh().unwrap(), "said once");
    assert_eq!(resolved(&serving, &from).as_deref(), Ok("second-value"));
}

#[test]
fn many_that_set_secrets_at_once_lose_none() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let directory = folder.path();
            scope.spawn(move || {
                let secrets = secrets(directory);
                let value = Secret::new(format!("value-{number}"));
                let name = format!("N{number}");
                secrets.store().set(&secrets, &name, value).unwrap();
            });
        }
    });
    let secrets = secrets(folder.path());
    assert_eq!(secrets.store().read(&secrets).unwrap().len(), 8);
}

#[test]
fn a_directory_of_wassette_is_taken_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder.path().join("weather.yaml"),
        "API_KEY: canary-weather\nPIN: 0123456\n",
        0o600,
    );
    write(&folder.path().join("empty.yaml"), "\n", 0o600);
    write(&folder.path().join("notes.txt"), "no secrets", 0o644);
    let entries = import::read_directory(folder.path()).unwrap();
    let names: Vec<&str> = entries.keys().map(String::as_str).collect();
    assert_eq!(names, ["weather/API_KEY", "weather/PIN"]);
    assert_eq!(entries["weather/PIN"].reveal(), "0123456");
    write(
        &folder.path().join("nested.yaml"),
        "A: {B: canary-nested}\n",
        0o600,
    );
    let said = import::read_directory(folder.path()).unwrap_err();
    let said = said.to_string();
    assert!(
        said.contains("nested.yaml") && !said.contains("canary"),
        "{said}"
    );
}
