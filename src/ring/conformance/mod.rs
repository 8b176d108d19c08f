//! One suite of promises, run on every kernel interface: io_uring and epoll over real sockets, and the simulation.
//!
//! The tests drive a small echo application that behaves badly on purpose: it pauses, holds buffers back, splits
//! its outputs. What must hold at the end is always the same: see [`Echo::all_is_home`].

mod connect;
mod echo;
mod ends;
mod hosts;
mod sleep;

use std::time::Duration;

use echo::{Echo, pattern};
use hosts::{EpollHost, Host, Peer, SimHost, UringHost};

use super::sim::{Faults, Random};
use super::{Completion, Driver, Kernel, Ring, RingOptions, SocketError, SocketKey};
use crate::mem::{BufferPool, Output, SharedBytes};

fn options() -> RingOptions {
    RingOptions {
        receive_buffer_count: 64,
        socket_count_max: 256,
        ..RingOptions::default()
    }
}

fn tiny() -> RingOptions {
    RingOptions {
        entries: 4,
        completion_entries: 16,
        operations_max: 16,
        receive_buffer_count: 2,
        receive_buffer_bytes: 512,
        socket_count_max: 64,
        connect_count_max: 64,
        completions_per_turn_max: 3,
        restricted: true,
    }
}

fn every_client_gets_its_own_bytes_back<H: Host>(
    seed: u64,
    faults: Faults,
    options: RingOptions,
    clients: usize,
) -> H {
    let mut host = H::new(seed, faults, options);
    let mut echo = Echo::new(seed);
    let listener = host.listen();
    let mut random = Random::new(seed);
    let mut peers: Vec<_> = (0..clients)
        .map(|number| (host.connect(), number, 0usize))
        .collect();
    let total = 1 + random.below(20_000) as usize;
    let mut rounds = 0;
    while peers
        .iter()
        .any(|(peer, _, written)| *written < total || peer.expects_more(total))
    {
        for (peer, number, written) in &mut peers {
            let part = (random.below(3_000) as usize).min(total - *written);
            if part > 0 {
                peer.write(&pattern(*number, *written, part));
                *written += part;
            }
            peer.pump();
        }
        host.step(&mut echo);
        rounds += 1;
        assert!(
            rounds < 400_000,
            "seed {seed}: stalled: {:?}",
            host.ring().stats()
        );
    }
    for (peer, number, _) in &mut peers {
        if peer.is_broken() {
            let (expected, got) = (pattern(*number, 0, total), peer.got());
            let wrong = (0..got.len()).find(|index| expected.get(*index) != Some(&got[*index]));
            assert_eq!(
                wrong,
                None,
                "seed {seed}: client {number}: {} of {total} bytes, wrong at",
                got.len()
            );
        } else {
            assert_eq!(
                peer.got(),
                pattern(*number, 0, total),
                "seed {seed}: client {number}"
            );
        }
        peer.finish();
    }
    host.ring().stop_listening(listener);
    host.settle(&mut echo);
    echo.all_is_home(host.ring());
    host.check_descriptors(0);
    host
}

fn a_paused_receive_loses_nothing<H: Host>() {
    let mut host = H::new(7, Faults::none(), options());
    let mut echo = Echo::new(7);
    host.listen();
    let mut peer = host.connect();
    host.settle(&mut echo);
    let socket = echo.only_socket();
    let mut written = 0;
    for round in 0..40 {
        if round % 4 == 1 {
            host.ring().pause(socket);
        }
        peer.write(&pattern(0, written, 700));
        written += 700;
        host.settle(&mut echo);
        if round % 4 == 3 {
            host.ring().receive(socket);
        }
    }
    host.ring().receive(socket);
    host.settle(&mut echo);
    peer.pump();
    assert_eq!(peer.got(), pattern(0, 0, written));
}

fn a_pause_stops_the_flow<H: Host>() {
    let mut host = H::new(8, Faults::none(), options());
    let mut echo = Echo::new(8);
    host.listen();
    let mut peer = host.connect();
    host.settle(&mut echo);
    host.ring().pause(echo.only_socket());
    host.settle(&mut echo);
    peer.write(&pattern(0, 0, 1000));
    host.settle(&mut echo);
    peer.pump();
    assert_eq!(
        peer.got(),
        b"",
        "bytes came through a pause that had settled"
    );
    host.ring().receive(echo.only_socket());
    host.settle(&mut echo);
    peer.pump();
    assert_eq!(peer.got(), pattern(0, 0, 1000));
}

