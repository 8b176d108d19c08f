//! The promises, held with texts of both eras cut anywhere, and with made-up ones.

use super::*;
use proptest::prelude::*;

/// Texts of every kind that is put through here.
const TEXTS: [&str; 14] = [
    r#"{"name":"x","arguments":{"n":1e400},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":9223372036854775808,"k":1.0},"inputResponses":{"a":{}},"requestState":"s","task":{},"taskId":"t"}"#,
    r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":"v"}}"#,
    r#"{"resultType":"complete","content":[],"structuredContent":[1],"ttlMs":1,"cacheScope":"public","_meta":{}}"#,
    r#"{"contents":[{"uri":"a:b","text":"\u00e9"}]}"#,
    r#"{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"url","url":"u"}},"b":{"method":"roots/list"}},"requestState":"s"}"#,
    r#"{"task":{"taskId":"t","ttl":1,"pollInterval":2},"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}"#,
    r#"{"resultType":"task","taskId":"t","status":"input_required","ttlMs":null,"inputRequests":{"k":{"method":"x","params":{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}}},"result":{},"error":{}}"#,
    r#"{"tasks":[{"taskId":"a"},{"taskId":"b"}],"nextCursor":"c"}"#,
    r#"{"code":-32602,"message":"m","data":{"uri":"a:b"}}"#,
    r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"user"}],"tools":[],"maxTokens":1}"#,
    r#"{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"model":"m"}"#,
    r#"{"mode":"form","message":"m","requestedSchema":{},"elicitationId":"e"}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1},"uri":"a:b"}}"#,
    r#"{"a":{"action":"accept","content":{}},"b":{"roots":[]},"b":7,"\u0062":{}}"#,
];

#[test]
fn the_promises_hold_for_texts_of_both_eras_cut_anywhere() {
    for text in TEXTS {
        for end in 0..=text.len() {
            check(&text.as_bytes()[..end]);
        }
    }
    for nested in [31, 32, 33, 1020, 1024, 1025] {
        let deep = format!("{}0{}", "{\"a\":".repeat(nested), "}".repeat(nested));
        check(deep.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_promises_hold_for_texts_with_bytes_changed(
        which in 0..TEXTS.len(),
        changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..4),
    ) {
        let mut text = TEXTS[which].as_bytes().to_vec();
        for (place, byte) in changes {
            let at = usize::from(place) % text.len();
            text[at] = byte;
        }
        check(&text);
    }

    #[test]
    fn the_promises_hold_for_members_of_every_meaning_in_any_order(
        members in proptest::collection::vec((0..TOUCHED.len() + 1, 0..8usize), 0..8),
    ) {
        const VALUES: [&str; 8] = [
            "{}", "[]", "null", "1e400", r#""t""#,
            r#"{"taskId":"t","method":"m","name":"n","_meta":{},"params":{}}"#,
            r#"[{"taskId":"t","content":[{}]},[]]"#,
            "-32602",
        ];
        let member = |(key, value): &(usize, usize)| {
            format!("\"{}\":{}", TOUCHED.get(*key).unwrap_or(&"x"), VALUES[*value])
        };
        let members: Vec<String> = members.iter().map(member).collect();
        check(format!("{{{}}}", members.join(",")).as_bytes());
    }
}
