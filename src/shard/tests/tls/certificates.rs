//! Who proves what to whom.

use super::*;

fn shown(secure: &Secure) -> Vec<Option<Vec<u8>>> {
    let connections = secure.world.shard.connections.iter().flatten();
    connections
        .filter_map(|(_, connection)| connection.tls.as_ref())
        .map(|tls| tls.client_certificate().map(<[u8]>::to_vec))
        .collect()
}

#[test]
fn a_clients_certificate_is_verified_and_handed_up() {
    let people = Authority::new();
    let someone = people.sign("someone");
    for version in rustls::ALL_VERSIONS {
        for required in [true, false] {
            let clients = Some((&people, required));
            let mut secure = Secure::asking(1, Faults::none(), Limits::default(), clients);
            let protocols = ["http/1.1"];
            let config = secure
                .authority
                .client_with(&[version], &protocols, Some(&someone));
            let mut client = secure.connect_as(config);
            let got = client.ask(&mut secure.world, &call(1, "me"));
            assert_eq!(answers(got.as_bytes()).len(), 1);
            assert_eq!(shown(&secure), [Some(someone.der().to_vec())]);
        }
    }
}

#[test]
fn who_has_no_certificate_is_served_only_where_none_is_required() {
    let people = Authority::new();
    for version in rustls::ALL_VERSIONS {
        for required in [true, false] {
            let clients = Some((&people, required));
            let mut secure = Secure::asking(1, Faults::none(), Limits::default(), clients);
            let config = secure.authority.client_with(&[version], &[], None);
            let mut client = secure.connect_as(config);
            client.say(&call(1, "nobody"));
            client.talk(&mut secure.world);
            assert_eq!(answers(&client.got).is_empty(), required);
            if required {
                assert!(client.alert().is_some(), "{:?}", client.failed);
                assert_eq!(secure.counted(Counter::Requests), 0);
                assert!(client.socket.is_finished());
            } else {
                assert_eq!(shown(&secure), [None]);
            }
        }
    }
}

#[test]
fn a_wrong_or_expired_certificate_is_refused_also_where_none_is_needed() {
    let people = Authority::new();
    let wrong = [
        Authority::new().sign("someone"),
        people.sign_expired("someone"),
    ];
    for version in rustls::ALL_VERSIONS {
        for (own, required) in [(0, true), (0, false), (1, true), (1, false)] {
            let clients = Some((&people, required));
            let mut secure = Secure::asking(1, Faults::none(), Limits::default(), clients);
            let config = secure
                .authority
                .client_with(&[version], &[], Some(&wrong[own]));
            let mut client = secure.connect_as(config);
            client.say(&call(1, "me"));
            client.talk(&mut secure.world);
            let told = client.alert().expect("an alert says why");
            let expired = told == AlertDescription::CertificateExpired;
            assert_eq!(expired, own == 1, "{told:?}");
            assert!(client.got.is_empty());
            assert_eq!(secure.counted(Counter::Requests), 0);
        }
    }
}

#[test]
fn clients_come_back_with_tickets_and_are_who_they_were() {
    let people = Authority::new();
    let someone = people.sign("someone");
    for version in rustls::ALL_VERSIONS {
        let clients = Some((&people, true));
        let mut secure = Secure::asking(1, Faults::none(), Limits::default(), clients);
        let config = secure
            .authority
            .client_with(&[version], &[], Some(&someone));
        for round in 0..3 {
            let mut client = secure.connect_as(Arc::clone(&config));
            let got = client.ask(&mut secure.world, &call(1, "again"));
            assert_eq!(answers(got.as_bytes()).len(), 1);
            assert_eq!(shown(&secure), [Some(someone.der().to_vec())]);
            assert_eq!(secure.counted(Counter::TlsResumed), round);
            client.socket.close();
            comes_to_rest(&mut secure.world, 1);
        }
        assert_eq!(secure.counted(Counter::TlsHandshakes), 1);
    }
}

#[test]
fn a_ticket_does_not_outlive_the_trust_in_its_client() {
    let (before, after) = (Authority::new(), Authority::new());
    let someone = before.sign("someone");
    for version in rustls::ALL_VERSIONS {
        let clients = Some((&before, true));
        let mut secure = Secure::asking(1, Faults::none(), Limits::default(), clients);
        let config = secure
            .authority
            .client_with(&[version], &[], Some(&someone));
        let mut client = secure.connect_as(Arc::clone(&config));
        let got = client.ask(&mut secure.world, &call(1, "before"));
        assert_eq!(answers(got.as_bytes()).len(), 1);
        // The worst case: whoever exchanged the setup left the tickets good.
        let mut changed = setup(&secure.authority, Some((&after, true)));
        let mut again = server(&secure.authority.sign("localhost"), changed.clients.clone());
        again.ticketer = Arc::clone(&secure.listener.setup().config.ticketer);
        changed.config = Arc::new(again);
        secure.listener.exchange(changed);
        let mut client = secure.connect_as(config);
        client.say(&call(1, "after"));
        client.talk(&mut secure.world);
        assert!(client.got.is_empty());
        assert_eq!(secure.counted(Counter::Requests), 1);
    }
}

#[test]
fn an_exchange_cuts_nobody_off_and_the_next_one_gets_the_new_certificate() {
    let mut secure = Secure::calm();
    let mut old = secure.connected();
    let before = old.tls.peer_certificates().unwrap()[0].clone();
    let mut halfway = secure.connect();
    let hello = halfway.hear();
    halfway.socket.write(&hello[..20]);
    secure.world.turns(3);
    secure.listener.exchange(setup(&secure.authority, None));
    halfway.socket.write(&hello[20..]);
    let mut new = secure.connect();
    for client in [&mut old, &mut halfway, &mut new] {
        let got = client.ask(&mut secure.world, &call(1, "x"));
        assert_eq!(answers(got.as_bytes()).len(), 1);
    }
    let seen = |client: &Client| client.tls.peer_certificates().unwrap()[0].clone();
    assert_eq!(seen(&halfway), before);
    assert_ne!(seen(&new), before);
}
