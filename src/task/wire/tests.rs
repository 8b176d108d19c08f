use serde_json::{Value, json};

use super::super::samples::{self, NOW_MS, made};
use super::*;
use crate::mcp::RawId;
use crate::task::{Table, TaskPage};

fn id() -> RawId<'static> {
    RawId::integer(Reader::from_text("7", 0).number().unwrap()).unwrap()
}

fn parsed(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = b"before".to_vec();
    write(&mut out);
    assert!(!out.contains(&b'\n'), "a message is a line");
    serde_json::from_slice(&out[6..])
        .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&out)))
}

fn hex(number: u8) -> String {
    format!("{number:02x}").repeat(16)
}

#[test]
fn a_new_task_is_told_flat_in_the_modern_form_and_nested_in_the_legacy_one() {
    let modern = parsed(|out| created(out, &id(), Era::Modern, &made(1)));
    let mut result = modern["result"].clone();
    assert_eq!(
        result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "margay"
    );
    result.as_object_mut().unwrap().remove("_meta");
    assert_eq!(
        result,
        json!({
            "resultType": "task", "taskId": hex(1), "status": "working",
            "createdAt": "2026-07-28T12:00:00.000Z", "lastUpdatedAt": "2026-07-28T12:00:00.000Z",
            "ttlMs": 60_000, "pollIntervalMs": 1_000,
        })
    );
    let legacy = parsed(|out| created(out, &id(), Era::Legacy, &made(1)));
    assert_eq!(
        legacy,
        json!({"jsonrpc": "2.0", "id": 7, "result": {"task": {
            "taskId": hex(1), "status": "working",
            "createdAt": "2026-07-28T12:00:00.000Z", "lastUpdatedAt": "2026-07-28T12:00:00.000Z",
            "ttl": 60_000, "pollInterval": 1_000,
        }}})
    );
}

#[test]
fn a_task_carries_what_belongs_to_its_state_and_nothing_else() {
    let more = ["inputRequests", "result", "error"];
    let wanted = [
        ("working", "working", None),
        ("input_required", "input_required", Some("inputRequests")),
        ("input_required", "input_required", Some("inputRequests")),
        ("completed", "completed", Some("result")),
        ("completed", "failed", Some("result")),
        ("failed", "failed", Some("error")),
        ("cancelled", "cancelled", None),
    ];
    for (record, (modern_status, legacy_status, member)) in
        samples::in_each_state().iter().zip(wanted)
    {
        let modern = parsed(|out| got(out, &id(), Era::Modern, record))["result"].clone();
        assert_eq!(modern["resultType"], "complete");
        assert_eq!(modern["status"], modern_status);
        for name in more {
            assert_eq!(
                modern.get(name).is_some(),
                member == Some(name),
                "{name}: {modern}"
            );
        }
        assert!(modern.get("requestState").is_none());
        let legacy = parsed(|out| got(out, &id(), Era::Legacy, record))["result"].clone();
        assert_eq!(legacy["status"], legacy_status);
        for name in ["resultType", "_meta"].into_iter().chain(more) {
            assert!(legacy.get(name).is_none(), "{name}: {legacy}");
        }
        if record.updated_ms > record.created_ms {
            assert!(modern["lastUpdatedAt"].as_str() > modern["createdAt"].as_str());
        }
    }
    let records = samples::in_each_state();
    let asking = parsed(|out| got(out, &id(), Era::Modern, &records[1]));
    let questions = &asking["result"]["inputRequests"];
    assert_eq!(questions["name"]["method"], "elicitation/create");
    assert_eq!(questions["with \"quotes\" ä"]["params"]["message"], "Sure?");
    assert_eq!(asking["result"]["statusMessage"], "waits for 2 answers");
    let erred = parsed(|out| got(out, &id(), Era::Modern, &records[4]));
    assert_eq!(
        erred["result"]["result"]["_meta"],
        json!({"tool/x": {"a": 1}})
    );
    assert_eq!(erred["result"]["result"]["content"][0]["text"], "no");
    let failed = parsed(|out| got(out, &id(), Era::Legacy, &records[5]));
    assert_eq!(failed["result"]["statusMessage"], "no \"such\" thing");
    let failed = parsed(|out| got(out, &id(), Era::Modern, &records[5]));
    assert_eq!(failed["result"]["error"]["data"], json!({"x": [1]}));
}

#[test]
fn an_acknowledgement_says_nothing_of_the_task() {
    let told = parsed(|out| acknowledged(out, &id()));
    let result = told["result"].as_object().unwrap();
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result.keys().collect::<Vec<_>>(), ["resultType", "_meta"]);
}

