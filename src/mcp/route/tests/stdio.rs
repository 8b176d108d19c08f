use super::*;

fn line(process: &mut Process, body: &str) -> Told {
    told(scan(body.as_bytes(), 64).and_then(|message| route_stdio(process, &message)))
}

#[test]
fn over_stdio_the_handshake_comes_first_and_once() {
    let mut process = Process::default();
    assert_eq!(line(&mut process, &request("tools/list")).code, -32600);
    assert_eq!(line(&mut process, &request("ping")).code, 0);
    let told = line(
        &mut process,
        &INITIALIZE.replace("2025-06-18", "2024-11-05"),
    );
    assert!(told.text.contains("V2024_11_05"), "{told:?}");
    assert_eq!(process.revision(), Some(Revision::V2024_11_05));
    assert_eq!(
        process.client_info(),
        Some(br#"{"name":"t","version":"1"}"#.as_slice())
    );
    assert!(!process.is_initialized());
    assert_eq!(
        line(
            &mut process,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#
        )
        .status,
        202
    );
    assert!(process.is_initialized());
    assert_eq!(line(&mut process, &request("tools/list")).code, 0);
    assert_eq!(line(&mut process, INITIALIZE).code, -32600);
    assert_eq!(line(&mut process, &request("no/such")).code, -32601);
}

#[test]
fn over_stdio_modern_requests_need_no_handshake_and_change_none() {
    let mut process = Process::default();
    let modern = |method: &str, params: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}{MODERN_META}}}}}"#
        )
    };
    assert_eq!(line(&mut process, &modern("server/discover", "")).code, 0);
    assert_eq!(
        line(&mut process, &modern("tools/call", r#""name":"echo","#)).code,
        0
    );
    assert_eq!(
        line(
            &mut process,
            &modern("subscriptions/listen", r#""notifications":{},"#)
        )
        .code,
        0
    );
    assert_eq!(line(&mut process, &modern("ping", "")).code, -32601);
    assert_eq!(line(&mut process, &modern("initialize", "")).code, -32601);
    assert_eq!(process.revision(), None);
    assert_eq!(line(&mut process, &request("server/discover")).code, -32602);
    let unknown = modern("server/discover", "").replace("2026-07-28", "2099-01-01");
    assert_eq!(line(&mut process, &unknown).code, -32022);
    assert_eq!(line(&mut process, INITIALIZE).code, 0);
    assert!(
        line(&mut process, &modern("tools/list", ""))
            .text
            .contains("V2026_07_28")
    );
    assert!(
        line(&mut process, &request("tools/list"))
            .text
            .contains("V2025_06_18")
    );
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    assert!(line(&mut process, cancel).text.contains("Cancelled"));
}
