//! Connections that the ring begins, and streams that it adopts: the same promises on every kernel interface.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;

use super::*;

/// Steps until the servers have every connection, and hands them out.
fn accept_all<H: Host>(host: &mut H, echo: &mut Echo, count: usize) -> Vec<H::Peer> {
    let mut peers = Vec::new();
    for _ in 0..100_000 {
        host.step(echo);
        peers.extend(host.accept());
        if peers.len() == count {
            return peers;
        }
    }
    panic!("{} of {count} arrived", peers.len());
}

fn a_connection_carries_bytes_both_ways<H: Host>() {
    let mut host = H::new(20, Faults::none(), options());
    let mut echo = Echo::new(20);
    let address = host.serve();
    let key = host.ring().connect(address).unwrap();
    echo.expect(key);
    assert!(host.ring().peer(key).is_none(), "not connected yet");
    let mut peer = accept_all(&mut host, &mut echo, 1).remove(0);
    host.settle(&mut echo);
    assert_eq!(echo.connected, 1);
    assert!(host.ring().peer(key).is_some());
    peer.write(&pattern(0, 0, 5_000));
    host.settle(&mut echo);
    peer.pump();
    assert_eq!(peer.got(), pattern(0, 0, 5_000));
    peer.finish();
    host.settle(&mut echo);
    echo.all_is_home(host.ring());
    host.check_descriptors(0);
}

fn what_is_asked_for_early_begins_with_the_connection<H: Host>() {
    let mut host = H::new(21, Faults::none(), options());
    let mut echo = Echo::new(21);
    let address = host.serve();
    let key = host.ring().connect(address).unwrap();
    echo.expect(key);
    echo.busy(key);
    host.ring().receive(key);
    host.ring().pause(key);
    host.ring().receive(key);
    host.ring().send(key, Output::from(b"hello".as_slice()));
    host.ring().shutdown(key);
    let mut peer = accept_all(&mut host, &mut echo, 1).remove(0);
    host.settle(&mut echo);
    peer.pump();
    assert_eq!((echo.sent, peer.got()), (1, b"hello".as_slice()));
    assert!(peer.saw_end(), "the shutdown follows the send");
}

fn a_refused_connection_fails_once<H: Host>() {
    let mut host = H::new(22, Faults::none(), options());
    let mut echo = Echo::new(22);
    let address = host.deaf_address();
    let key = host.ring().connect(address).unwrap();
    echo.expect(key);
    echo.busy(key);
    let pool = BufferPool::with_limit(1 << 20);
    let mut buffer = pool.take(100).unwrap();
    buffer.extend_from_slice(b"never sent");
    host.ring().receive(key);
    host.ring().send(key, Output::from(buffer));
    host.settle(&mut echo);
    assert_eq!(echo.errors, [SocketError::Refused]);
    assert_eq!(
        (echo.connected, echo.closed, pool.stats().checked_out),
        (0, 1, 0)
    );
    echo.all_is_home(host.ring());
    host.check_descriptors(0);
}

fn a_connection_that_nobody_answers_is_closed_and_not_told_of<H: Host>() {
    let mut host = H::new(23, Faults::none(), options());
    let mut echo = Echo::new(23);
    let address = host.silent_address();
    let key = host.ring().connect(address).unwrap();
    echo.expect(key);
    host.settle(&mut echo);
    assert_eq!((echo.connected, echo.errors.len()), (0, 0), "still waiting");
    echo.closing(key);
    host.ring().close(key);
    host.settle(&mut echo);
    assert_eq!((echo.closed, echo.errors.len()), (1, 0));
    echo.all_is_home(host.ring());
    host.check_descriptors(0);
}

/// Closes after each possible number of turns: before the kernel has it, while it connects, when it is connected.
fn a_close_at_any_turn_leaves_nothing<H: Host>() {
    for turns in 0..6 {
        let mut host = H::new(24 + turns, Faults::none(), options());
        let mut echo = Echo::new(24);
        let address = host.serve();
        let key = host.ring().connect(address).unwrap();
        echo.expect(key);
        for _ in 0..turns {
            host.step(&mut echo);
        }
        echo.closing(key);
        host.ring().close(key);
        host.settle(&mut echo);
        assert_eq!(echo.closed, 1, "after {turns} turns");
        assert!(echo.errors.is_empty());
        while let Some(mut peer) = host.accept() {
            peer.drain_to_end();
        }
        echo.all_is_home(host.ring());
        host.check_descriptors(0);
    }
}