fn starved_receives_go_on_when_a_buffer_comes_home<H: Host>(buffers: u16) {
    let options = RingOptions {
        receive_buffer_count: buffers,
        receive_buffer_bytes: 256,
        ..options()
    };
    let mut host = H::new(3, Faults::none(), options);
    let mut echo = Echo::new(3);
    echo.hold_buffers = true;
    host.listen();
    let mut peers: Vec<_> = (0..16).map(|_| host.connect()).collect();
    host.settle(&mut echo);
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.write(&pattern(number, 0, 600));
    }
    host.settle(&mut echo);
    assert_eq!(
        host.ring().stats().buffers_out,
        usize::from(buffers),
        "the group is lent out"
    );
    assert!(host.ring().stats().starved > 0);
    // Nothing moves while the buffers are held, and nothing spins.
    let before = host.ring().stats().enters;
    host.settle(&mut echo);
    assert!(
        host.ring().stats().enters - before < 2_000,
        "a starved ring spins"
    );
    echo.hold_buffers = false;
    echo.let_go();
    host.settle(&mut echo);
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.pump();
        assert_eq!(peer.got(), pattern(number, 0, 600), "client {number}");
    }
    assert_eq!(host.ring().stats().buffers_out, 0);
}

fn a_large_output_reaches_a_slow_reader_whole<H: Host>() {
    let mut host = H::new(4, Faults::none(), options());
    let mut echo = Echo::new(4);
    host.listen();
    let mut peer = host.connect();
    host.settle(&mut echo);
    let pool = BufferPool::with_limit(32 << 20);
    let mut output = Output::new();
    let mut buffer = pool.take(3 << 20).unwrap();
    buffer.extend_from_slice(&pattern(0, 0, 3 << 20));
    output.push(buffer).unwrap();
    output
        .push(SharedBytes::from(pattern(0, 3 << 20, 1 << 20)))
        .unwrap();
    output.push(b"end".as_slice()).unwrap();
    echo.busy(echo.only_socket());
    host.ring().send(echo.only_socket(), output);
    let mut rounds = 0;
    while peer.got().len() < (4 << 20) + 3 {
        host.step(&mut echo);
        peer.read_some(10_000);
        rounds += 1;
        assert!(rounds < 100_000, "stalled at {}", peer.got().len());
    }
    host.settle(&mut echo);
    assert_eq!(peer.got()[..4 << 20], pattern(0, 0, 4 << 20));
    assert_eq!(&peer.got()[4 << 20..], b"end");
    assert_eq!((pool.stats().checked_out, echo.sent), (0, 1));
}

fn closing_gives_up_a_send_that_nobody_reads<H: Host>() {
    let mut host = H::new(5, Faults::none(), options());
    let mut echo = Echo::new(5);
    let listener = host.listen();
    let mut peer = host.connect();
    peer.stop_reading();
    host.settle(&mut echo);
    let pool = BufferPool::with_limit(64 << 20);
    let mut buffer = pool.take(16 << 20).unwrap();
    buffer.resize(16 << 20, 7);
    let socket = echo.only_socket();
    echo.busy(socket);
    host.ring().send(socket, Output::from(buffer));
    host.settle(&mut echo);
    assert_eq!(
        (echo.sent, pool.stats().checked_out),
        (0, 1),
        "the ring owns what it sends"
    );
    host.ring().close(socket);
    host.ring().close(socket);
    host.settle(&mut echo);
    assert_eq!((echo.closed, pool.stats().checked_out), (1, 0));
    // A stale key does nothing.
    host.ring().receive(socket);
    host.ring().pause(socket);
    host.ring().shutdown(socket);
    host.ring().send(socket, Output::from(b"late".as_slice()));
    host.ring().close(socket);
    assert!(host.ring().peer(socket).is_none());
    host.settle(&mut echo);
    assert_eq!(echo.closed, 1);
    host.ring().stop_listening(listener);
    host.settle(&mut echo);
    echo.all_is_home(host.ring());
}

fn half_closing_lets_the_answer_out<H: Host>() {
    let mut host = H::new(6, Faults::none(), options());
    let mut echo = Echo::new(6);
    host.listen();
    let mut peer = host.connect();
    peer.write(b"question");
    peer.finish();
    host.settle(&mut echo);
    peer.pump();
    assert_eq!(peer.got(), b"question");
    assert!(
        peer.saw_end(),
        "the application shut down after the end of the stream"
    );
}

fn a_reset_is_reported_once<H: Host>() {
    let mut host = H::new(9, Faults::none(), options());
    let mut echo = Echo::new(9);
    host.listen();
    let mut peer = host.connect();
    host.settle(&mut echo);
    let socket = echo.only_socket();
    peer.reset();
    host.settle(&mut echo);
    assert_eq!(echo.failed, vec![socket], "one failure");
    assert_eq!(echo.closed, 1);
    assert_eq!(host.ring().open_sockets(), 0);
}

