//! The management tools: nowhere unless an operator wants them, and then a plane of their own.

use serde_json::{Value, json};

use crate::harness::sse::Session;
use crate::harness::{Appliance, Client, modern, scratch};

fn appliance(keys: &str) -> Appliance {
    let folder = scratch("management");
    let config = format!(
        "component_dir: {}\n{keys}",
        folder.join("components").display()
    );
    Appliance::with(&[], &config)
}

fn tools(answer: &Value) -> Vec<&str> {
    let tools = answer["result"]["tools"].as_array().unwrap();
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect()
}

fn admin_call(appliance: &Appliance, name: &str, arguments: Value) -> Value {
    let params = json!({"name": name, "arguments": arguments});
    let (body, headers) = modern(1, "tools/call", params);
    let answer = Client::connect(appliance.admin).post(&body, &headers);
    assert_eq!(answer.status, 200);
    answer.json()
}

fn printer() -> String {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/components/printer.wat");
    format!("file://{}", path.display())
}

#[test]
fn nobody_has_them_unless_an_operator_says_so() {
    let appliance = Appliance::start();
    let answer = appliance.connect().modern("tools/list", json!({})).json();
    assert!(!tools(&answer).contains(&"load-component"), "{answer}");
    let (body, headers) = modern(1, "tools/list", json!({}));
    assert_eq!(
        Client::connect(appliance.admin)
            .post(&body, &headers)
            .status,
        404
    );
}

#[test]
fn at_the_admin_listener_they_load_and_unload_and_callers_of_tools_do_not_see_them() {
    let appliance = appliance("management_tools: admin-listener\n");
    let answer = admin_call(&appliance, "load-component", json!({"path": printer()}));
    let said: Value =
        serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(said["id"], "printer");
    appliance.eventually("its tool is offered", || {
        let answer = appliance.connect().modern("tools/list", json!({})).json();
        tools(&answer) == ["print-flood"]
    });
    let answer = admin_call(&appliance, "list-components", json!({}));
    assert!(answer.to_string().contains("print-flood"), "{answer}");
    let answer = admin_call(
        &appliance,
        "load-component",
        json!({"path": "relative.wasm"}),
    );
    assert_eq!(answer["result"]["isError"], true);
    let answer = admin_call(&appliance, "unload-component", json!({"id": "nothing"}));
    assert_eq!(answer["result"]["isError"], true);
    let answer = admin_call(&appliance, "unload-component", json!({"id": "printer"}));
    assert_eq!(answer["result"]["isError"], false, "{answer}");
}

#[test]
fn among_all_tools_they_are_called_like_any_other_and_in_both_eras() {
    let appliance = appliance("management_tools: all\n");
    let answer = appliance.connect().modern("tools/list", json!({})).json();
    assert!(
        tools(&answer).contains(&"grant-network-permission"),
        "{answer}"
    );
    let session = Session::open(&appliance, "2025-11-25");
    let params = json!({"name": "load-component", "arguments": {"path": printer()}});
    let answer = session.send(1, "tools/call", params).answer().json();
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    appliance.eventually("its tool is offered beside them", || {
        let answer = appliance.connect().modern("tools/list", json!({})).json();
        tools(&answer).contains(&"print-flood")
    });
}

#[test]
fn permissions_are_granted_and_taken_back_and_what_a_policy_says_is_not_told() {
    let appliance = appliance("management_tools: admin-listener\n");
    admin_call(&appliance, "load-component", json!({"path": printer()}));
    let call = |tool: &str, details: Value| {
        let mut arguments = json!({"component_id": "printer"});
        if !details.is_null() {
            arguments["details"] = details;
        }
        let answer = admin_call(&appliance, tool, arguments);
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        let said: Value = serde_json::from_str(text).unwrap_or_else(|_| json!({"status": text}));
        (answer["result"]["isError"] == false, said)
    };
    let (_, said) = call("get-policy", Value::Null);
    assert_eq!(said["status"], "no policy found");
    let host = json!({"host": "api.example.com"});
    let (is_done, said) = call("grant-network-permission", host.clone());
    let expected = json!({"status": "permission granted", "component_id": "printer", "permission_type": "network", "details": host});
    assert!(is_done && said == expected, "{said}");
    let storage = json!({"uri": "fs:///srv/data/**", "access": ["read"]});
    assert!(call("grant-storage-permission", storage).0);
    assert!(
        call(
            "grant-environment-variable-permission",
            json!({"key": "KEY"})
        )
        .0
    );
    let (_, said) = call("get-policy", Value::Null);
    assert_eq!(said["status"], "policy found");
    assert!(!said.to_string().contains("api.example.com"), "{said}");
    let file = said["policy_info"]["local_path"].as_str().unwrap();
    let text = || std::fs::read_to_string(file).unwrap();
    for part in ["api.example.com", "fs:///srv/data/**", "KEY"] {
        assert!(text().contains(part), "{part}");
    }
    assert!(!call("grant-network-permission", json!({"host": "a b"})).0);
    assert!(
        !call(
            "revoke-network-permission",
            json!({"host": "other.example.com"})
        )
        .0
    );
    assert!(call("revoke-network-permission", host).0 && !text().contains("api.example.com"));
    assert!(call("reset-permission", Value::Null).0 && !text().contains("KEY"));
}