fn outgoing_connections_have_places_of_their_own<H: Host>() {
    let options = RingOptions {
        socket_count_max: 2,
        connect_count_max: 2,
        ..options()
    };
    let mut host = H::new(30, Faults::none(), options);
    let mut echo = Echo::new(30);
    host.listen();
    let mut clients: Vec<_> = (0..4).map(|_| host.connect()).collect();
    host.settle(&mut echo);
    assert_eq!((echo.accepted, host.ring().stats().refused), (2, 2));
    let address = host.serve();
    for _ in 0..2 {
        let key = host.ring().connect(address).unwrap();
        echo.expect(key);
    }
    let full = host.ring().connect(address).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::QuotaExceeded);
    let peers = accept_all(&mut host, &mut echo, 2);
    host.settle(&mut echo);
    assert_eq!(
        echo.connected, 2,
        "a flood of arrivals does not take their places"
    );
    drop(peers);
    for socket in echo.sockets() {
        echo.closing(socket);
        host.ring().close(socket);
    }
    host.settle(&mut echo);
    clients.push(host.connect());
    let key = host.ring().connect(address).unwrap();
    echo.expect(key);
    let _peers = accept_all(&mut host, &mut echo, 1);
    host.settle(&mut echo);
    assert_eq!((echo.accepted, echo.connected), (3, 3), "places come back");
}

fn an_adopted_stream_carries_bytes_both_ways<H: Host>() {
    let mut host = H::new(31, Faults::none(), options());
    let mut echo = Echo::new(31);
    let (key, mut peer) = host.adopt();
    echo.adopted(key);
    host.ring().receive(key);
    peer.write(&pattern(3, 0, 100_000));
    for _ in 0..50 {
        host.settle(&mut echo);
        peer.pump();
    }
    assert_eq!(peer.got(), pattern(3, 0, 100_000));
    peer.finish();
    host.settle(&mut echo);
    peer.drain_to_end();
    echo.all_is_home(host.ring());
    host.check_descriptors(0);
}

fn connections_that_hang_never_keep_others_from_sending_or_closing<H: Host>() {
    let mut host = H::new(32, Faults::none(), tiny());
    let mut echo = Echo::new(32);
    let listener = host.listen();
    let address = host.silent_address();
    for _ in 0..20 {
        let key = host.ring().connect(address).unwrap();
        echo.expect(key);
    }
    let hanging = echo.sockets();
    let mut peer = host.connect();
    peer.write(b"question");
    host.settle(&mut echo);
    peer.pump();
    assert_eq!(peer.got(), b"question");
    for socket in hanging {
        echo.closing(socket);
        host.ring().close(socket);
    }
    host.settle(&mut echo);
    assert_eq!(echo.closed, 20, "{:?}", host.ring().stats());
    peer.finish();
    host.ring().stop_listening(listener);
    host.settle(&mut echo);
    echo.all_is_home(host.ring());
    host.check_descriptors(0);
}

fn a_dropped_ring_gives_up_connecting<H: Host>() {
    let mut host = H::new(33, Faults::none(), options());
    let mut echo = Echo::new(33);
    let silent = host.silent_address();
    let address = host.serve();
    for address in [silent, address, silent] {
        let key = host.ring().connect(address).unwrap();
        echo.expect(key);
    }
    host.step(&mut echo);
    host.drop_ring();
    host.check_descriptors(0);
}

