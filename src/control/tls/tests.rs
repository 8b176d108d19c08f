//! Files: what is right with them, and what a person reads when it is not.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::control::config::{ClientCertificates, TlsVersion};
use authority::{Authority, Signed};

#[allow(dead_code, clippy::duplicate_mod)]
#[path = "../../../tests/harness/authority.rs"]
mod authority;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        path
    }

    fn tls(&self, signed: &Signed) -> Tls {
        Tls {
            section: "tls",
            cert: self.write("cert.pem", &signed.cert),
            key: self.write("key.pem", &signed.key),
            client_ca: None,
            client_certificates: ClientCertificates::None,
            min_version: TlsVersion::V1_2,
        }
    }
}

#[track_caller]
fn refused(tls: &Tls) -> String {
    match Kept::new(tls.clone()) {
        Ok(_) => panic!("{tls:?} must be refused"),
        Err(problem) => problem.to_string(),
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let (signed, other) = (authority.sign("localhost"), authority.sign("localhost"));
    let good = folder.tls(&signed);
    assert!(Kept::new(good.clone()).is_ok());
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let cut = &signed.cert[..signed.cert.len() / 2];
    let cases = [
        ("cert", folder.0.path().join("none"), "No such file"),
        (
            "cert",
            folder.write("empty", ""),
            "has no certificate in it",
        ),
        (
            "cert",
            good.key.clone(),
            "has a key in it and no certificate",
        ),
        ("cert", folder.write("cut", cut), "is no proper PEM file"),
        ("cert", folder.0.path().to_owned(), "directory"),
        ("key", folder.0.path().join("none"), "No such file"),
        ("key", folder.write("blank", "\n"), "has no key in it"),
        (
            "key",
            good.cert.clone(),
            "has a certificate in it and no key",
        ),
        (
            "key",
            folder.write("other", &other.key),
            "is not the key of the certificate in",
        ),
        ("key", folder.write("encrypted", encrypted), "is encrypted"),
    ];
    for (which, path, words) in cases {
        let mut tls = good.clone();
        match which {
            "cert" => tls.cert = path.clone(),
            _ => tls.key = path.clone(),
        }
        let text = refused(&tls);
        assert!(
            text.starts_with(&format!("tls.{which}: {}", path.display())),
            "{text}"
        );
        assert!(text.contains(words) && text.contains("; "), "{text}");
    }
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = Folder::new();
    let tls = folder.tls(&Authority::new().sign("localhost"));
    for mode in [0o644, 0o604, 0o602, 0o641] {
        fs::set_permissions(&tls.key, Permissions::from_mode(mode)).unwrap();
        let text = refused(&tls);
        let shown = format!("mode {mode:03o}");
        assert!(text.contains(&shown) && text.contains("chmod o="), "{text}");
    }
    for mode in [0o600, 0o400, 0o440] {
        fs::set_permissions(&tls.key, Permissions::from_mode(mode)).unwrap();
        assert!(Kept::new(tls.clone()).is_ok(), "{mode:o}");
    }
}

#[test]
fn roots_of_clients_are_certificates() {
    let folder = Folder::new();
    let authority = Authority::new();
    let mut tls = folder.tls(&authority.sign("localhost"));
    tls.client_certificates = ClientCertificates::Required;
    tls.client_ca = Some(folder.write("ca.pem", &authority.pem));
    let kept = Kept::new(tls.clone()).unwrap();
    assert!(kept.listener.setup().clients.is_some());
    tls.client_ca = Some(tls.key.clone());
    let text = refused(&tls);
    assert!(
        text.starts_with("tls.client_ca: ") && text.contains("no certificate"),
        "{text}"
    );
}

#[test]
fn an_expired_certificate_is_served_all_the_same_and_told_of() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let signed = authority.sign_expired("localhost");
    assert!(Kept::new(folder.tls(&signed)).is_ok());
    let validity = validity::of(&signed.der()).unwrap();
    assert_eq!(validity.fault, Some("has expired"));
    assert!(validity.until.contains("2020"), "{}", validity.until);
    let validity = validity::of(&authority.sign("localhost").der()).unwrap();
    assert_eq!(
        (validity.fault, validity.subject.as_str()),
        (None, "CN=localhost")
    );
}

