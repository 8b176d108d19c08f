//! The thread that reads standard input: bytes to lines, until the input ends or nobody listens.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Wake, Waker};

use crate::wire::stdio::{Line, LineSplitter};

/// Lines read ahead of the one being served: enough to keep the reader busy, and the rest waits in the pipe.
const LINES_AHEAD: usize = 64;
/// Bytes asked of the input at a time.
const READ_BYTES: usize = 64 << 10;

/// What the serving thread waits for.
pub(super) enum Event {
    Line(Vec<u8>),
    TooLong,
    /// A call that is away has ended or said something, or what is offered has changed.
    Wake,
    End,
}

/// The way to wake the serving thread.
#[derive(Clone)]
pub(super) struct Bell(SyncSender<Event>);

impl Bell {
    /// Wakes the serving thread. Where the channel is full, events wait that are followed by a look at everything anyway.
    pub(super) fn ring(&self) {
        let _ = self.0.try_send(Event::Wake);
    }

    /// The same for those who wake tasks.
    pub(super) fn waker(&self) -> Waker {
        Waker::from(Arc::new(self.clone()))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}

/// Starts reading, on a thread of its own.
///
/// Errors: the thread cannot be made.
pub(super) fn start(
    input: impl Read + Send + 'static,
    line_bytes_max: usize,
) -> io::Result<(Receiver<Event>, Bell)> {
    let (sender, events) = sync_channel(LINES_AHEAD);
    let bell = Bell(sender.clone());
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || read(input, line_bytes_max, &sender))?;
    Ok((events, bell))
}

fn read(mut input: impl Read, line_bytes_max: usize, events: &SyncSender<Event>) {
    let mut splitter = LineSplitter::new(line_bytes_max);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::error!(%error, "reading standard input failed");
                break;
            }
        };
        let mut bytes = &buffer[..count];
        while let Some(line) = splitter.next_line(&mut bytes) {
            if events.send(event(line)).is_err() {
                return;
            }
        }
    }
    if let Some(line) = splitter.finish()
        && events.send(event(line)).is_err()
    {
        return;
    }
    let _ = events.send(Event::End);
}

fn event(line: Line<'_>) -> Event {
    match line {
        Line::Complete(line) => Event::Line(line.to_vec()),
        Line::TooLong => Event::TooLong,
    }
}
