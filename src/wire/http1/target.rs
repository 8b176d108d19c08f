//! Request targets and hosts.
//!
//! Source: RFC 9112 section 3.2; RFC 3986 section 3.2.2.

use super::bytes::{is_host, is_path};
use super::error::HeadError;
use super::head::Method;

/// Checks a request target; returns the authority of an absolute one.
#[inline]
pub(super) fn check(target: &[u8], method: Method) -> Result<Option<&[u8]>, HeadError> {
    match target {
        [b'/', ..] => check_path(target).map(|()| None),
        b"*" if method == Method::Options => Ok(None),
        _ => check_absolute(target).map(Some),
    }
}

#[inline]
fn check_path(path: &[u8]) -> Result<(), HeadError> {
    let mut percent = false;
    for &byte in path {
        if !is_path(byte) {
            return Err(HeadError::BadTarget);
        }
        percent |= byte == b'%';
    }
    if percent && !percents_are_whole(path) {
        return Err(HeadError::BadTarget);
    }
    Ok(())
}

/// `http://authority/path?query`, which a server has to take although only proxies send it.
fn check_absolute(target: &[u8]) -> Result<&[u8], HeadError> {
    let rest = [b"http://".as_slice(), b"https://"]
        .iter()
        .find_map(|scheme| {
            let (head, rest) = target.split_at_checked(scheme.len())?;
            head.eq_ignore_ascii_case(scheme).then_some(rest)
        })
        .ok_or(HeadError::BadTarget)?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !is_host_and_port(authority) {
        return Err(HeadError::BadTarget);
    }
    check_path(path)?;
    Ok(authority)
}

/// Whether this is `uri-host [":" port]` with a host that is not empty; no user information.
pub(super) fn is_host_and_port(value: &[u8]) -> bool {
    if let Some(inner) = value.strip_prefix(b"[") {
        let Some(end) = inner.iter().position(|byte| *byte == b']') else {
            return false;
        };
        let (address, rest) = inner.split_at(end);
        // A zone identifier or a future literal is nothing a client of this server needs.
        let address = std::str::from_utf8(address).ok();
        let valid = address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
        return valid && is_port(&rest[1..]);
    }
    let mut end = 0;
    while let Some(&byte) = value.get(end)
        && is_host(byte)
    {
        end += 1;
    }
    let (host, port) = value.split_at(end);
    !host.is_empty() && is_port(port) && percents_are_whole(host)
}

/// Nothing, or a colon and at most five digits below 65536. The grammar allows an empty port.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => {
            let mut port = 0u32;
            for &digit in digits {
                if !digit.is_ascii_digit() {
                    return false;
                }
                port = port
                    .saturating_mul(10)
                    .saturating_add(u32::from(digit - b'0'));
            }
            digits.len() <= 5 && port <= 65_535
        }
        _ => false,
    }
}

fn percents_are_whole(text: &[u8]) -> bool {
    memchr::memchr_iter(b'%', text).all(|at| {
        let digits = text.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}
