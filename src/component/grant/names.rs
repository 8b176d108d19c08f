//! `wasi:sockets/ip-name-lookup`: names that a line is about, by our resolver.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::vec::IntoIter;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, poll_noop, spawn};
use wasmtime_wasi_http::Error;

use crate::policy::permission::{Ask, By, Protocol};

use super::super::store::State;
use super::Gate;
use super::gate::Errand;

const INTERFACE: &str = "wasi:sockets/ip-name-lookup@0.2.12";

/// Bytes of a name, as DNS has it.
const NAME_BYTES_MAX: usize = 253;

/// The addresses of a name, as they come.
enum Addresses {
    Waiting(AbortOnDropJoinHandle<Result<Vec<IpAddr>, ErrorCode>>),
    Ready(Result<IntoIter<IpAddr>, ErrorCode>),
}

#[wasmtime_wasi::async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {
        if let Self::Waiting(waiting) = self {
            *self = Self::Ready(waiting.await.map(Vec::into_iter));
        }
    }
}

impl Addresses {
    fn next(&mut self) -> Result<Option<IpAddr>, ErrorCode> {
        if let Self::Waiting(waiting) = self {
            match poll_noop(Pin::new(waiting)) {
                Some(found) => *self = Self::Ready(found.map(Vec::into_iter)),
                None => return Err(ErrorCode::WouldBlock),
            }
        }
        match self {
            Self::Ready(Ok(addresses)) => Ok(addresses.next()),
            Self::Ready(Err(error)) => Err(*error),
            Self::Waiting(_) => Err(ErrorCode::WouldBlock),
        }
    }
}

type Stream = Resource<Addresses>;

/// Takes the place of wasmtime's.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut lookup = linker.instance(INTERFACE)?;
    lookup.resource(
        "resolve-address-stream",
        ResourceType::host::<Addresses>(),
        |mut store, stream| {
            let table = store.data_mut().ctx().table;
            table.delete(Stream::new_own(stream))?;
            Ok(())
        },
    )?;
    lookup.func_wrap(
        "resolve-addresses",
        |mut store: StoreContextMut<'_, State>, (_, name): (Resource<Network>, String)| {
            let gate = Arc::clone(store.data().gate());
            let addresses = match lookup_of(&gate, &name) {
                Ok(addresses) => addresses,
                Err(error) => return Ok((Err(error),)),
            };
            let stream = store.data_mut().ctx().table.push(addresses)?;
            Ok((Ok(stream),))
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: StoreContextMut<'_, State>, (stream,): (Stream,)| {
            let next = store.data_mut().ctx().table.get_mut(&stream)?.next();
            Ok((next.map(|address| address.map(IpAddress::from)),))
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: StoreContextMut<'_, State>, (stream,): (Stream,)| {
            let pollable: Resource<DynPollable> = subscribe(store.data_mut().ctx().table, stream)?;
            Ok((pollable,))
        },
    )
}

fn lookup_of(gate: &Arc<Gate>, name: &str) -> Result<Addresses, ErrorCode> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(ErrorCode::InvalidArgument);
    }
    // No name at all. Nothing is asked, and so nothing is told; where it leads is checked when it is connected to.
    let itself = |address: IpAddr| Ok(Addresses::Ready(Ok(vec![address].into_iter())));
    if let Ok(address) = name.parse() {
        return itself(IpAddr::V6(address));
    }
    match url::Host::parse(name) {
        Err(_) => Err(ErrorCode::InvalidArgument),
        Ok(url::Host::Ipv4(address)) => itself(address.into()),
        Ok(url::Host::Ipv6(address)) => itself(address.into()),
        Ok(url::Host::Domain(name)) => {
            if !gate.allows(&Ask::Resolve { name: &name }) {
                return Err(ErrorCode::AccessDenied);
            }
            gate.spend_lookup()
                .map_err(|_| ErrorCode::TemporaryResolverFailure)?;
            let (gate, errand) = (Arc::clone(gate), gate.errand());
            Ok(Addresses::Waiting(spawn(async move {
                resolved(&gate, &errand, &name.into()).await
            })))
        }
    }
}

async fn resolved(gate: &Gate, errand: &Errand, name: &Arc<str>) -> Result<Vec<IpAddr>, ErrorCode> {
    let found = gate.outward().resolve(name).await;
    let mut addresses = found.map_err(|error| match error {
        Error::DnsTimeout => ErrorCode::TemporaryResolverFailure,
        _ => ErrorCode::NameUnresolvable,
    })?;
    // Which port is not known yet. What no port makes good is not told: a name does not show what is inside.
    addresses.retain(|address| {
        let ask = Ask::Address {
            host: Some(name),
            address: *address,
            port: 0,
            scheme: None,
            protocol: Protocol::Tcp,
        };
        let verdict = gate.decide_on(errand, &ask);
        let is_kept = verdict.is_allowed || verdict.by == By::NoRule;
        if !is_kept {
            gate.refuse_by(errand, &ask, &verdict.by);
        }
        is_kept
    });
    gate.remember(errand, name, &addresses);
    match addresses.is_empty() {
        true => Err(ErrorCode::AccessDenied),
        false => Ok(addresses),
    }
}
