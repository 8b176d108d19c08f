//! What a connection holds while nobody says anything.

use crate::mem::{BufferPool, PoolExhausted};
use crate::shard::tls::Tls;

use super::*;

/// Bytes of the global allocator's that one idle connection holds, its buffers apart, of which it has none.
fn held(listener: &TlsListener, config: Arc<ClientConfig>, pool: &BufferPool) -> i64 {
    let mut client = client(config);
    let (mut tls, mut held) = (None, 0);
    let mut to_server = Vec::new();
    for _ in 0..10 {
        while client.wants_write() {
            client.write_tls(&mut to_server).unwrap();
        }
        let (mut out, mut heard) = (None, 0);
        let info = allocation_counter::measure(|| {
            let tls = tls.get_or_insert_with(|| Box::new(Tls::new(listener.setup()).unwrap()));
            let plain = |plain: &[u8]| -> Result<(), PoolExhausted> {
                heard += plain.len();
                Ok(())
            };
            tls.take(&to_server, pool, &mut out, plain).unwrap();
        });
        held += info.bytes_current;
        to_server.clear();
        let mut answers = out.as_deref().map_or(&[][..], |out| out.as_slice());
        while !answers.is_empty() {
            client.read_tls(&mut answers).unwrap();
            client.process_new_packets().unwrap();
        }
        if !client.is_handshaking() && heard == 0 {
            client.writer().write_all(&[b'x'; 20_000]).unwrap();
        }
    }
    let tls = tls.unwrap();
    assert!(!tls.is_handshaking() && !tls.has_part());
    held
}

#[test]
fn an_idle_connection_over_tls_holds_a_few_kilobytes() {
    let authority = Authority::new();
    let someone = authority.sign("someone");
    let pool = BufferPool::with_limit(16 << 20);
    for version in rustls::ALL_VERSIONS {
        for own in [None, Some(&someone)] {
            let clients = own.map(|_| (&authority, true));
            let listener = TlsListener::new(setup(&authority, clients));
            let config = authority.client_with(&[version], &["http/1.1"], own);
            // The first one makes room in the pool.
            held(&listener, Arc::clone(&config), &pool);
            for round in 0..3 {
                let bytes = held(&listener, Arc::clone(&config), &pool);
                println!(
                    "{:?}, certificate: {}, round {round}: {bytes} bytes",
                    version.version,
                    own.is_some()
                );
                assert!(bytes < 6 << 10, "{bytes} bytes");
            }
        }
    }
    assert_eq!(pool.stats().checked_out, 0);
}