#[test]
fn the_result_of_a_legacy_task_is_the_calls_with_the_task_in_its_meta() {
    let related = json!({"io.modelcontextprotocol/related-task": {"taskId": hex(4)}});
    let of = |members: &str, meta: &str| {
        let mut record = made(4);
        record.state = State::Completed {
            members: members.as_bytes().into(),
            meta: meta.as_bytes().into(),
            is_error: false,
        };
        parsed(|out| assert!(result(out, &id(), &record)))
    };
    let told = of(r#""content":[]"#, "");
    assert_eq!(told["result"], json!({"content": [], "_meta": related}));
    let told = of(r#""content":[]"#, r#""x":1"#);
    let mut both = related.clone();
    both["x"] = json!(1);
    assert_eq!(told["result"], json!({"content": [], "_meta": both}));

    let records = samples::in_each_state();
    for unfinished in &records[..3] {
        let mut out = Vec::new();
        assert!(!result(&mut out, &id(), unfinished) && out.is_empty());
    }
    let failed = parsed(|out| assert!(result(out, &id(), &records[5])));
    assert_eq!(
        (&failed["id"], &failed["error"]["code"]),
        (&json!(7), &json!(-32602))
    );
    let cancelled = parsed(|out| assert!(result(out, &id(), &records[6])));
    assert_eq!(cancelled["error"]["code"], -32603);
}

#[test]
fn a_list_goes_on_after_its_cursor_and_takes_no_other() {
    let page = TaskPage {
        records: vec![Arc::new(made(1)), Arc::new(made(2))],
        next: Some((NOW_MS, made(2).id)),
    };
    let told = parsed(|out| listed(out, &id(), &page));
    assert_eq!(told["result"]["tasks"][1]["taskId"], hex(2));
    assert_eq!(told["result"]["tasks"][0]["ttl"], 60_000);
    let place = |text: &str| {
        let mut quoted = Vec::new();
        crate::wire::json::write_str(&mut quoted, text);
        let found = read_place(Reader::new(&quoted, 0).string().unwrap());
        found.ok()
    };
    let next = told["result"]["nextCursor"].as_str().unwrap();
    assert_eq!(place(next), page.next);
    for other in [
        "",
        &next[1..],
        &cursor::write(List::Tools, "x"),
        &cursor::write(List::Tasks, "x"),
    ] {
        assert_eq!(place(other), None, "{other}");
    }
    let last = parsed(|out| listed(out, &id(), &TaskPage::default()));
    assert_eq!(last["result"], json!({"tasks": []}));
    let table = Table::new(crate::limits::Limits::default());
    let page = table.list(&samples::owner(), page.next, 5);
    assert!(page.records.is_empty());
}

#[test]
fn notifications_have_the_task_in_their_form() {
    let records = samples::in_each_state();
    let modern = parsed(|out| changed(out, &id(), &records[3]));
    assert_eq!(modern["method"], "notifications/tasks");
    assert_eq!(
        modern["params"]["_meta"],
        json!({"io.modelcontextprotocol/subscriptionId": 7})
    );
    assert_eq!(modern["params"]["result"]["content"][0]["text"], "done");
    let legacy = parsed(|out| status_changed(out, &records[3]));
    assert_eq!(legacy["method"], "notifications/tasks/status");
    assert_eq!(legacy["params"]["status"], "completed");
    assert!(legacy["params"].get("_meta").is_none() && legacy["params"].get("result").is_none());
}

#[test]
fn a_question_goes_out_as_a_request_whose_id_leads_back_to_it() {
    let mut record = samples::in_each_state().remove(1);
    let State::InputRequired { open, .. } = &record.state else {
        panic!("{record:?}");
    };
    let open = Arc::clone(open);
    for question in open.iter() {
        let told = parsed(|out| assert!(ask(out, &record, question)));
        assert_eq!(told["method"], "elicitation/create");
        assert_eq!(told["params"]["message"], "Sure?");
        let related = &told["params"]["_meta"]["io.modelcontextprotocol/related-task"];
        assert_eq!(related["taskId"], hex(2));
        let (task, mark) = read_question_id(told["id"].as_str().unwrap()).unwrap();
        assert_eq!(task, hex(2));
        assert_eq!(marked_key(&record, mark), Some(&*question.key));
    }
    let other = Question {
        key: "other".into(),
        request: br#"{"method":"roots/list"}"#.as_slice().into(),
    };
    let told = parsed(|out| assert!(ask(out, &record, &other)));
    assert_eq!(told["params"].as_object().unwrap().len(), 1);
    for (params, keys) in [
        ("{}", vec!["_meta"]),
        (r#"{ "a":{"_meta":{}} }"#, vec!["_meta", "a"]),
        (r#"{"a":1,"_meta" : { "x":1 }}"#, vec!["a", "_meta"]),
        (r#"{"_meta":{ }}"#, vec!["_meta"]),
    ] {
        let other = Question {
            key: "other".into(),
            request: format!(r#"{{"params":{params},"method":"roots/list"}}"#)
                .into_bytes()
                .into(),
        };
        let told = parsed(|out| assert!(ask(out, &record, &other)));
        assert_eq!(
            told["params"]
                .as_object()
                .unwrap()
                .keys()
                .collect::<Vec<_>>(),
            keys
        );
        let meta = &told["params"]["_meta"];
        assert_eq!(
            meta["io.modelcontextprotocol/related-task"]["taskId"],
            hex(2)
        );
        assert_eq!(meta.get("x").is_some(), params.contains("x"));
    }
    assert_eq!(marked_key(&record, &key_mark("other")), None);
    record.state = State::Cancelled;
    assert_eq!(marked_key(&record, &key_mark("name")), None);
    for none in ["", "7", "abc/def", &hex(2)] {
        assert_eq!(read_question_id(none), None);
    }
    let broken = Question {
        key: "x".into(),
        request: b"{}".as_slice().into(),
    };
    assert!(!ask(&mut Vec::new(), &made(1), &broken));
}

#[test]
fn the_longest_key_still_gives_an_id_that_may_come_back() {
    let question = samples::question(&"k".repeat(10_000));
    let told = parsed(|out| assert!(ask(out, &made(1), &question)));
    assert!(told["id"].as_str().unwrap().len() + 2 <= crate::limits::ID_BYTES_MAX);
}
