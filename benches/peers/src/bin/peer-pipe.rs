//! The load of a server on a pipe: a closed loop with a fixed number of requests in flight, each answer checked.
//!
//! Usage: `peer-pipe SECONDS IN_FLIGHT TOOL COMMAND…`. Prints `PEER requests microseconds p50 p99 wrong`, as the load over
//! HTTP does.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const TEXT: &str = "hello world";
/// How long the tool may not be there yet, and how long the load is only warm-up.
const READY_MAX: Duration = Duration::from_secs(20);
const WARM_UP: Duration = Duration::from_secs(1);

type Failure = Box<dyn Error>;

struct Pipe {
    output: BufReader<ChildStdout>,
    input: BufWriter<ChildStdin>,
    line: String,
    tool: String,
}

impl Pipe {
    fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.input.write_all(text.as_bytes())?;
        Ok(self.input.write_all(b"\n")?)
    }

    /// The next message that is an answer: its id, and whether it has the text.
    fn answer(&mut self) -> Result<(usize, bool), Failure> {
        loop {
            self.line.clear();
            if self.output.read_line(&mut self.line)? == 0 {
                return Err("the server is gone".into());
            }
            let Some(at) = self.line.find("\"id\":") else {
                continue;
            };
            let digits = self.line[at + 5..].trim_start();
            let end = digits
                .find(|letter: char| !letter.is_ascii_digit())
                .unwrap_or(0);
            let is_right = self.line.contains("\"text\":\"hello world\"");
            return Ok((digits[..end].parse()?, is_right));
        }
    }

    fn call(&mut self, id: usize) -> Result<(), Failure> {
        let tool = &self.tool;
        write!(
            self.input,
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",\"arguments\":{{\"text\":\"{TEXT}\"}}}}}}\n"
        )?;
        Ok(())
    }

    fn open(&mut self) -> Result<(), Failure> {
        self.say(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"peers","version":"1"}}}"#)?;
        self.input.flush()?;
        self.answer()?;
        self.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)?;
        let until = Instant::now() + READY_MAX;
        loop {
            self.call(0)?;
            self.input.flush()?;
            if self.answer()?.1 {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!("no tool answers: {}", self.line).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Keeps so many requests in flight; how long each took, and how many answers were wrong.
    fn run(&mut self, seconds: Duration, in_flight: usize) -> Result<(Vec<u32>, usize), Failure> {
        let (mut micros, mut wrong) = (Vec::with_capacity(1 << 20), 0);
        // An id is a place here, so that the answers may come in any order.
        let mut sent = vec![Instant::now(); in_flight];
        for (id, at) in sent.iter_mut().enumerate() {
            *at = Instant::now();
            self.call(id)?;
        }
        self.input.flush()?;
        let (until, mut open) = (Instant::now() + seconds, in_flight);
        while open > 0 {
            let (id, is_right) = self.answer()?;
            let now = Instant::now();
            let at = sent.get_mut(id).ok_or("an answer to nothing")?;
            micros.push(u32::try_from((now - *at).as_micros()).unwrap_or(u32::MAX));
            wrong += usize::from(!is_right);
            if now < until {
                *at = now;
                self.call(id)?;
            } else {
                open -= 1;
            }
            // What is ready leaves in one write, and before anything is waited for.
            if !self.output.buffer().contains(&b'\n') {
                self.input.flush()?;
            }
        }
        Ok((micros, wrong))
    }
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [seconds, in_flight, tool, program, arguments @ ..] = &words[..] else {
        return Err("usage: peer-pipe SECONDS IN_FLIGHT TOOL COMMAND…".into());
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let input = child.stdin.take().ok_or("no pipe")?;
    let output = child.stdout.take().ok_or("no pipe")?;
    let mut pipe = Pipe {
        output: BufReader::with_capacity(64 << 10, output),
        input: BufWriter::with_capacity(64 << 10, input),
        line: String::new(),
        tool: tool.clone(),
    };
    let in_flight = in_flight.parse()?;
    pipe.open()?;
    pipe.run(WARM_UP, in_flight)?;
    let start = Instant::now();
    let (mut micros, wrong) = pipe.run(Duration::from_secs(seconds.parse()?), in_flight)?;
    let elapsed = start.elapsed();
    micros.sort_unstable();
    let rank = |share: usize| micros[(micros.len() - 1) * share / 100];
    println!(
        "PEER {} {} {} {} {wrong}",
        micros.len(),
        elapsed.as_micros(),
        rank(50),
        rank(99)
    );
    drop(pipe);
    child.wait()?;
    Ok(())
}
