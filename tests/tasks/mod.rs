//! Tasks in the form of the modern era.

mod core_form;
mod crash;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, Appliance, Client, jobs, request, scratch};

const EXTENSION: &str = "io.modelcontextprotocol/tasks";

fn serve(state: &Path, config: &str) -> Appliance {
    let (jobs, state) = (jobs(), state.to_str().unwrap());
    Appliance::with(&[jobs.to_str().unwrap(), "--state-dir", state], config)
}

/// What a client declares that follows tasks and answers forms.
fn able() -> Value {
    json!({"elicitation": {}, "extensions": {EXTENSION: {}}})
}

/// The bytes of a modern request of a client with these capabilities.
fn modern(capabilities: &Value, method: &str, mut params: Value) -> String {
    let name = params["name"].as_str().or(params["taskId"].as_str());
    let named = name.map_or_else(String::new, |name| format!("Mcp-Name: {name}\r\n"));
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    });
    let headers = format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{named}");
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    request(&body.to_string(), &headers)
}

/// Sends one, and reads its answer.
fn ask(client: &mut Client, capabilities: &Value, method: &str, params: Value) -> Answer {
    client.send(modern(capabilities, method, params));
    client.answer()
}

fn result(answer: &Answer) -> Value {
    let json = answer.json();
    assert_eq!(answer.status, 200, "{json}");
    assert!(json["error"].is_null(), "{json}");
    json["result"].clone()
}

fn call(client: &mut Client, capabilities: &Value, tool: &str) -> Answer {
    ask(
        client,
        capabilities,
        "tools/call",
        json!({"name": tool, "arguments": {}}),
    )
}

/// Makes a task; its id.
fn make(client: &mut Client, tool: &str) -> String {
    let made = result(&call(client, &able(), tool));
    assert_eq!(made["resultType"], "task", "{made}");
    assert_eq!(made["status"], "working");
    made["taskId"].as_str().unwrap().to_owned()
}

fn get(client: &mut Client, id: &str) -> Value {
    result(&ask(client, &able(), "tasks/get", json!({"taskId": id})))
}

fn until(client: &mut Client, id: &str, status: &str) -> Value {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let task = get(client, id);
        if task["status"] == status {
            return task;
        }
        assert!(Instant::now() < end, "it never is {status}: {task}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn update(client: &mut Client, id: &str, key: &str) -> Answer {
    let answers = json!({key: {"action": "accept", "content": {"text": "x"}}});
    ask(
        client,
        &able(),
        "tasks/update",
        json!({"taskId": id, "inputResponses": answers}),
    )
}

#[test]
fn a_call_is_a_task_by_its_tools_support_and_its_clients_word() {
    let appliance = serve(&scratch("state"), "");
    let mut client = appliance.connect();
    let unable = json!({"elicitation": {}});
    for (tool, able_type, unable_type) in [
        ("never", "complete", Ok("complete")),
        ("quick", "task", Ok("complete")),
        ("must", "task", Err(-32021)),
        ("defer", "input_required", Ok("input_required")),
    ] {
        let told = result(&call(&mut client, &able(), tool));
        assert_eq!(told["resultType"], able_type, "{tool}: {told}");
        assert_eq!(told["taskId"].is_string(), able_type == "task");
        let answer = call(&mut client, &unable, tool);
        match unable_type {
            Ok(kind) => assert_eq!(result(&answer)["resultType"], kind, "{tool}"),
            Err(code) => {
                let error = answer.json()["error"].clone();
                assert_eq!((answer.status, &error["code"]), (400, &json!(code)));
                let required = &error["data"]["requiredCapabilities"]["extensions"];
                assert!(required[EXTENSION].is_object(), "{error}");
            }
        }
    }
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let params = json!({"taskId": "unknown", "inputResponses": {}});
        let refused = ask(&mut client, &unable, method, params.clone());
        assert_eq!(
            (refused.status, &refused.json()["error"]["code"]),
            (400, &json!(-32021))
        );
        let unknown = ask(&mut client, &able(), method, params);
        assert_eq!(unknown.json()["error"]["code"], -32602, "{method}");
    }
    for method in ["tasks/result", "tasks/list"] {
        let refused = ask(&mut client, &able(), method, json!({"taskId": "x"}));
        assert_eq!(
            (refused.status, &refused.json()["error"]["code"]),
            (404, &json!(-32601))
        );
    }
    let listed = result(&ask(&mut client, &able(), "tools/list", json!({})));
    for tool in listed["tools"].as_array().unwrap() {
        assert!(tool.get("execution").is_none(), "{tool}");
    }
    let discovered = result(&ask(&mut client, &unable, "server/discover", json!({})));
    assert!(discovered["capabilities"]["extensions"][EXTENSION].is_object());
    assert!(discovered["capabilities"].get("tasks").is_none());
}

#[test]
fn a_task_ends_with_what_its_call_would_have_answered() {
    let appliance = serve(&scratch("state"), "");
    let mut client = appliance.connect();
    let id = make(&mut client, "quick");
    let task = until(&mut client, &id, "completed");
    assert_eq!(task["result"]["content"][0]["text"], "done");
    assert_eq!(task["resultType"], "complete");
    assert!(task["lastUpdatedAt"].as_str() > task["createdAt"].as_str());
    let id = make(&mut client, "fail");
    let task = until(&mut client, &id, "failed");
    assert!(
        task["error"]["code"].is_i64() && task.get("result").is_none(),
        "{task}"
    );
    assert!(
        task["error"]["message"]
            .as_str()
            .unwrap()
            .contains("it is broken")
    );
}

