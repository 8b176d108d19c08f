//! How connections end: in good order where there is one, at a deadline where there is not.

use super::*;

#[test]
fn an_idle_connection_is_told_the_end_before_it_is_closed() {
    let mut secure = Secure::calm();
    let mut client = secure.connected();
    secure.world.pass(76_000);
    client.talk(&mut secure.world);
    assert!(client.is_told_the_end() && client.socket.is_finished());
    assert_eq!(secure.counted(Counter::DeadlineIdle), 1);
    secure.world.pass(3_000);
    assert!(client.socket.is_closed());
    client.socket.close();
    comes_to_rest(&mut secure.world, 1);
}

#[test]
fn who_says_goodbye_hears_it_too() {
    let mut secure = Secure::calm();
    let mut client = secure.connected();
    client.tls.send_close_notify();
    client.talk(&mut secure.world);
    assert!(client.is_told_the_end() && client.socket.is_closed());
    client.socket.close();
    comes_to_rest(&mut secure.world, 1);
}

#[test]
fn who_says_goodbye_behind_a_request_still_has_its_answer() {
    for cut in [false, true] {
        let mut secure = Secure::calm();
        let mut client = secure.connected();
        // Not a call: nobody computes for who has left.
        client.say(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.tls.send_close_notify();
        if !cut {
            client.talk(&mut secure.world);
        } else {
            client.piece_bytes = 7;
            client.talk(&mut secure.world);
        }
        assert!(client.got.starts_with(b"HTTP/1.1 404 "));
        assert!(client.is_told_the_end());
        client.socket.close();
        comes_to_rest(&mut secure.world, 1);
    }
}

#[test]
fn a_connection_that_ends_without_a_goodbye_is_closed() {
    let mut secure = Secure::calm();
    let client = secure.connected();
    client.socket.finish();
    secure.world.turns(20);
    assert!(client.socket.is_closed());
    comes_to_rest(&mut secure.world, 1);
}

#[test]
fn the_last_answer_is_followed_by_a_goodbye() {
    let mut secure = Secure::calm();
    let mut client = secure.connected();
    let got = client.ask(
        &mut secure.world,
        b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert!(got.starts_with("HTTP/1.1 404 "), "{got}");
    assert!(client.is_told_the_end() && client.socket.is_finished());
    client.socket.close();
    comes_to_rest(&mut secure.world, 1);
}

#[test]
fn a_drain_says_goodbye_and_ends() {
    let mut secure = Secure::calm();
    let mut idle = secure.connected();
    let mut busy = secure.connected();
    let halfway = secure.connect();
    let bytes = call(7, "last");
    busy.say(&bytes[..40]);
    busy.talk(&mut secure.world);
    secure.world.shard.service().shared.drain();
    secure.world.turns(20);
    assert!(halfway.socket.is_closed());
    idle.talk(&mut secure.world);
    assert!(idle.is_told_the_end());
    let got = busy.ask(&mut secure.world, &bytes[40..]);
    assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
    assert!(busy.is_told_the_end());
    for client in [&idle, &busy, &halfway] {
        client.socket.close();
    }
    let drained = (0..200).any(|_| {
        secure.world.now_ms += 50;
        secure.world.turn() == Turn::Drained
    });
    assert!(drained);
}

#[test]
fn a_peer_that_does_not_read_over_tls_is_closed_at_the_write_deadline() {
    let mut secure = Secure::calm();
    let mut client = secure.connected();
    client.socket.set_window(Some(64));
    for id in 0..3 {
        client.say(&call(id, "unread"));
    }
    let mut bytes = Vec::new();
    while client.tls.wants_write() {
        client.tls.write_tls(&mut bytes).unwrap();
    }
    client.socket.write(&bytes);
    secure.world.turns(100);
    assert!(!client.socket.is_closed());
    secure.world.pass(31_000);
    assert!(client.socket.is_closed());
    client.socket.close();
    comes_to_rest(&mut secure.world, 1);
}

#[test]
fn part_of_a_record_has_to_be_followed_by_the_rest_in_time() {
    let mut secure = Secure::calm();
    let mut client = secure.connected();
    client.say(&call(1, "slow"));
    let bytes = client.hear();
    for byte in &bytes[..9] {
        client.socket.write(&[*byte]);
        secure.world.pass(1_000);
        assert!(!client.socket.is_finished());
    }
    secure.world.pass(2_000);
    client.talk(&mut secure.world);
    let got = String::from_utf8_lossy(&client.got).into_owned();
    assert!(got.starts_with("HTTP/1.1 408 "), "{got}");
    assert_eq!(secure.counted(Counter::DeadlineHead), 1);
    client.socket.close();
    comes_to_rest(&mut secure.world, 1);
}

#[test]
fn records_that_were_tampered_with_end_the_connection_and_are_no_request() {
    let mut secure = Secure::calm();
    let mut client = secure.connected();
    client.say(&call(1, "x"));
    let mut bytes = client.hear();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    client.socket.write(&bytes);
    client.talk(&mut secure.world);
    assert_eq!(client.alert(), Some(AlertDescription::BadRecordMac));
    assert_eq!(secure.counted(Counter::Requests), 0);
    client.socket.close();
    comes_to_rest(&mut secure.world, 1);
}
