//! The audit log of a server that is killed, and what its verifier says.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::{Appliance, binary, scratch};

fn config(folder: &Path) -> String {
    let state = folder.display();
    format!("state_dir: {state}/state\naudit: {{dir: {state}/audit}}\n")
}

fn verify(folder: &Path) -> Output {
    let config = folder.join("verify.yaml");
    std::fs::write(&config, self::config(folder)).unwrap();
    let mut command = Command::new(binary());
    command.args(["audit", "verify", "--config"]).arg(config);
    command.output().unwrap()
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(file(folder)).unwrap_or_default()
}

fn file(folder: &Path) -> PathBuf {
    folder.join("audit/audit.0001.jsonl")
}

#[test]
fn a_server_that_is_killed_loses_nothing_that_was_synced_and_its_chain_goes_on() {
    let folder = scratch("audit");
    for round in 1..=5 {
        let mut appliance = Appliance::with(&[], &config(&folder));
        appliance.eventually("the start is on the disk", || {
            log(&folder).matches("\"SystemStartup\"").count() == round
        });
        assert!(appliance.metric("margay_audit_lines", "") >= 1.0);
        assert!(appliance.metric("margay_audit_lost", "").abs() < 0.5);
        if round == 5 {
            appliance.signal("TERM");
            assert_eq!(appliance.wait(), Some(0));
        } else {
            appliance.signal("KILL");
            appliance.wait();
        }
    }
    let text = log(&folder);
    assert_eq!(text.matches("\"SystemShutdown\"").count(), 1);
    assert!(text.contains("\"ComponentLoad\""));
    let verdict = verify(&folder);
    let said = String::from_utf8_lossy(&verdict.stdout).into_owned();
    assert_eq!(verdict.status.code(), Some(0), "{said}");
    assert!(said.contains("is as it was written"), "{said}");
    // Somebody changes one letter of the second line.
    let changed = text.replacen("margay ", "Margay ", 1);
    assert_ne!(changed, text);
    std::fs::write(file(&folder), changed).unwrap();
    let verdict = verify(&folder);
    let said = String::from_utf8_lossy(&verdict.stdout).into_owned();
    assert_eq!(verdict.status.code(), Some(1), "{said}");
    assert!(said.starts_with("audit.0001.jsonl:"), "{said}");
    assert!(said.contains("was changed"), "{said}");
    // Somebody cuts the last line off, at its end.
    let kept = text.trim_end().rfind('\n').unwrap();
    std::fs::write(file(&folder), &text[..=kept]).unwrap();
    let verdict = verify(&folder);
    let said = String::from_utf8_lossy(&verdict.stdout).into_owned();
    assert_eq!(verdict.status.code(), Some(1), "{said}");
    assert!(said.contains("cut off"), "{said}");
}
