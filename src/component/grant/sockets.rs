//! `wasi:sockets`: each address asked about before it is connected to, listened on, or heard.

use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, Host as _, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView};

use crate::policy::permission::{Ask, By, Protocol};

use super::super::store::State;
use super::Gate;

const TCP_INTERFACE: &str = "wasi:sockets/tcp-create-socket@0.2.12";
const UDP_INTERFACE: &str = "wasi:sockets/udp-create-socket@0.2.12";

/// Has every socket of an instance ask its gate.
pub(super) fn check(builder: &mut WasiCtxBuilder, gate: &Arc<Gate>) {
    let reaches_network = gate.reaches_network();
    builder
        .allow_tcp(reaches_network)
        .allow_udp(reaches_network);
    if reaches_network {
        let gate = Arc::clone(gate);
        builder.socket_addr_check(move |address, reason| {
            let is_allowed = gate.may_use(address, reason);
            Box::pin(async move { is_allowed })
        });
    }
}

/// A component without any line about the network has no sockets; that it wanted one is told.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance(TCP_INTERFACE)?.func_wrap(
        "create-tcp-socket",
        |mut store: StoreContextMut<'_, State>, (family,): (IpAddressFamily,)| {
            if !store.data().gate().may_have_sockets("tcp") {
                return Ok((Err(ErrorCode::AccessDenied),));
            }
            let mut view = store.data_mut().sockets();
            let made = tcp_create_socket::Host::create_tcp_socket(&mut view, family);
            Ok((told::<TcpSocket>(made, store.data_mut())?,))
        },
    )?;
    linker.instance(UDP_INTERFACE)?.func_wrap_async(
        "create-udp-socket",
        |mut store: StoreContextMut<'_, State>, (family,): (IpAddressFamily,)| {
            Box::new(async move {
                if !store.data().gate().may_have_sockets("udp") {
                    return Ok((Err(ErrorCode::AccessDenied),));
                }
                let mut view = store.data_mut().sockets();
                let made = udp_create_socket::Host::create_udp_socket(&mut view, family).await;
                Ok((told::<UdpSocket>(made, store.data_mut())?,))
            })
        },
    )
}

type Made<T> = Result<Resource<T>, ErrorCode>;

fn told<T>(made: SocketResult<Resource<T>>, state: &mut State) -> wasmtime::Result<Made<T>> {
    match made {
        Ok(socket) => Ok(Ok(socket)),
        Err(error) => state.sockets().convert_error_code(error).map(Err),
    }
}

impl Gate {
    fn reaches_network(&self) -> bool {
        self.guard()
            .grants()
            .is_some_and(|grants| grants.reaches_network)
    }

    fn may_have_sockets(&self, protocol: &str) -> bool {
        if self.reaches_network() {
            return true;
        }
        let socket = format!("{protocol} socket");
        self.refuse(&socket, "to anywhere", &By::NoRule.to_string());
        false
    }

    fn may_use(&self, address: SocketAddr, reason: SocketAddrUse) -> bool {
        let protocol = match reason {
            SocketAddrUse::TcpBind
            | SocketAddrUse::TcpListen
            | SocketAddrUse::TcpAccept
            | SocketAddrUse::TcpConnect => Protocol::Tcp,
            SocketAddrUse::UdpBind | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
                Protocol::Udp
            }
        };
        let ip = address.ip().to_canonical();
        let names = self.names_of(ip);
        let ask = |name: Option<usize>| Ask::Address {
            host: name.and_then(|index| names.get(index)).map(AsRef::as_ref),
            address: ip,
            port: address.port(),
            scheme: None,
            protocol,
        };
        // By itself, or by a name that led there.
        let mut ways = std::iter::once(None).chain((0..names.len()).map(Some));
        match reason {
            // What the system does for each socket that is connected; nobody can reach it by that.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind
                if ip.is_unspecified() && address.port() == 0 =>
            {
                true
            }
            // Somebody else's doing, as often as they like: not told.
            SocketAddrUse::TcpAccept | SocketAddrUse::UdpReceive => {
                ways.any(|name| self.decide(&ask(name)).is_allowed)
            }
            _ => {
                ways.any(|name| self.decide(&ask(name)).is_allowed)
                    || self.allows(&ask(names.len().checked_sub(1)))
            }
        }
    }
}
