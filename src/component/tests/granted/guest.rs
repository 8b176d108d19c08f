//! A guest that tries what it is told to, written as a core module over the canonical ABI.
//!
//! Each step appends to its answer: `.` where something was done, the error's letter (`A` for the first code, and so on) where it was
//! not, and what it was given between angle brackets.

use std::fmt::Write as _;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where texts begin; below are the places of results, and above is what the host allocates.
const TEXT_START: usize = 32_768;
const HEAP_START: usize = 1 << 17;

/// `access`, `not-permitted`, `no-entry`, `exist`, `loop`, `is-directory` of `wasi:filesystem`, as the guest answers them.
pub const ACCESS: char = 'A';
pub const NOT_PERMITTED: char = '`';
pub const NO_ENTRY: char = 'U';
pub const IS_DIRECTORY: char = 'O';
pub const LOOP: char = 'P';

/// `HTTP-request-denied` and others of `wasi:http`.
pub const DENIED: char = 'P';
pub const CERTIFICATE: char = 'N';

/// `access-denied` of `wasi:sockets`.
pub const SOCKET_DENIED: char = 'B';

/// Open flags and descriptor flags.
pub const CREATE: u32 = 1;
pub const DIRECTORY: u32 = 2;
pub const TRUNCATE: u32 = 8;
pub const READ: u32 = 1;
pub const WRITE: u32 = 2;

#[derive(Default)]
pub struct Guest {
    body: String,
    text: Vec<u8>,
    locals: usize,
    /// Whether it leaves requests on their way.
    is_hasty: bool,
}

/// A descriptor that the guest holds.
#[derive(Clone, Copy)]
pub struct Held(usize);

impl Held {
    /// The number of its local.
    pub fn index(self) -> usize {
        self.0
    }
}

impl Guest {
    /// One that does not wait for the answers to its requests.
    pub fn hasty() -> Self {
        Self {
            is_hasty: true,
            ..Self::default()
        }
    }

    /// One that holds the directory that it was shown first.
    pub fn in_directory() -> (Self, Held) {
        let mut guest = Self::default();
        let held = guest.held();
        let _ = write!(
            guest.body,
            "(call $directories (i32.const 1024))
             (if (i32.eqz (i32.load (i32.const 1028))) (then (call $say (i32.const 33)) (return (call $answer))))
             (local.set $l{} (i32.load (i32.load (i32.const 1024))))",
            held.0
        );
        (guest, held)
    }

    fn held(&mut self) -> Held {
        self.locals += 1;
        Held(self.locals - 1)
    }

    /// Address and length of a text, as operands.
    fn text(&mut self, text: &str) -> String {
        let at = TEXT_START + self.text.len();
        self.text.extend_from_slice(text.as_bytes());
        format!("(i32.const {at}) (i32.const {})", text.len())
    }

    fn step(&mut self, call: &str, error_at: usize) {
        let _ = writeln!(
            self.body,
            "{call} (call $mark (i32.const 1024) (i32.const {error_at}))"
        );
    }

    /// Opens, following a link at the end.
    pub fn open(&mut self, base: Held, path: &str, open: u32, flags: u32) -> Held {
        self.open_as(base, 1, path, open, flags)
    }

    pub fn open_as(&mut self, base: Held, follow: u32, path: &str, open: u32, flags: u32) -> Held {
        let (held, path) = (self.held(), self.text(path));
        let call = format!(
            "(call $open (local.get $l{}) (i32.const {follow}) {path} (i32.const {open}) (i32.const {flags}) (i32.const 1024))
             (local.set $l{} (i32.load (i32.const 1028)))",
            base.0, held.0
        );
        self.step(&call, 4);
        held
    }

