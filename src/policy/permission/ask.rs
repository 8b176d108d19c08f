//! What is asked of a policy, and what it answers.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// What a component does with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads it, or lists the directory.
    Read,
    /// Writes, makes, renames or removes it.
    Write,
}

/// A protocol of wasi:sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One thing that a component wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// To send an HTTP request. The host in any notation; the path as it is sent, without its query.
    Http {
        /// `GET` and so on.
        method: &'a str,
        /// `http` or `https`.
        scheme: &'a str,
        /// A name, or an address.
        host: &'a str,
        /// The port, also where it is the scheme's own.
        port: u16,
        /// The path.
        path: &'a str,
    },
    /// To reach this address, for that host if the address came of a name: asked after the name was resolved, of each connection.
    Address {
        /// The name that was resolved; none, if the component gave the address itself.
        host: Option<&'a str>,
        /// The address, an IPv4-mapped one as IPv4.
        address: IpAddr,
        /// The port.
        port: u16,
        /// `http`, `https`, or none for a bare socket.
        scheme: Option<&'a str>,
        /// TCP for HTTP too.
        protocol: Protocol,
    },
    /// To learn the addresses of a name.
    Resolve {
        /// The name.
        name: &'a str,
    },
    /// To open a file or directory. The path is absolute, of the host, and canonical: no `.`, no `..`, no symbolic link in it.
    Path {
        /// What for.
        access: Access,
        /// The path.
        path: &'a str,
    },
    /// To see a variable.
    Environment {
        /// Its name.
        key: &'a str,
    },
}

/// Which line decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// No line is about this.
    NoRule,
    /// A line of a policy: `weather.policy.yaml:12`, and its text in short.
    Line {
        /// The policy's name or file.
        policy: Arc<str>,
        /// Counted from 1.
        line: u64,
        /// Such as `deny host *.internal`.
        text: Arc<str>,
    },
    /// A rule that holds for everybody, such as the refusal of private addresses.
    BuiltIn(&'static str),
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => f.write_str("no rule allows it"),
            Self::Line { policy, line, text } => write!(f, "{policy}:{line} ({text})"),
            Self::BuiltIn(rule) => f.write_str(rule),
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may be done.
    pub is_allowed: bool,
    /// Why.
    pub by: By,
}

impl Verdict {
    /// It may.
    pub fn allowed(by: By) -> Self {
        Self {
            is_allowed: true,
            by,
        }
    }

    /// It may not.
    pub fn denied(by: By) -> Self {
        Self {
            is_allowed: false,
            by,
        }
    }
}