/// The ring connects to servers that write and want their bytes back, under faults.
fn every_server_gets_its_own_bytes_back<H: Host>(seed: u64, faults: Faults, options: RingOptions) {
    const COUNT: usize = 4;
    let mut host = H::new(seed, faults, options);
    let mut echo = Echo::new(seed);
    let mut random = Random::new(seed);
    let address = host.serve();
    let total = 1 + random.below(10_000) as usize;
    let mut peers: Vec<(H::Peer, usize)> = Vec::new();
    let mut rounds = 0;
    loop {
        while echo.sockets().len() < COUNT && peers.len() + echo.errors.len() < COUNT {
            let key = host.ring().connect(address).unwrap();
            echo.expect(key);
        }
        peers.extend(host.accept().map(|peer| (peer, 0)));
        for (number, (peer, written)) in peers.iter_mut().enumerate() {
            let part = (random.below(3_000) as usize).min(total - *written);
            if part > 0 {
                peer.write(&pattern(number, *written, part));
                *written += part;
            }
            peer.pump();
        }
        host.step(&mut echo);
        let settled = peers
            .iter()
            .all(|(peer, written)| *written == total && !peer.expects_more(total));
        if settled && peers.len() + echo.errors.len() >= COUNT {
            break;
        }
        rounds += 1;
        assert!(rounds < 400_000, "seed {seed}: {:?}", host.ring().stats());
    }
    for (number, (peer, _)) in peers.iter_mut().enumerate() {
        let expected = pattern(number, 0, total);
        if peer.is_broken() {
            assert!(expected.starts_with(peer.got()), "seed {seed}: {number}");
        } else {
            assert_eq!(peer.got(), expected, "seed {seed}: server {number}");
        }
        peer.finish();
    }
    for socket in echo.sockets() {
        if rounds % 2 == 0 && !echo.failed.contains(&socket) {
            echo.closing(socket);
            host.ring().close(socket);
        }
    }
    for _ in 0..3 {
        host.settle(&mut echo);
        while let Some(mut peer) = host.accept() {
            peer.finish();
        }
    }
    echo.all_is_home(host.ring());
    host.check_descriptors(0);
}

macro_rules! suite {
    ($module:ident, $host:ty, $seeds:expr, [$($name:ident),* $(,)?]) => {
        mod $module {
            use super::*;

            $(
                #[test]
                fn $name() {
                    super::$name::<$host>();
                }
            )*

            #[test]
            fn every_server_gets_its_own_bytes_back() {
                for seed in 0..$seeds {
                    let options = if seed % 2 == 0 { tiny() } else { options() };
                    super::every_server_gets_its_own_bytes_back::<$host>(seed, Faults::none(), options);
                }
            }
        }
    };
    ($($module:ident: $host:ty, $seeds:expr;)*) => {
        $(
            suite!($module, $host, $seeds, [
                a_connection_carries_bytes_both_ways,
                what_is_asked_for_early_begins_with_the_connection,
                a_refused_connection_fails_once,
                a_connection_that_nobody_answers_is_closed_and_not_told_of,
                a_close_at_any_turn_leaves_nothing,
                outgoing_connections_have_places_of_their_own,
                an_adopted_stream_carries_bytes_both_ways,
                connections_that_hang_never_keep_others_from_sending_or_closing,
                a_dropped_ring_gives_up_connecting,
            ]);
        )*
    };
}

suite! {
    uring: UringHost, 4;
    epoll: EpollHost, 4;
    sim: SimHost, 50;
}

#[test]
fn no_survivable_fault_loses_or_crosses_a_byte_of_an_outgoing_connection() {
    for seed in seeds() {
        let options = if seed % 2 == 0 { tiny() } else { options() };
        every_server_gets_its_own_bytes_back::<SimHost>(seed, Faults::survivable(seed), options);
    }
}

#[test]
fn under_every_fault_outgoing_connections_retire_and_all_is_home() {
    for seed in seeds() {
        let options = if seed % 2 == 0 { tiny() } else { options() };
        every_server_gets_its_own_bytes_back::<SimHost>(seed, Faults::all(seed), options);
    }
}

#[test]
fn whichever_step_breaks_an_outgoing_connection_all_comes_home() {
    for step in 1..400 {
        let faults = Faults {
            break_step: step,
            ..Faults::none()
        };
        every_server_gets_its_own_bytes_back::<SimHost>(2, faults, tiny());
    }
}

#[test]
fn what_is_no_stream_is_not_adopted() {
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut ring = super::super::UringRing::new(options()).unwrap();
    let refused = ring.adopt(OwnedFd::from(datagrams)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    assert!(ring.adopt(file).is_err());
    assert_eq!(ring.open_sockets(), 0);
}
