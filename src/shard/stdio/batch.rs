//! Several messages on one line, which one revision has: their answers come together, as one line.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;

use crate::mcp::route::Batch;
use crate::mcp::{Reason, Refusal, Shape};

use super::super::exchange::write_array;
use super::StdioServer;

/// Where an answer goes.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// On a line of its own.
    Alone,
    /// On the line of its batch, once all of them are there.
    Together(Rc<Gathered>),
}

/// The answers of a batch.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Those that are there, each behind a comma.
    answers: RefCell<Vec<u8>>,
    /// Those that are still to come, and one as long as the batch is being read.
    owed: Cell<usize>,
}

impl Line {
    /// Takes an answer, or that there will be none.
    pub(super) fn answer(&self, body: Option<&[u8]>, out: &mut Vec<u8>) {
        match self {
            Self::Alone => {
                if let Some(body) = body {
                    out.extend_from_slice(body);
                    out.push(b'\n');
                }
            }
            Self::Together(gathered) => {
                if let Some(body) = body {
                    let mut answers = gathered.answers.borrow_mut();
                    answers.push(b',');
                    answers.extend_from_slice(body);
                }
                gathered.settle(out);
            }
        }
    }

    /// One more answer is to come.
    fn owe(&self) {
        if let Self::Together(gathered) = self {
            gathered.owed.set(gathered.owed.get() + 1);
        }
    }
}

impl Gathered {
    fn settle(&self, out: &mut Vec<u8>) {
        let owed = self.owed.get().saturating_sub(1);
        self.owed.set(owed);
        let answers = self.answers.take();
        if owed > 0 {
            self.answers.replace(answers);
        } else if !answers.is_empty() {
            write_array(out, &answers);
            out.push(b'\n');
        }
    }

    fn bytes(&self) -> usize {
        self.answers.borrow().len()
    }
}

impl<W: Write> StdioServer<W> {
    /// Serves a line that is an array.
    pub(super) fn serve_batch(&mut self, line: &[u8]) {
        let limits = &self.shared.limits;
        let value = limits.output_bytes_max;
        let read = Batch::read(line, limits.json_depth_max, limits.batch_count_max);
        let batch = match read {
            Ok(batch) => batch,
            Err(refusal) => return self.refuse(&refusal),
        };
        let gathered = Rc::new(Gathered::default());
        let line = Line::Together(Rc::clone(&gathered));
        line.owe();
        for message in batch.messages() {
            match message {
                Ok(message) if message.shape == Shape::Request => {
                    line.owe();
                    if gathered.bytes() > value {
                        let limit = "limits.output_bytes_max";
                        let reason = Reason::Overloaded { limit, value };
                        self.refuse_on(&line, &Refusal::new(reason, message.id));
                    } else {
                        self.take(&message, &line);
                    }
                }
                Ok(message) => self.take(&message, &Line::Alone),
                Err(refusal) => {
                    line.owe();
                    self.refuse_on(&line, &refusal);
                }
            }
        }
        gathered.settle(&mut self.out);
    }
}
