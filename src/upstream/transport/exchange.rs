//! One exchange: how far it is, and what it tells.

use super::request::Request;
use super::{Sink, TransportEvent};
use crate::policy::Reached;
use crate::upstream::http::{ClientEvent, Media};
use crate::wire::sse::EventItem;

/// Statuses whose answers have nothing to say: `202 Accepted`, `204 No Content`. What a body says all the same is passed over.
const BARE: [u16; 2] = [202, 204];

/// One exchange.
#[derive(Debug)]
pub(super) struct Exchange {
    pub request: Request,
    /// When it is overdue as a whole.
    pub until_ms: u64,
    /// Nobody wants to hear of it now.
    pub is_paused: bool,
    /// Its bytes were handed over for sending.
    pub is_sent: bool,
    /// Any byte of an answer came.
    pub is_heard: bool,
    /// How its answer's body is read, once the head came.
    pub media: Option<Media>,
    /// Its answer has nothing to say.
    is_bare: bool,
    /// Its answer is over.
    pub is_over: bool,
    pub retry_ms: Option<u64>,
}

impl Exchange {
    pub fn new(request: Request, now_ms: u64) -> Self {
        Self {
            until_ms: now_ms.saturating_add(request.call_ms),
            request,
            is_paused: false,
            is_sent: false,
            is_heard: false,
            media: None,
            is_bare: false,
            is_over: false,
            retry_ms: None,
        }
    }

    /// How far it got.
    pub fn reached(&self) -> Reached {
        match (self.is_sent, self.is_heard) {
            (false, _) => Reached::Nothing,
            (true, false) => Reached::Sent,
            (true, true) => Reached::Answering,
        }
    }

    /// Whether its answer is a stream of events, as far as is known.
    pub fn is_stream(&self) -> bool {
        self.media == Some(Media::Events)
    }

    /// Passes on what its connection says.
    pub fn tell(&mut self, event: ClientEvent<'_>, sink: &mut Sink<'_>) {
        let key = self.request.key;
        match event {
            ClientEvent::Head(head) => {
                self.media = Some(head.media);
                self.is_bare = BARE.contains(&head.status);
                sink(TransportEvent::Head { key, head });
            }
            ClientEvent::End => self.is_over = true,
            ClientEvent::Body(_) | ClientEvent::Item(_) if self.is_bare => {}
            ClientEvent::Body(text) if self.media == Some(Media::Json) => {
                sink(TransportEvent::Message { key, text });
            }
            ClientEvent::Body(text) => sink(TransportEvent::Other { key, text }),
            // An event without data is a sign of life or an id.
            ClientEvent::Item(EventItem::Event(event)) if event.data.is_empty() => {}
            ClientEvent::Item(EventItem::Event(event)) => sink(match event.name {
                b"message" => TransportEvent::Message {
                    key,
                    text: event.data,
                },
                kind => TransportEvent::Event {
                    key,
                    kind,
                    data: event.data,
                },
            }),
            ClientEvent::Item(EventItem::Retry(retry_ms)) => self.retry_ms = Some(retry_ms),
            ClientEvent::Item(EventItem::Comment) => {}
        }
    }
}