#[test]
fn questions_of_a_task_are_answered_one_by_one_and_each_answer_is_seen_at_once() {
    let appliance = serve(&scratch("state"), "");
    let mut client = appliance.connect();
    let id = make(&mut client, "ask_two");
    let task = until(&mut client, &id, "input_required");
    assert_eq!(
        task["inputRequests"]["first"]["method"],
        "elicitation/create"
    );
    assert_eq!(task["inputRequests"].as_object().unwrap().len(), 2);
    for key in ["unknown", "first", "first"] {
        let told = result(&update(&mut client, &id, key));
        assert_eq!(told["resultType"], "complete");
        assert!(told.get("status").is_none() && told.get("taskId").is_none());
    }
    let task = get(&mut client, &id);
    assert_eq!(task["status"], "input_required");
    let open: Vec<&String> = task["inputRequests"].as_object().unwrap().keys().collect();
    assert_eq!(open, ["second"]);
    result(&update(&mut client, &id, "second"));
    let task = until(&mut client, &id, "completed");
    assert_eq!(task["result"]["content"][0]["text"], "answered");
}

#[test]
fn a_deferred_call_asks_first_and_becomes_a_task_when_it_says_so() {
    let appliance = serve(&scratch("state"), "");
    let mut client = appliance.connect();
    for capabilities in [able(), json!({"elicitation": {}})] {
        let asked = result(&call(&mut client, &capabilities, "defer"));
        assert_eq!(asked["resultType"], "input_required");
        let retry = json!({
            "name": "defer", "arguments": {}, "requestState": asked["requestState"],
            "inputResponses": {"name": {"action": "accept", "content": {"text": "Alice"}}},
        });
        let told = result(&ask(&mut client, &capabilities, "tools/call", retry));
        if capabilities == able() {
            assert_eq!(told["resultType"], "task", "{told}");
            assert!(told.get("requestState").is_none() && told.get("inputRequests").is_none());
            let task = until(&mut client, told["taskId"].as_str().unwrap(), "completed");
            assert_eq!(task["result"]["content"][0]["text"], "it was a task");
        } else {
            assert_eq!(told["content"][0]["text"], "it was a task");
        }
    }
}

#[test]
fn a_cancelled_task_stops_computing_and_can_be_cancelled_again() {
    let appliance = serve(&scratch("state"), "");
    let mut client = appliance.connect();
    let spinning = make(&mut client, "spin");
    let parked = make(&mut client, "ask_two");
    until(&mut client, &parked, "input_required");
    appliance.eventually("it computes", || {
        appliance.metric("margay_calls_away", "") > 0.0
    });
    for id in [&spinning, &parked] {
        for _ in 0..2 {
            let told = result(&ask(
                &mut client,
                &able(),
                "tasks/cancel",
                json!({"taskId": id}),
            ));
            assert!(told.get("status").is_none());
            assert_eq!(get(&mut client, id)["status"], "cancelled");
        }
    }
    appliance.eventually("it computes no more", || {
        appliance.metric("margay_calls_away", "") == 0.0
    });
    assert_eq!(appliance.metric("margay_tasks_cancelled_total", ""), 2.0);
    // Whoever answers late is told that it is taken, and nothing happens.
    result(&update(&mut client, &parked, "first"));
    assert_eq!(get(&mut client, &parked)["status"], "cancelled");
}

#[test]
fn a_listener_hears_of_its_tasks_with_all_that_belongs_to_them() {
    let appliance = serve(&scratch("state"), "");
    let mut client = appliance.connect();
    let id = make(&mut client, "ask_two");
    until(&mut client, &id, "input_required");
    let mut listener = appliance.connect();
    let filter = json!({"taskIds": [id, "0123456789abcdef0123456789abcdef"]});
    let params = json!({"notifications": filter});
    listener.send(modern(&able(), "subscriptions/listen", params));
    assert!(listener.head().contains("200"));
    let acknowledged = listener.event();
    assert_eq!(
        acknowledged["params"]["notifications"]["taskIds"],
        json!([id])
    );
    let mut heard = Vec::new();
    result(&update(&mut client, &id, "first"));
    result(&update(&mut client, &id, "second"));
    while heard.last() != Some(&json!("completed")) {
        let event = listener.event();
        assert_eq!(event["method"], "notifications/tasks");
        let task = &event["params"];
        assert_eq!(task["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
        assert_eq!(task["taskId"], json!(id));
        assert_eq!(
            task["inputRequests"].is_object(),
            task["status"] == "input_required"
        );
        heard.push(task["status"].clone());
        if task["status"] == "completed" {
            assert_eq!(task["result"]["content"][0]["text"], "answered");
        }
    }
    assert_eq!(
        heard[0], "input_required",
        "how it stands comes first: {heard:?}"
    );
}

#[test]
fn a_task_is_gone_after_its_time_and_more_than_the_limit_are_refused() {
    let config = "limits:\n  task_ttl: 1s\n  task_count_max: 2\n";
    let appliance = serve(&scratch("state"), config);
    let mut client = appliance.connect();
    let id = make(&mut client, "quick");
    make(&mut client, "spin");
    let refused = call(&mut client, &able(), "quick");
    let error = refused.json()["error"].clone();
    assert_eq!((refused.status, &error["code"]), (503, &json!(-31503)));
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("limits.task_count_max")
    );
    appliance.eventually("both are gone", || {
        appliance.metric("margay_tasks", " ") == 0.0
    });
    let gone = ask(&mut client, &able(), "tasks/get", json!({"taskId": id}));
    assert_eq!(gone.json()["error"]["code"], -32602);
    appliance.eventually("the guest was stopped", || {
        appliance.metric("margay_calls_away", "") == 0.0
    });
    make(&mut client, "quick");
}
