//! Many of something: nothing is held for those who wait, and everything comes home.

use crate::harness::{Appliance, Client};

const CONNECTION_COUNT: usize = 500;

fn open_files(appliance: &Appliance) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", appliance.pid()))
        .unwrap()
        .count()
}

#[test]
fn idle_connections_hold_no_buffer_and_their_descriptors_come_home() {
    let appliance = Appliance::start();
    appliance
        .connect()
        .call("echo", serde_json::json!({"text": "warm"}));
    appliance.eventually("the first connection closes", || {
        appliance.metric("margay_connections_open", "") == 0.0
    });
    let before = open_files(&appliance);
    let mut clients: Vec<Client> = (0..CONNECTION_COUNT).map(|_| appliance.connect()).collect();
    for round in ["first", "again"] {
        for client in &mut clients {
            let result = client.call("echo", serde_json::json!({"text": round}));
            assert_eq!(result["content"][0]["text"], round);
        }
        assert_eq!(
            appliance.metric("margay_connections_open", ""),
            CONNECTION_COUNT as f64
        );
        assert_eq!(appliance.metric("margay_buffers_checked_out", ""), 0.0);
    }
    drop(clients);
    appliance.eventually("all descriptors come home", || {
        // The scrape above may still have had its own open when they were counted.
        open_files(&appliance) <= before
    });
}

#[test]
fn sessions_that_are_never_closed_stay_at_their_cap_and_expire() {
    let appliance = Appliance::with(
        &[],
        "limits:\n  session_count_max: 50\n  session_idle_deadline: 2s\n",
    );
    let mut client = appliance.connect();
    let last = (0..200)
        .map(|_| client.initialize("2025-11-25"))
        .last()
        .unwrap();
    assert!(appliance.metric("margay_sessions ", "") <= 50.0);
    assert!(appliance.metric("margay_sessions_evicted_total", "") >= 100.0);
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let header = format!("Mcp-Session-Id: {last}\r\n");
    assert_eq!(client.post(ping, &header).status, 200);
    appliance.eventually("all sessions expire", || {
        appliance.metric("margay_sessions ", "") == 0.0
    });
    assert_eq!(client.post(ping, &header).status, 404);
}
