//! Nothing that wakes a socket is lost: the last bytes, the end behind them, the last connection of a flood.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::*;
use crate::ring::kernel::Event;
use crate::ring::{EpollRing, UringRing};

/// Small writes of one round: more wake-ups than the kernel counts for one operation, which is 127.
const WRITES: usize = 400;

/// A peer that writes a lot of little and ends at once, against a ring that looks only now and then.
fn ends_are_told<K: Kernel>(
    ring: &mut Driver<K>,
    rounds: usize,
    pair: impl Fn() -> (OwnedFd, Box<dyn Ending>),
) {
    for round in 0..rounds {
        let (ours, peer) = pair();
        let key = ring.adopt(ours).unwrap();
        ring.receive(key);
        let mut completions = Vec::new();
        ring.turn(&mut completions).unwrap();
        let writer = std::thread::spawn(move || peer.write_and_end());
        let (start, mut received, mut ended) = (Instant::now(), 0, false);
        while !ended {
            let waited = start.elapsed();
            assert!(
                waited < Duration::from_secs(10),
                "round {round}: {received} bytes and no end, {:?}",
                ring.stats()
            );
            if round % 2 == 0 {
                std::thread::sleep(Duration::from_micros(50));
            }
            ring.turn(&mut completions).unwrap();
            for completion in completions.drain(..) {
                match completion {
                    Completion::Received { bytes, .. } => received += bytes.len(),
                    Completion::EndOfStream { .. } => ended = true,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(received, WRITES * 10, "round {round}");
        drop(writer.join().unwrap());
        ring.close(key);
        while ring.open_sockets() > 0 {
            ring.turn(&mut completions).unwrap();
        }
    }
}

trait Ending: Write + Send {
    /// The stream is given back: it is shut down, not closed.
    fn write_and_end(self: Box<Self>) -> Box<dyn Ending>;
}

macro_rules! ending {
    ($stream:ty) => {
        impl Ending for $stream {
            fn write_and_end(mut self: Box<Self>) -> Box<dyn Ending> {
                for _ in 0..WRITES {
                    self.write_all(b"0123456789").unwrap();
                }
                self.shutdown(Shutdown::Write).unwrap();
                self
            }
        }
    };
}

ending!(UnixStream);
ending!(TcpStream);

fn unix_pair() -> (OwnedFd, Box<dyn Ending>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (ours.into(), Box::new(theirs))
}

fn tcp_pair() -> (OwnedFd, Box<dyn Ending>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    theirs.set_nodelay(true).unwrap();
    (listener.accept().unwrap().0.into(), Box::new(theirs))
}

#[test]
fn an_end_right_behind_many_small_writes_is_told_over_io_uring() {
    let mut ring = UringRing::new(options()).unwrap();
    ends_are_told(&mut ring, 1_000, unix_pair);
    ends_are_told(&mut ring, 200, tcp_pair);
}

#[test]
fn an_end_right_behind_many_small_writes_is_told_over_epoll() {
    let mut ring = EpollRing::new(options()).unwrap();
    ends_are_told(&mut ring, 200, unix_pair);
    ends_are_told(&mut ring, 100, tcp_pair);
}

/// What the driver counts on: no receive sleeps on after it has taken bytes, because it might sleep through their end.
#[test]
fn a_receive_of_io_uring_ends_with_its_first_bytes() {
    let mut ring = UringRing::new(options()).unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let key = ring.adopt(ours.into()).unwrap();
    ring.receive(key);
    ring.turn(&mut Vec::new()).unwrap();
    for written in [1, 5_000] {
        theirs.write_all(&vec![7; written]).unwrap();
        let mut events: Vec<Event> = Vec::new();
        let mut left = written;
        while left > 0 {
            ring.kernel.wait(Duration::from_millis(100)).unwrap();
            ring.kernel.reap(usize::MAX, &mut events);
            for event in events.drain(..) {
                assert!(!event.more, "{event:?}");
                let got = event.result as usize;
                assert_eq!(event.drained, got == left, "{event:?} of {left}");
                left -= got;
                ring.handle(event, &mut Vec::new());
            }
        }
    }
}

fn a_flood_of_arrivals_makes_the_listener_look_again<H: Host>() {
    let mut host = H::new(41, Faults::none(), options());
    let mut echo = Echo::new(41);
    let listener = host.listen();
    host.settle(&mut echo);
    let mut peers = Vec::new();
    // Two floods, because a listener of the standard library lets 128 wait.
    for _ in 0..2 {
        peers.extend((0..120).map(|_| host.connect()));
        host.settle(&mut echo);
    }
    assert_eq!(echo.accepted, peers.len());
    // One accept that had brought them all would have worn out.
    assert!(host.ring().listener_taken(listener) < 100);
    for peer in &mut peers {
        peer.finish();
    }
    host.ring().stop_listening(listener);
    host.settle(&mut echo);
    echo.all_is_home(host.ring());
    host.check_descriptors(0);
}

#[test]
fn a_flood_of_arrivals_makes_io_uring_look_again() {
    a_flood_of_arrivals_makes_the_listener_look_again::<UringHost>();
}

#[test]
fn a_flood_of_arrivals_makes_epoll_look_again() {
    a_flood_of_arrivals_makes_the_listener_look_again::<EpollHost>();
}

#[test]
fn a_flood_of_arrivals_makes_the_simulation_look_again() {
    a_flood_of_arrivals_makes_the_listener_look_again::<SimHost>();
}
