//! A shard that sleeps in its runtime is woken by its ring, and by nothing else.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::{Completion, Driver, Kernel, Output, Ring, RingOptions, options};
use crate::ring::{EpollRing, Faults, SimRing, UringRing};

async fn serve<K: Kernel>(mut ring: Driver<K>, answers: usize) -> u64 {
    let mut completions = Vec::new();
    let mut sent = 0;
    while sent < answers {
        poll_fn(|cx| ring.poll_ready(cx)).await.unwrap();
        ring.turn(&mut completions).unwrap();
        for completion in completions.drain(..) {
            match completion {
                Completion::Accepted { socket, .. } => ring.receive(socket),
                Completion::Connected { .. } => unreachable!("nobody connects"),
                Completion::Received { socket, .. } => {
                    ring.send(socket, Output::from(b"pong".as_slice()))
                }
                Completion::Sent { .. } => sent += 1,
                Completion::EndOfStream { socket } | Completion::Failed { socket, .. } => {
                    ring.close(socket)
                }
                Completion::AcceptFailed { .. } | Completion::Closed { .. } => {}
            }
        }
    }
    ring.stats().enters
}

fn a_sleeping_shard_is_woken_every_time<K: Kernel>(make: impl FnOnce(RingOptions) -> Driver<K>) {
    const CLIENTS: usize = 4;
    const ROUNDS: usize = 250;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut answer = [0; 4];
                for round in 0..ROUNDS {
                    stream.write_all(b"ping").unwrap();
                    stream.read_exact(&mut answer).unwrap();
                    if round % 50 == 0 {
                        // Long enough for the shard to fall asleep.
                        std::thread::sleep(Duration::from_millis(3));
                    }
                }
            })
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let enters = runtime.block_on(async {
        let mut ring = make(options());
        ring.listen(listener).unwrap();
        let serving = serve(ring, CLIENTS * ROUNDS);
        tokio::time::timeout(Duration::from_secs(30), serving)
            .await
            .expect("a wakeup was lost")
    });
    for client in clients {
        client.join().unwrap();
    }
    assert!(
        enters <= 3 * (CLIENTS * ROUNDS) as u64 + 100,
        "{enters} enters for {} answers",
        CLIENTS * ROUNDS
    );
}

#[test]
fn a_sleeping_shard_is_woken_every_time_by_io_uring() {
    a_sleeping_shard_is_woken_every_time(|options| UringRing::new(options).unwrap());
}

#[test]
fn a_sleeping_shard_is_woken_every_time_by_epoll() {
    a_sleeping_shard_is_woken_every_time(|options| EpollRing::new(options).unwrap());
}

#[test]
fn an_idle_ring_makes_no_system_call() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut ring = UringRing::new(options()).unwrap();
        ring.listen(TcpListener::bind("127.0.0.1:0").unwrap())
            .unwrap();
        let mut completions = Vec::new();
        ring.turn(&mut completions).unwrap();
        let before = ring.stats().enters;
        for _ in 0..100 {
            ring.turn(&mut completions).unwrap();
        }
        let pause = Duration::from_millis(20);
        assert!(
            tokio::time::timeout(pause, poll_fn(|cx| ring.poll_ready(cx)))
                .await
                .is_err(),
            "ready for nothing"
        );
        assert_eq!(ring.stats().enters, before);
    });
}

#[test]
fn a_simulated_ring_sleeps_until_a_client_acts() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut ring = SimRing::new(1, Faults::none());
    ring.listen_virtual();
    let network = ring.network();
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async {
        let shard = tokio::task::spawn_local(serve(ring, 1));
        tokio::task::yield_now().await;
        let client = network.connect().unwrap();
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        assert!(!shard.is_finished());
        client.write(b"ping");
        shard.await.unwrap();
        assert_eq!(client.take(), b"pong");
    }));
}

#[test]
fn nodelay_of_the_listener_is_inherited() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&listener)
        .set_tcp_nodelay(true)
        .unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    assert!(accepted.nodelay().unwrap());
}
