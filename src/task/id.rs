//! A task's id and its owner.

use std::fmt;

use crate::mcp::{Principal, SessionId};

/// Digits of a task's id on the wire.
pub const TASK_ID_BYTES: usize = 32;

/// A task's id: 128 random bits, 32 lowercase hexadecimal digits on the wire and in the name of its file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u128);

impl TaskId {
    /// An id of random bytes, which have to be unpredictable: for callers who are not told apart, having the id is having the task.
    pub const fn new(random: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(random))
    }

    /// Reads an id exactly as it is written; anything else is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }

    /// The id's text.
    pub fn text(self) -> String {
        format!("{:032x}", self.0)
    }
}

/// Whoever has an id may have the task: a log may show only its beginning.
impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}…", self.0 >> 104)
    }
}

/// Exactly 32 lowercase hexadecimal digits as a number.
pub(super) fn parse_hex(text: &str) -> Option<u128> {
    let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == TASK_ID_BYTES && text.bytes().all(digits))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

/// Whose a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Who made it. Nobody else finds it.
    pub principal: Principal,
    /// The legacy session that it was made in, if there was one. A restart forgets it.
    pub session: Option<SessionId>,
}

impl Owner {
    /// Whether a list for `asking` may name a task of this owner.
    ///
    /// Callers who are not authenticated are all one principal; of those each session has its own tasks, as far as a list
    /// tells. Who has an id has the task all the same.
    pub fn is_listed_for(&self, asking: &Self) -> bool {
        self.principal == asking.principal
            && (self.principal != Principal::ANONYMOUS || self.session == asking.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_exactly_and_nothing_else_is_one() {
        let id = TaskId::new(*b"\x00\x01sixteen bytes!");
        assert_eq!(TaskId::parse(&id.text()), Some(id));
        let text = id.text();
        assert_eq!(text.len(), TASK_ID_BYTES);
        for other in [
            "",
            "../../../../etc/passwd",
            &text.to_uppercase(),
            &text[1..],
            &format!("{text}0"),
            &format!("+{}", &text[1..]),
            &format!("{} ", &text[1..]),
        ] {
            assert_eq!(TaskId::parse(other), None, "{other:?}");
        }
        assert!(!format!("{id:?}").contains(&text[8..]));
    }

    #[test]
    fn a_list_names_a_sessions_own_tasks_and_an_authenticated_callers_all() {
        let session = |byte| Some(SessionId::new([byte; 16]));
        let owner = |principal, session| Owner {
            principal: Principal(principal),
            session,
        };
        assert!(owner(0, session(1)).is_listed_for(&owner(0, session(1))));
        assert!(!owner(0, session(1)).is_listed_for(&owner(0, session(2))));
        assert!(!owner(0, session(1)).is_listed_for(&owner(0, None)));
        assert!(owner(7, session(1)).is_listed_for(&owner(7, session(2))));
        assert!(!owner(7, session(1)).is_listed_for(&owner(8, session(1))));
    }
}