/// The configuration in force: another one is at another address while this one is held.
fn in_force(kept: &Kept) -> Arc<rustls::ServerConfig> {
    Arc::clone(&kept.listener.setup().config)
}

#[test]
fn new_files_are_put_in_force_once_they_have_settled() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let mut kept = Kept::new(folder.tls(&authority.sign("localhost"))).unwrap();
    let before = in_force(&kept);
    for _ in 0..3 {
        kept.look(false);
    }
    assert!(Arc::ptr_eq(&before, &in_force(&kept)));
    let signed = authority.sign("localhost");
    folder.write("cert.pem", &signed.cert);
    kept.look(false);
    assert!(
        Arc::ptr_eq(&before, &in_force(&kept)),
        "it may have been half of it"
    );
    folder.write("key.pem", &signed.key);
    kept.look(false);
    kept.look(false);
    let after = in_force(&kept);
    assert!(!Arc::ptr_eq(&before, &after));
    assert!(
        Arc::ptr_eq(&before.ticketer, &after.ticketer),
        "tickets stay good"
    );
    kept.look(false);
    assert!(Arc::ptr_eq(&after, &in_force(&kept)), "nothing has changed");
    kept.look(true);
    assert!(!Arc::ptr_eq(&after, &in_force(&kept)), "somebody said so");
}

#[test]
fn broken_files_leave_the_certificate_before_them_in_force() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let mut kept = Kept::new(folder.tls(&authority.sign("localhost"))).unwrap();
    let before = in_force(&kept);
    let signed = authority.sign("localhost");
    for text in ["", "no PEM", &signed.cert] {
        folder.write("cert.pem", text);
        for _ in 0..4 {
            kept.look(false);
        }
        kept.look(true);
        assert!(Arc::ptr_eq(&before, &in_force(&kept)), "{text}");
    }
    fs::remove_file(&kept.tls.key).unwrap();
    kept.look(false);
    kept.look(false);
    assert!(Arc::ptr_eq(&before, &in_force(&kept)));
    folder.write("key.pem", &signed.key);
    kept.look(false);
    kept.look(false);
    assert!(!Arc::ptr_eq(&before, &in_force(&kept)));
}

#[test]
fn a_link_that_is_turned_to_other_files_is_noticed() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let base = folder.0.path();
    for name in ["one", "two"] {
        fs::create_dir(base.join(name)).unwrap();
        let signed = authority.sign("localhost");
        folder.write(&format!("{name}/cert.pem"), &signed.cert);
        folder.write(&format!("{name}/key.pem"), &signed.key);
    }
    std::os::unix::fs::symlink("one", base.join("now")).unwrap();
    let tls = Tls {
        cert: base.join("now/cert.pem"),
        key: base.join("now/key.pem"),
        ..folder.tls(&authority.sign("localhost"))
    };
    let mut kept = Kept::new(tls).unwrap();
    let before = in_force(&kept);
    std::os::unix::fs::symlink("two", base.join("next")).unwrap();
    fs::rename(base.join("next"), base.join("now")).unwrap();
    kept.look(false);
    kept.look(false);
    assert!(!Arc::ptr_eq(&before, &in_force(&kept)));
}

#[test]
fn tickets_are_void_where_clients_prove_who_they_are() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let mut tls = folder.tls(&authority.sign("localhost"));
    tls.client_ca = Some(folder.write("ca.pem", &authority.pem));
    tls.client_certificates = ClientCertificates::Optional;
    let mut kept = Kept::new(tls).unwrap();
    let before = in_force(&kept);
    kept.look(true);
    assert!(!Arc::ptr_eq(&before.ticketer, &in_force(&kept).ticketer));
}
