//! Questions of fibers and of upstreams, in one table.

use super::*;
use crate::wire::json::Reader;
use std::sync::Barrier;

const ROOMY: usize = 1_000;

fn asks(process: usize, session: usize) -> Arc<Asks> {
    let limits = Limits {
        ask_count_max: process,
        ask_session_count_max: session,
        ..Limits::default()
    };
    Asks::new(&limits)
}

/// A question, and what was said to it.
fn ask(
    asks: &Arc<Asks>,
    session: Option<SessionId>,
    bytes_max: usize,
) -> Result<(RemoteQuestion, Arc<OnceLock<Reply>>), Full> {
    let said = Arc::new(OnceLock::new());
    let told = Arc::clone(&said);
    let on_answer: OnAnswer = Box::new(move |reply| told.set(reply).expect("it is told once"));
    Ok((asks.open_with(session, bytes_max, on_answer)?, said))
}

fn answer(asks: &Asks, session: Option<SessionId>, id: u64, text: Result<&str, &str>) -> bool {
    let number = id.to_string();
    let number = Reader::from_text(&number, 0).number().unwrap();
    let text = text.map(str::as_bytes).map_err(str::as_bytes);
    asks.answer(session, &RawId::integer(number).unwrap(), text)
}

fn session(random: u8) -> Option<SessionId> {
    Some(SessionId::new([random; 16]))
}

#[test]
fn an_upstream_is_told_the_answer_once() {
    let asks = asks(10, 10);
    let (question, said) = ask(&asks, session(1), ROOMY).unwrap();
    assert!(
        !answer(&asks, session(2), question.id(), Ok("{}")),
        "another's"
    );
    assert!(!answer(&asks, None, question.id(), Ok("{}")), "nobody's");
    assert!(
        !answer(&asks, session(1), question.id() + 1, Ok("{}")),
        "another"
    );
    assert_eq!(said.get(), None);
    assert!(answer(&asks, session(1), question.id(), Ok(r#"{"n":1.0}"#)));
    assert_eq!(said.get(), Some(&Ok(br#"{"n":1.0}"#.to_vec())));
    assert!(
        !answer(&asks, session(1), question.id(), Ok("{}")),
        "once more"
    );
    drop(question);
    assert_eq!((asks.open_count(), asks.unanswered()), (0, 0));
}

#[test]
fn an_upstream_is_told_a_clients_error() {
    let asks = asks(10, 10);
    let (question, said) = ask(&asks, None, ROOMY).unwrap();
    assert!(answer(&asks, None, question.id(), Err(r#"{"code":-1}"#)));
    assert_eq!(said.get(), Some(&Err(br#"{"code":-1}"#.to_vec())));
}

#[test]
fn nobody_is_told_once_the_question_is_closed() {
    let asks = asks(10, 10);
    let (question, said) = ask(&asks, session(1), ROOMY).unwrap();
    let id = question.id();
    drop(question);
    assert!(!answer(&asks, session(1), id, Ok("{}")));
    assert_eq!(said.get(), None);
    assert_eq!(
        Arc::strong_count(&said),
        1,
        "what would have been run is freed"
    );
    assert_eq!((asks.open_count(), asks.unanswered()), (0, 1));
}

#[test]
fn an_upstream_is_told_when_the_session_ends() {
    let asks = asks(10, 10);
    let (_first, said) = ask(&asks, session(1), ROOMY).unwrap();
    let (_other, other_said) = ask(&asks, session(2), ROOMY).unwrap();
    asks.end_session(SessionId::new([1; 16]));
    assert_eq!(said.get(), Some(&Err(SESSION_ENDED.to_vec())));
    assert_eq!(other_said.get(), None);
}

#[test]
fn an_answer_that_is_too_long_is_an_error() {
    let asks = asks(10, 10);
    let (question, said) = ask(&asks, None, 2).unwrap();
    assert!(answer(&asks, None, question.id(), Ok(r#"{"a":1}"#)));
    assert_eq!(said.get(), Some(&Err(TOO_LONG.to_vec())));
    let (question, said) = ask(&asks, None, 2).unwrap();
    assert!(answer(&asks, None, question.id(), Ok("{}")));
    assert_eq!(said.get(), Some(&Ok(b"{}".to_vec())));
}

#[test]
fn questions_of_fibers_and_of_upstreams_are_counted_together() {
    let asks = asks(3, 2);
    let room = Arc::new(AtomicUsize::new(ROOMY));
    let fiber = asks.open(session(1), &room).ok().unwrap();
    let (remote, _) = ask(&asks, session(1), ROOMY).unwrap();
    assert_ne!(fiber.id(), remote.id());
    assert_eq!(ask(&asks, session(1), ROOMY).err(), Some(Full::Session));
    let (_other, _) = ask(&asks, session(2), ROOMY).unwrap();
    assert_eq!(ask(&asks, session(3), ROOMY).err(), Some(Full::Process));
    assert!(asks.open(None, &room).is_err());
    drop(remote);
    assert!(ask(&asks, session(1), ROOMY).is_ok(), "there is room again");
}

#[test]
fn a_fibers_answer_waits_for_the_fiber() {
    let asks = asks(10, 10);
    let room = Arc::new(AtomicUsize::new(ROOMY));
    let question = asks.open(session(1), &room).ok().unwrap();
    assert!(question.reply().is_none());
    assert!(answer(&asks, session(1), question.id(), Ok("{}")));
    assert!(!answer(&asks, session(1), question.id(), Ok("[]")));
    assert_eq!(question.reply(), Some(&Ok(b"{}".to_vec())));
}

#[test]
fn what_is_run_may_close_the_question_itself_and_ask_another() {
    let asks = asks(10, 10);
    let own: Arc<OnceLock<RemoteQuestion>> = Arc::new(OnceLock::new());
    let next: Arc<OnceLock<RemoteQuestion>> = Arc::new(OnceLock::new());
    let (taken, kept, again) = (Arc::clone(&own), Arc::clone(&next), Arc::clone(&asks));
    let on_answer: OnAnswer = Box::new(move |_| {
        drop(taken);
        let question = again.open_with(None, ROOMY, Box::new(|_| {})).unwrap();
        kept.set(question).unwrap();
    });
    let question = asks.open_with(None, ROOMY, on_answer).unwrap();
    let id = question.id();
    own.set(question).unwrap();
    drop(own);
    assert!(answer(&asks, None, id, Ok("{}")));
    assert_eq!(asks.open_count(), 1, "the new one");
    assert!(next.get().is_some_and(|next| next.id() != id));
}

#[test]
fn of_many_who_answer_one_is_taken() {
    for _ in 0..50 {
        let asks = asks(10, 10);
        let (question, said) = ask(&asks, None, ROOMY).unwrap();
        let id = question.id();
        let barrier = Barrier::new(4);
        let taken = std::thread::scope(|scope| {
            let answers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        answer(&asks, None, id, Ok("{}"))
                    })
                })
                .collect();
            barrier.wait();
            drop(question);
            let taken = answers.into_iter().map(|thread| thread.join().unwrap());
            taken.filter(|taken| *taken).count()
        });
        assert!(taken <= 1);
        assert_eq!(said.get().is_some(), taken == 1, "told just if taken");
        assert_eq!(asks.unanswered(), 1 - taken as u64);
        assert_eq!(asks.open_count(), 0);
    }
}