fn a_stopped_listener_refuses_and_its_late_accepts_are_closed<H: Host>() {
    let mut host = H::new(10, Faults::none(), options());
    let mut echo = Echo::new(10);
    let listener = host.listen();
    let mut peers: Vec<_> = (0..5).map(|_| host.connect()).collect();
    host.ring().stop_listening(listener);
    host.settle(&mut echo);
    assert_eq!(echo.accepted, 0, "nothing is reported after the stop");
    for peer in &mut peers {
        peer.pump();
        assert!(peer.saw_end() || peer.is_broken());
    }
    echo.all_is_home(host.ring());
    host.check_descriptors(0);
}

fn a_paused_listener_keeps_arrivals_for_later<H: Host>() {
    let mut host = H::new(11, Faults::none(), options());
    let mut echo = Echo::new(11);
    let listener = host.listen();
    host.settle(&mut echo);
    host.ring().pause_listening(listener);
    host.settle(&mut echo);
    let mut peer = host.connect();
    peer.write(b"patience");
    host.settle(&mut echo);
    assert_eq!(echo.accepted, 0);
    host.ring().resume_listening(listener);
    host.settle(&mut echo);
    peer.pump();
    assert_eq!((echo.accepted, peer.got()), (1, b"patience".as_slice()));
}

fn what_exceeds_the_socket_table_is_closed_at_once<H: Host>() {
    let mut host = H::new(
        12,
        Faults::none(),
        RingOptions {
            socket_count_max: 3,
            ..options()
        },
    );
    let mut echo = Echo::new(12);
    host.listen();
    let mut peers: Vec<_> = (0..5).map(|_| host.connect()).collect();
    host.settle(&mut echo);
    assert_eq!((echo.accepted, host.ring().stats().refused), (3, 2));
    peers.iter_mut().for_each(|peer| peer.pump());
    assert_eq!(
        peers
            .iter_mut()
            .filter(|peer| peer.saw_end() || peer.is_broken())
            .count(),
        2
    );
}

fn armed_receives_never_keep_others_from_sending_or_closing<H: Host>() {
    let mut host = H::new(13, Faults::none(), tiny());
    let mut echo = Echo::new(13);
    let listener = host.listen();
    let mut peers: Vec<_> = (0..20).map(|_| host.connect()).collect();
    host.settle(&mut echo);
    assert_eq!(echo.accepted, 20);
    assert!(host.ring().stats().in_flight_high <= 16);
    assert!(
        host.ring().stats().waiting > 0,
        "more receives are wanted than may be in flight"
    );
    for socket in echo.sockets() {
        echo.busy(socket);
        host.ring().send(socket, Output::from(b"hello".as_slice()));
    }
    host.settle(&mut echo);
    for peer in &mut peers {
        peer.pump();
        assert_eq!(peer.got(), b"hello");
    }
    for socket in echo.sockets() {
        host.ring().close(socket);
    }
    host.settle(&mut echo);
    host.ring().stop_listening(listener);
    host.settle(&mut echo);
    assert_eq!(echo.closed, 20, "{:?}", host.ring().stats());
    assert!(host.ring().stats().in_flight_high <= 16);
    echo.all_is_home(host.ring());
    host.check_descriptors(0);
}

fn a_dropped_ring_leaves_nothing_behind<H: Host>() {
    let mut host = H::new(14, Faults::none(), options());
    let mut echo = Echo::new(14);
    host.listen();
    let mut peers: Vec<_> = (0..4).map(|_| host.connect()).collect();
    peers[0].stop_reading();
    host.settle(&mut echo);
    let pool = BufferPool::with_limit(64 << 20);
    for socket in echo.sockets() {
        let mut buffer = pool.take(8 << 20).unwrap();
        buffer.resize(8 << 20, 1);
        echo.busy(socket);
        host.ring().send(socket, Output::from(buffer));
    }
    let late = host.connect();
    peers.push(late);
    host.drop_ring();
    drop(echo);
    assert_eq!(pool.stats().checked_out, 0, "outputs came home");
    host.check_descriptors(0);
    for peer in &mut peers {
        peer.drain_to_end();
    }
}

