//! Names of upstreams' hosts, looked up now and again: at the start, and every half minute.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::upstream::remote::{Place, Remote};

/// Time between two looks at a name that is known.
const KNOWN_PAUSE: Duration = Duration::from_secs(30);
/// The same where some name is not.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(2);
/// Time for one look.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);
/// Addresses of one name that are used.
const ADDRESS_COUNT_MAX: usize = 16;

/// Keeps the addresses of all places true.
pub(super) struct Resolver {
    places: Vec<Named>,
}

/// A place with a name.
struct Named {
    remote: Arc<Remote>,
    index: usize,
    /// Why the last look failed, so that it is logged once.
    failing: Option<String>,
}

impl Named {
    fn place(&self) -> &Place {
        &self.remote.places[self.index]
    }

    /// Takes what a look has found. What was known before stays where it has found nothing.
    fn found(&mut self, found: Result<Vec<SocketAddr>, String>) {
        let (upstream, host) = (self.remote.name().to_owned(), self.place().url.host.clone());
        match found {
            Ok(addresses) => {
                if self.failing.take().is_some() {
                    tracing::info!(upstream, host, "resolves again");
                }
                // Names with several addresses give them in another order each time.
                let as_set = |addresses: &[SocketAddr]| -> BTreeSet<SocketAddr> {
                    addresses.iter().copied().collect()
                };
                let before = self.place().addresses.load();
                if as_set(&before) != as_set(&addresses) {
                    tracing::debug!(upstream, host, ?addresses, "resolves to");
                    self.place().addresses.store(Arc::new(addresses));
                }
            }
            Err(why) => {
                if self.failing.as_ref() != Some(&why) {
                    tracing::warn!(
                        upstream,
                        host,
                        kept = self.place().addresses.load().len(),
                        "does not resolve: {why}"
                    );
                    self.failing = Some(why);
                }
            }
        }
    }
}

impl Resolver {
    /// All places of these. An address that is written out is known at once.
    pub(super) fn new(remotes: &[Arc<Remote>]) -> Self {
        let mut places = Vec::new();
        for remote in remotes {
            for (index, place) in remote.places.iter().enumerate() {
                if let Ok(ip) = place.url.host.parse::<IpAddr>() {
                    let address = SocketAddr::new(ip, place.url.port);
                    place.addresses.store(Arc::new(vec![address]));
                    continue;
                }
                places.push(Named {
                    remote: Arc::clone(remote),
                    index,
                    failing: None,
                });
            }
        }
        Self { places }
    }

    /// Looks every name up once, all at the same time.
    pub(super) async fn look(&mut self) {
        let mut looks = JoinSet::new();
        for (index, named) in self.places.iter().enumerate() {
            let url = &named.place().url;
            let (host, port) = (url.host.clone(), url.port);
            looks.spawn(async move { (index, look_up(&host, port).await) });
        }
        while let Some(looked) = looks.join_next().await {
            if let Ok((index, found)) = looked {
                self.places[index].found(found);
            }
        }
    }

    /// Looks every name up again and again, for ever.
    pub(super) async fn run(mut self) {
        while !self.places.is_empty() {
            let is_unknown = |named: &Named| named.place().addresses.load().is_empty();
            let pause = match self.places.iter().any(is_unknown) {
                true => UNKNOWN_PAUSE,
                false => KNOWN_PAUSE,
            };
            sleep_until(Instant::now() + pause).await;
            self.look().await;
        }
    }
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let look = tokio::net::lookup_host((host, port));
    let found = match timeout(LOOK_DEADLINE, look).await {
        Ok(Ok(found)) => found.take(ADDRESS_COUNT_MAX).collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no answer in {} s", LOOK_DEADLINE.as_secs())),
    };
    match found.is_empty() {
        true => Err("it has no address".to_owned()),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::http::Url;

    fn remote(urls: &[&str]) -> Arc<Remote> {
        let mut remote = Remote::sample("up");
        let place = |url: &&str| Place::new(Url::parse(url).unwrap(), 1, Vec::new(), None);
        remote.places = urls.iter().map(|url| place(url).unwrap()).collect();
        Arc::new(remote)
    }

    fn addresses(remote: &Remote, index: usize) -> Vec<String> {
        let addresses = remote.places[index].addresses.load();
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_address_that_is_written_out_needs_no_look() {
        let remote = remote(&["http://192.0.2.1:81/mcp", "https://[2001:db8::1]/mcp"]);
        let resolver = Resolver::new(std::slice::from_ref(&remote));
        assert!(resolver.places.is_empty());
        assert_eq!(addresses(&remote, 0), ["192.0.2.1:81"]);
        assert_eq!(addresses(&remote, 1), ["[2001:db8::1]:443"]);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_with_its_port() {
        let remote = remote(&["http://localhost:82/mcp"]);
        let mut resolver = Resolver::new(std::slice::from_ref(&remote));
        resolver.look().await;
        let found = addresses(&remote, 0);
        assert!(
            found
                .iter()
                .any(|one| one == "127.0.0.1:82" || one == "[::1]:82"),
            "{found:?}"
        );
    }

    #[test]
    fn what_was_known_stays_while_a_name_does_not_resolve() {
        let remote = remote(&["http://name.invalid/mcp"]);
        let mut resolver = Resolver::new(std::slice::from_ref(&remote));
        let [named] = resolver.places.as_mut_slice() else {
            panic!("not looked up");
        };
        let known: Vec<SocketAddr> = ["192.0.2.1:80", "192.0.2.2:80"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        named.found(Ok(known.clone()));
        named.found(Err("down".to_owned()));
        assert_eq!(addresses(&remote, 0), ["192.0.2.1:80", "192.0.2.2:80"]);
        assert_eq!(named.failing.as_deref(), Some("down"));
        let kept = remote.places[0].addresses.load_full();
        named.found(Ok(known.iter().rev().copied().collect()));
        assert!(
            Arc::ptr_eq(&kept, &remote.places[0].addresses.load_full()),
            "another order is no change"
        );
        assert_eq!(named.failing, None);
        named.found(Ok(vec![known[1]]));
        assert_eq!(addresses(&remote, 0), ["192.0.2.2:80"]);
    }
}