    pub fn read(&mut self, file: Held) {
        let call = format!(
            "(call $read (local.get $l{}) (i64.const 100) (i64.const 0) (i32.const 1024))",
            file.0
        );
        self.step(&call, 4);
        self.body.push_str(
            "(if (i32.eqz (i32.load8_u (i32.const 1024)))
               (then (call $quote (i32.load (i32.const 1028)) (i32.load (i32.const 1032)))))",
        );
    }

    pub fn write(&mut self, file: Held, text: &str) {
        let text = self.text(text);
        let call = format!(
            "(call $write (local.get $l{}) {text} (i64.const 0) (i32.const 1024))",
            file.0
        );
        self.step(&call, 8);
    }

    pub fn set_size(&mut self, file: Held) {
        let call = format!(
            "(call $set_size (local.get $l{}) (i64.const 0) (i32.const 1024))",
            file.0
        );
        self.step(&call, 1);
    }

    /// One of the functions that take a directory and a path, and give nothing.
    pub fn at(&mut self, function: &str, base: Held, path: &str) {
        let path = self.text(path);
        let call = format!(
            "(call ${function} (local.get $l{}) {path} (i32.const 1024))",
            base.0
        );
        self.step(&call, if function == "readlink" { 4 } else { 1 });
    }

    /// Looks at what is there.
    pub fn look(&mut self, base: Held, path: &str) {
        let path = self.text(path);
        let call = format!(
            "(call $look (local.get $l{}) (i32.const 1) {path} (i32.const 1024))",
            base.0
        );
        self.step(&call, 8);
    }

    pub fn list(&mut self, directory: Held) {
        let call = format!(
            "(call $list (local.get $l{}) (i32.const 1024))",
            directory.0
        );
        self.step(&call, 4);
    }

    /// Reads the names in a directory that it was allowed to open.
    pub fn names(&mut self, directory: Held) {
        let _ = writeln!(
            self.body,
            "(call $list (local.get $l{}) (i32.const 1024))
             (call $mark (i32.const 1024) (i32.const 4))
             (if (i32.eqz (i32.load8_u (i32.const 1024))) (then
               (local.set $at (i32.load (i32.const 1028)))
               (block $done (loop $more
                 (call $entry (local.get $at) (i32.const 1024))
                 (br_if $done (i32.load8_u (i32.const 1024)))
                 (br_if $done (i32.eqz (i32.load8_u (i32.const 1028))))
                 (call $quote (i32.load (i32.const 1036)) (i32.load (i32.const 1040)))
                 (br $more)))))",
            directory.0
        );
    }

    /// Makes a stream of a file, and holds it.
    pub fn stream(&mut self, file: Held) {
        let call = format!(
            "(call $stream (local.get $l{}) (i64.const 0) (i32.const 1024))",
            file.0
        );
        self.step(&call, 4);
    }

    pub fn close(&mut self, held: Held) {
        let _ = writeln!(self.body, "(call $close (local.get $l{}))", held.0);
    }

    /// Sets the times of what is at a path, and of what is held.
    pub fn set_times(&mut self, base: Held, path: &str, held: Held) {
        const NOW: &str = "(i32.const 1) (i64.const 0) (i32.const 0)";
        let path = self.text(path);
        let call = format!(
            "(call $set_times_at (local.get $l{}) (i32.const 1) {path} {NOW} {NOW} (i32.const 1024))",
            base.0
        );
        self.step(&call, 1);
        let call = format!(
            "(call $set_times (local.get $l{}) {NOW} {NOW} (i32.const 1024))",
            held.0
        );
        self.step(&call, 1);
    }

    pub fn link(&mut self, old: (Held, &str), new: (Held, &str)) {
        let (from, to) = (self.text(old.1), self.text(new.1));
        let call = format!(
            "(call $link (local.get $l{}) (i32.const 0) {from} (local.get $l{}) {to} (i32.const 1024))",
            old.0.0, new.0.0
        );
        self.step(&call, 1);
    }

    pub fn rename(&mut self, old: (Held, &str), new: (Held, &str)) {
        let (from, to) = (self.text(old.1), self.text(new.1));
        let call = format!(
            "(call $rename (local.get $l{}) {from} (local.get $l{}) {to} (i32.const 1024))",
            old.0.0, new.0.0
        );
        self.step(&call, 1);
    }

    pub fn symlink(&mut self, base: Held, content: &str, path: &str) {
        let (content, path) = (self.text(content), self.text(path));
        let call = format!(
            "(call $symlink (local.get $l{}) {content} {path} (i32.const 1024))",
            base.0
        );
        self.step(&call, 1);
    }

    /// Sends a request and waits; answers with status and body, or the error's letter.
    pub fn request(&mut self, method: u32, https: bool, authority: &str, path: &str) {
        self.request_with(method, https, authority, path, &[], None);
    }

    pub fn get(&mut self, authority: &str, path: &str) {
        self.request(0, false, authority, path);
    }

    pub fn request_with(
        &mut self,
        method: u32,
        https: bool,
        authority: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) {
        self.body.push_str("(local.set $fields (call $fields))\n");
        for (name, value) in headers {
            let (name, value) = (self.text(name), self.text(value));
            self.step(
                &format!("(call $append (local.get $fields) {name} {value} (i32.const 1024))"),
                1,
            );
        }
        let (authority, path) = (self.text(authority), self.text(path));
        let scheme = u32::from(https);
        let _ = write!(
            self.body,
            "(local.set $request (call $request (local.get $fields)))
             (drop (call $set_method (local.get $request) (i32.const {method}) (i32.const 0) (i32.const 0)))
             (drop (call $set_scheme (local.get $request) (i32.const 1) (i32.const {scheme}) (i32.const 0) (i32.const 0)))
             (if (call $set_authority (local.get $request) (i32.const 1) {authority}) (then (call $say (i32.const 63))))
             (if (call $set_path (local.get $request) (i32.const 1) {path}) (then (call $say (i32.const 63))))\n"
        );
        if body.is_some() {
            self.body.push_str(
                "(call $body (local.get $request) (i32.const 1024))
                 (local.set $body (i32.load (i32.const 1028)))\n",
            );
        }
        self.body.push_str("(call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 1024)) (local.set $future (i32.load (i32.const 1032)))\n(local.set $sent (i32.eqz (i32.load8_u (i32.const 1024))))\n");
        if let Some(body) = body {
            let body = self.text(body);
            let _ = write!(
                self.body,
                "(call $body_write (local.get $body) (i32.const 1024))
                 (local.set $stream (i32.load (i32.const 1028)))
                 (call $put (local.get $stream) {body} (i32.const 1024))
                 (call $drop_output (local.get $stream))
                 (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 1024))\n"
            );
        }
        self.body.push_str(if self.is_hasty {
            "(call $say (i32.const 46))\n"
        } else {
            "(if (local.get $sent)
               (then (call $answered (local.get $future)))
               (else (call $mark (i32.const 1024) (i32.const 8))))\n"
        });
    }

    /// Connects a socket.
    pub fn connect(&mut self, address: [u8; 4], port: u16) {
        let place = socket_address(address, port);
        let _ = write!(
            self.body,
            "(call $socket (i32.const 0) (i32.const 1024))
             (local.set $future (i32.load (i32.const 1028)))
             (call $mark (i32.const 1024) (i32.const 4))
             (if (i32.eqz (i32.load8_u (i32.const 1024))) (then
               (call $start (local.get $future) (call $network) {place} (i32.const 1024))
               (if (i32.load8_u (i32.const 1024))
                 (then (call $mark (i32.const 1024) (i32.const 1)))
                 (else
                   (call $block (call $tcp_subscribe (local.get $future)))
                   (call $connected (local.get $future) (i32.const 1024))
                   (call $mark (i32.const 1024) (i32.const 4))))))\n"
        );
    }

    /// Binds a socket to an address, if there is one, and listens.
    pub fn listen(&mut self, at: Option<([u8; 4], u16)>) {
        self.body.push_str(
            "(call $socket (i32.const 0) (i32.const 1024))
             (local.set $future (i32.load (i32.const 1028)))\n",
        );
        if let Some((address, port)) = at {
            let place = socket_address(address, port);
            let call = format!(
                "(call $bind (local.get $future) (call $network) {place} (i32.const 1024))"
            );
            self.step(&call, 1);
            self.body
                .push_str("(call $bound (local.get $future) (i32.const 1024))\n");
        }
        self.step("(call $listen (local.get $future) (i32.const 1024))", 1);
    }

    /// Sends a datagram to an address that it names with it.
    pub fn send_to(&mut self, address: [u8; 4], port: u16) {
        let none = socket_address([0; 4], 0);
        let any = socket_address([0; 4], 0);
        let [low, high] = port.to_le_bytes();
        let octets: String = [low, high]
            .iter()
            .chain(&address)
            .enumerate()
            .map(|(at, byte)| format!("(i32.store8 (i32.const {}) (i32.const {byte}))", 2064 + at))
            .collect();
        let _ = writeln!(
            self.body,
            "(call $datagrams (i32.const 0) (i32.const 1024))
             (local.set $future (i32.load (i32.const 1028)))
             (call $mark (i32.const 1024) (i32.const 4))
             (if (i32.eqz (i32.load8_u (i32.const 1024))) (then
               (call $udp_bind (local.get $future) (call $network) {any} (i32.const 1024))
               (call $udp_bound (local.get $future) (i32.const 1024))
               (call $udp_stream (local.get $future) (i32.const 0) {none} (i32.const 1024))
               (call $mark (i32.const 1024) (i32.const 4))
               (local.set $stream (i32.load (i32.const 1032)))
               (call $check_send (local.get $stream) (i32.const 1024))
               (i32.store (i32.const 2048) (i32.const 4096)) (i32.store (i32.const 2052) (i32.const 1))
               (i32.store (i32.const 2056) (i32.const 1)) (i32.store (i32.const 2060) (i32.const 0)) {octets}
               (call $send (local.get $stream) (i32.const 2048) (i32.const 1) (i32.const 1024))
               (call $mark (i32.const 1024) (i32.const 8))))"
        );
    }

    /// Asks for a name and does not wait.
    pub fn ask_name(&mut self, name: &str) {
        let name = self.text(name);
        let _ = writeln!(
            self.body,
            "(local.set $at (call $network))
             (call $resolve (local.get $at) {name} (i32.const 1024))
             (call $drop_network (local.get $at))
             (if (i32.eqz (i32.load8_u (i32.const 1024)))
               (then (call $drop_names (i32.load (i32.const 1028)))))"
        );
    }

    /// Looks a name up; answers with the last number of its first address.
    pub fn lookup(&mut self, name: &str) {
        let name = self.text(name);
        let _ = write!(
            self.body,
            "(call $resolve (call $network) {name} (i32.const 1024))
             (if (i32.load8_u (i32.const 1024))
               (then (call $mark (i32.const 1024) (i32.const 4)))
               (else
                 (local.set $future (i32.load (i32.const 1028)))
                 (call $block (call $names_subscribe (local.get $future)))
                 (call $next (local.get $future) (i32.const 1024))
                 (call $mark (i32.const 1024) (i32.const 2))
                 (if (i32.eqz (i32.load8_u (i32.const 1024)))
                   (then (call $number (i32.load8_u (i32.const 1033)))))))\n"
        );
    }

    /// Asks for a variable by name.
    pub fn config(&mut self, key: &str) {
        let key = self.text(key);
        let _ = write!(
            self.body,
            "(call $config {key} (i32.const 1024))
             (if (i32.load8_u (i32.const 1028))
               (then (call $quote (i32.load (i32.const 1032)) (i32.load (i32.const 1036))))
               (else (call $say (i32.const 45))))\n"
        );
    }

    /// Shows its whole environment and its arguments.
    pub fn environment(&mut self) {
        self.body.push_str(
            "(call $environment (i32.const 1024))
             (local.set $at (i32.load (i32.const 1024)))
             (local.set $left (i32.load (i32.const 1028)))
             (block $done (loop $more
               (br_if $done (i32.eqz (local.get $left)))
               (call $quote (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))
               (call $quote (i32.load offset=8 (local.get $at)) (i32.load offset=12 (local.get $at)))
               (local.set $at (i32.add (local.get $at) (i32.const 16)))
               (local.set $left (i32.sub (local.get $left) (i32.const 1)))
               (br $more)))
             (call $arguments (i32.const 1024))
             (call $number (i32.load (i32.const 1028)))\n",
        );
    }

    /// Any instructions.
    pub fn then(&mut self, body: &str) {
        self.body.push_str(body);
    }

    /// The component.
    pub fn build(&self) -> Vec<u8> {
        let text = self.module();
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut resolve = Resolve::default();
        let package = resolve
            .push_str("guest.wit", include_str!("guest.wit"))
            .unwrap_or_else(|error| panic!("{error:#}"));
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default()
            .module(&module)
            .and_then(|encoder| encoder.validate(true).encode())
            .unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn module(&self) -> String {
        let data: String = self
            .text
            .iter()
            .map(|byte| format!("\\{byte:02x}"))
            .collect();
        let locals: String = (0..self.locals)
            .map(|at| format!("(local $l{at} i32)"))
            .collect();
        let body = &self.body;
        format!(
            r#"(module {PARTS}
            (data (i32.const {TEXT_START}) "{data}")
            (global $free (mut i32) (i32.const {HEAP_START}))
            (func $steps (result i32) {locals}
              (local $fields i32) (local $request i32) (local $future i32) (local $body i32) (local $stream i32)
              (local $sent i32) (local $at i32) (local $left i32)
              {body} (call $answer))
            (func (export "run") (result i32) (call $steps))
            (func (export "fail") (result i32) (local $answer i32)
              (local.set $answer (call $steps))
              (i32.store8 (i32.const 256) (i32.const 1))
              (i32.store (i32.const 260) (i32.load (local.get $answer)))
              (i32.store (i32.const 264) (i32.load offset=4 (local.get $answer)))
              (i32.const 256)))"#
        )
    }
}

/// The operands of an IPv4 socket address.
fn socket_address(address: [u8; 4], port: u16) -> String {
    let octets = address
        .map(|octet| format!("(i32.const {octet})"))
        .join(" ");
    let zeros = "(i32.const 0) ".repeat(6);
    format!("(i32.const 0) (i32.const {port}) {octets} {zeros}")
}

/// What it imports, and what its steps are made of.
const PARTS: &str = include_str!("guest.wat");