fn a_bad_receive_buffer_holder_does_not_outlive_the_memory<H: Host>() {
    let mut host = H::new(15, Faults::none(), options());
    host.listen();
    let mut peer = host.connect();
    let mut kept = None;
    let mut completions = Vec::new();
    for _ in 0..200 {
        peer.write(b"kept");
        host.turn(&mut completions);
        for completion in completions.drain(..) {
            match completion {
                Completion::Accepted { socket, .. } => host.ring().receive(socket),
                Completion::Received { bytes, .. } => kept = Some(bytes),
                _ => {}
            }
        }
        if kept.is_some() {
            break;
        }
    }
    host.drop_ring();
    assert!(kept.unwrap().starts_with(b"kept"));
}

macro_rules! suite {
    ($module:ident, $host:ty, $seeds:expr) => {
        mod $module {
            use super::*;

            #[test]
            fn every_client_gets_its_own_bytes_back() {
                for seed in 0..$seeds {
                    super::every_client_gets_its_own_bytes_back::<$host>(
                        seed,
                        Faults::none(),
                        options(),
                        20,
                    );
                }
            }
            #[test]
            fn every_client_gets_its_own_bytes_back_from_a_tiny_ring() {
                for seed in 0..$seeds {
                    super::every_client_gets_its_own_bytes_back::<$host>(
                        seed,
                        Faults::none(),
                        tiny(),
                        4,
                    );
                }
            }
            #[test]
            fn a_paused_receive_loses_nothing() {
                super::a_paused_receive_loses_nothing::<$host>();
            }
            #[test]
            fn a_pause_stops_the_flow() {
                super::a_pause_stops_the_flow::<$host>();
            }
            #[test]
            fn starved_receives_go_on_when_a_buffer_comes_home() {
                for buffers in [1, 2, 4] {
                    super::starved_receives_go_on_when_a_buffer_comes_home::<$host>(buffers);
                }
            }
            #[test]
            fn a_large_output_reaches_a_slow_reader_whole() {
                super::a_large_output_reaches_a_slow_reader_whole::<$host>();
            }
            #[test]
            fn closing_gives_up_a_send_that_nobody_reads() {
                super::closing_gives_up_a_send_that_nobody_reads::<$host>();
            }
            #[test]
            fn half_closing_lets_the_answer_out() {
                super::half_closing_lets_the_answer_out::<$host>();
            }
            #[test]
            fn a_reset_is_reported_once() {
                super::a_reset_is_reported_once::<$host>();
            }
            #[test]
            fn a_stopped_listener_refuses_and_its_late_accepts_are_closed() {
                super::a_stopped_listener_refuses_and_its_late_accepts_are_closed::<$host>();
            }
            #[test]
            fn a_paused_listener_keeps_arrivals_for_later() {
                super::a_paused_listener_keeps_arrivals_for_later::<$host>();
            }
            #[test]
            fn what_exceeds_the_socket_table_is_closed_at_once() {
                super::what_exceeds_the_socket_table_is_closed_at_once::<$host>();
            }
            #[test]
            fn armed_receives_never_keep_others_from_sending_or_closing() {
                super::armed_receives_never_keep_others_from_sending_or_closing::<$host>();
            }
            #[test]
            fn a_dropped_ring_leaves_nothing_behind() {
                super::a_dropped_ring_leaves_nothing_behind::<$host>();
            }
            #[test]
            fn a_bad_receive_buffer_holder_does_not_outlive_the_memory() {
                super::a_bad_receive_buffer_holder_does_not_outlive_the_memory::<$host>();
            }
        }
    };
}

suite!(uring, UringHost, 4);
suite!(epoll, EpollHost, 4);
suite!(sim, SimHost, 50);

/// Seeds of the fault tests: `MARGAY_SIM_SEEDS` for more, `MARGAY_SIM_SEED` for one.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok())
    };
    match number("MARGAY_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MARGAY_SIM_SEEDS").unwrap_or(1_000),
    }
}

#[test]
fn no_survivable_fault_loses_duplicates_or_crosses_a_byte() {
    for seed in seeds() {
        let options = if seed % 2 == 0 { tiny() } else { options() };
        every_client_gets_its_own_bytes_back::<SimHost>(seed, Faults::survivable(seed), options, 4);
    }
}

#[test]
fn under_every_fault_all_operations_retire_and_all_is_home() {
    for seed in seeds() {
        let options = if seed % 2 == 0 { tiny() } else { options() };
        every_client_gets_its_own_bytes_back::<SimHost>(seed, Faults::all(seed), options, 4);
    }
}

#[test]
fn whichever_step_breaks_the_rest_goes_on_and_all_comes_home() {
    for step in 1.. {
        let faults = Faults {
            break_step: step,
            ..Faults::none()
        };
        let host = every_client_gets_its_own_bytes_back::<SimHost>(2, faults, tiny(), 4);
        if host.network.steps() < step {
            assert!(step > 50, "only {step} steps were tried");
            return;
        }
    }
}
