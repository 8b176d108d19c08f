//! Sockets and names: only addresses that a line is about, and only names that one is about are looked up.

use std::net::TcpListener;

use super::guest::{Guest, SOCKET_DENIED};
use super::*;

fn at(address: [u8; 4]) -> IpAddr {
    IpAddr::from(address)
}

#[test]
fn without_a_grant_there_is_no_socket_and_no_lookup() {
    let mut court = Court::with(vec![("api.test", vec![vec![at([127, 0, 0, 9])]])], None);
    let mut guest = Guest::default();
    guest.connect([127, 0, 0, 1], 80);
    guest.lookup("api.test");
    let component = court.load(&guest, "  {}");
    assert_eq!(
        court.answer_of(&component),
        format!("{SOCKET_DENIED}{SOCKET_DENIED}")
    );
    let refusals = court.refusals(&component);
    let methods: Vec<_> = refusals.iter().map(|(method, ..)| &**method).collect();
    assert_eq!(methods, ["tcp socket", "dns lookup"]);
    assert!(
        refusals
            .iter()
            .all(|(.., rule)| rule == "no rule allows it")
    );
    assert!(court.names.asked.lock().unwrap().is_empty());
}

#[test]
fn a_socket_reaches_granted_addresses_and_ports_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut court = Court::new();
    let mut guest = Guest::default();
    guest.connect([127, 0, 0, 1], port);
    guest.connect([127, 0, 0, 1], other.local_addr().unwrap().port());
    guest.connect([127, 0, 0, 2], port);
    guest.connect([169, 254, 169, 254], 80);
    let permissions = format!("  network:\n    allow: [{{host: \"127.0.0.1:{port}\"}}]");
    let component = court.load(&guest, &permissions);
    assert_eq!(
        court.answer_of(&component),
        format!("...{SOCKET_DENIED}.{SOCKET_DENIED}.{SOCKET_DENIED}")
    );
    let refusals = court.refusals(&component);
    assert_eq!(refusals.len(), 3, "{refusals:?}");
    assert!(refusals.iter().all(|(method, ..)| method == "tcp connect"));
}

#[test]
fn a_name_is_looked_up_if_a_line_is_about_it_and_leads_where_it_may() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let names = vec![
        ("api.test", vec![vec![at([127, 0, 0, 1])]]),
        ("inside.test", vec![vec![at([10, 0, 0, 7])]]),
        ("other.example", vec![vec![at([127, 0, 0, 1])]]),
    ];
    let mut court = Court::with(names, None);
    let mut guest = Guest::default();
    guest.lookup("API.test.");
    guest.connect([127, 0, 0, 1], port);
    guest.lookup("inside.test");
    guest.lookup("other.example");
    guest.lookup("absent.test");
    let permissions = "  network:\n    allow: [{host: \"*.test\"}, {cidr: 127.0.0.1/32}]";
    let component = court.load(&guest, permissions);
    let denied = SOCKET_DENIED;
    assert_eq!(
        court.answer_of(&component),
        format!(".001..{denied}{denied}S")
    );
    let refusals = court.refusals(&component);
    assert_eq!(refusals.len(), 2, "{refusals:?}");
    assert!(refusals[0].2.contains("private addresses"), "{refusals:?}");
    assert_eq!(refusals[1].1, "other.example");
    assert!(
        !court
            .names
            .asked
            .lock()
            .unwrap()
            .contains(&"other.example".to_owned())
    );
}

#[test]
fn a_call_that_waits_for_a_silent_server_ends_at_its_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut court = Court::new();
    let mut guest = Guest::default();
    guest.connect([127, 0, 0, 1], port);
    guest.then("(call $take (i32.load (i32.const 1028)) (i64.const 10) (i32.const 1024))");
    let permissions = format!("  network:\n    allow: [{{host: \"127.0.0.1:{port}\"}}]");
    let component = court.load(&guest, &permissions);
    let mut out = Vec::new();
    let call = CallContext::new(7, Instant::now() + Duration::from_millis(300));
    let started = court.bench.pool.call(&component, 0, None, call, &mut out);
    assert!(matches!(started, Started::Moved(_)));
    let finished = court.bench.finished();
    assert_eq!(finished.report.outcome, CallOutcome::Deadline);
}

#[test]
fn nobody_is_listened_to_without_a_line_about_that_address() {
    let mut court = Court::new();
    let mut guest = Guest::default();
    guest.listen(None);
    guest.listen(Some(([0, 0, 0, 0], 0)));
    guest.listen(Some(([0, 0, 0, 0], 18_080)));
    guest.listen(Some(([127, 0, 0, 1], 0)));
    let permissions =
        "  network:\n    allow: [{host: \"*\", protocols: [tcp, udp]}, {cidr: 10.0.0.0/8}]";
    let component = court.load(&guest, permissions);
    let answer = court.answer_of(&component);
    let denied = SOCKET_DENIED;
    // To be bound to any address is what happens to each socket, to listen there is not; `J` is what was not bound and cannot listen.
    assert_eq!(answer, format!("J.{denied}{denied}J{denied}J"));
    let refusals = court.refusals(&component);
    assert!(
        refusals
            .iter()
            .all(|(.., rule)| rule.contains("addresses are refused")),
        "{refusals:?}"
    );
    assert_eq!(refusals.len(), 3, "{refusals:?}");
}

#[test]
fn a_datagram_goes_to_granted_addresses_alone_and_only_where_udp_is() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let port = socket.local_addr().unwrap().port();
    let mut court = Court::new();
    let mut guest = Guest::default();
    guest.send_to([127, 0, 0, 1], port);
    guest.send_to([127, 0, 0, 2], port);
    guest.send_to([169, 254, 169, 254], 53);
    let udp = "  network:\n    allow: [{cidr: 127.0.0.1/32, protocols: [udp]}]";
    let component = court.load(&guest, udp);
    let denied = SOCKET_DENIED;
    assert_eq!(
        court.answer_of(&component),
        format!("...{}", format!("..{denied}").repeat(2))
    );
    assert_eq!(court.refusals(&component).len(), 2);
    assert!(socket.recv(&mut [0; 8]).is_ok() && socket.recv(&mut [0; 8]).is_err());
    // A line that does not say so is about TCP.
    let component = court.load(&guest, "  network:\n    allow: [{cidr: 127.0.0.1/32}]");
    assert_eq!(court.answer_of(&component), format!("..{denied}").repeat(3));
}
