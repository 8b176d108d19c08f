//! Ids of upstreams' tasks as our clients know them: they say whose they are, and nobody can make one up.
//!
//! `NAME.THEIRS.MAC`: the upstream, its own id, and a code over both and the caller, with the process's key. Nothing is kept here
//! for a task: any replica with the same key leads a client back to it, and a restart loses nothing. Another caller's id is as
//! one that does not exist.
//!
//! An id of our own tasks has no dot in it, so no id is of both kinds.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::limits::ID_BYTES_MAX;
use crate::mcp::Principal;

/// What stands between the parts. An upstream's name never has it; its ids may.
const SEPARATOR: char = '.';

/// Bytes of the code: half of what the hash gives, and twice what nobody can guess.
const CODE_BYTES: usize = 16;

/// What keeps these codes apart from others under the same key.
const PURPOSE: &[u8] = b"margay upstream task id 1";

/// Makes ids and takes them apart.
#[derive(Clone)]
pub struct TaskIds {
    /// The key, taken in.
    keyed: Hmac<Sha256>,
}

impl TaskIds {
    /// With a key of random bytes, which have to be unpredictable.
    pub fn new(key: &[u8; 32]) -> Self {
        let mut keyed = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        keyed.update(PURPOSE);
        Self { keyed }
    }

    /// The id of an upstream's task for a caller of ours.
    ///
    /// Shape: none where it would be longer than [`ID_BYTES_MAX`], or where the upstream's name has a dot.
    pub fn outward(&self, remote_name: &str, principal: Principal, theirs: &str) -> Option<String> {
        if remote_name.contains(SEPARATOR) {
            return None;
        }
        let code = self.code(remote_name, principal, theirs).finalize();
        let code = URL_SAFE_NO_PAD.encode(&code.into_bytes()[..CODE_BYTES]);
        let id = format!("{remote_name}{SEPARATOR}{theirs}{SEPARATOR}{code}");
        (id.len() <= ID_BYTES_MAX).then_some(id)
    }

    /// The upstream and its own id, if [`TaskIds::outward`] made this id for this caller.
    pub fn inward<'t>(&self, id: &'t str, principal: Principal) -> Option<(&'t str, &'t str)> {
        let (remote_name, rest) = id.split_once(SEPARATOR)?;
        let (theirs, code) = rest.rsplit_once(SEPARATOR)?;
        let code = URL_SAFE_NO_PAD.decode(code).ok()?;
        if code.len() != CODE_BYTES {
            return None;
        }
        // It takes as long whichever byte differs.
        self.code(remote_name, principal, theirs)
            .verify_truncated_left(&code)
            .ok()?;
        Some((remote_name, theirs))
    }

    fn code(&self, remote_name: &str, principal: Principal, theirs: &str) -> Hmac<Sha256> {
        let mut code = self.keyed.clone();
        code.update(&principal.0.to_le_bytes());
        for part in [remote_name, theirs] {
            code.update(&(part.len() as u64).to_le_bytes());
            code.update(part.as_bytes());
        }
        code
    }
}

impl fmt::Debug for TaskIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskIds(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANN: Principal = Principal(1);
    const BOB: Principal = Principal(2);

    fn ids() -> TaskIds {
        TaskIds::new(&[7; 32])
    }

    #[test]
    fn an_id_leads_its_caller_back_to_the_upstreams_own() {
        for theirs in [
            "",
            "t",
            "a.b..c.",
            ".",
            "786512e2-9e0d-44bd-8f29-789f320fe840",
            "ä \"\n",
        ] {
            let id = ids().outward("files", ANN, theirs).unwrap();
            assert!(id.starts_with(&format!("files.{theirs}.")), "{id}");
            assert_eq!(ids().inward(&id, ANN), Some(("files", theirs)));
        }
    }

    #[test]
    fn nobody_else_has_it_and_no_other_key_makes_it() {
        let id = ids().outward("files", ANN, "t").unwrap();
        assert_eq!(ids().inward(&id, BOB), None);
        assert_eq!(ids().inward(&id, Principal::ANONYMOUS), None);
        assert_eq!(TaskIds::new(&[8; 32]).inward(&id, ANN), None);
    }

    #[test]
    fn an_id_that_was_changed_in_any_byte_is_none() {
        let id = ids().outward("files", ANN, "t.u").unwrap();
        for at in 0..id.len() {
            for byte in [b'.', b'A', b'_', b'0'] {
                let mut changed = id.clone().into_bytes();
                if std::mem::replace(&mut changed[at], byte) != byte {
                    let changed = String::from_utf8(changed).unwrap();
                    assert_eq!(ids().inward(&changed, ANN), None, "{changed}");
                }
            }
            assert_eq!(ids().inward(&id[..at], ANN), None);
        }
        assert_eq!(ids().inward(&format!("{id}A"), ANN), None);
    }

    #[test]
    fn parts_cannot_be_moved_from_one_to_the_other() {
        let id = ids().outward("a", ANN, "b.c").unwrap();
        let code = id.rsplit_once('.').unwrap().1;
        for other in ["a.b.c", "a.b", "ab.c", "a.b..c", "b.c.a"] {
            assert_eq!(
                ids().inward(&format!("{other}.{code}"), ANN).is_some(),
                other == "a.b.c"
            );
        }
    }

    #[test]
    fn what_is_no_id_of_this_kind_is_none() {
        for id in [
            "",
            ".",
            "..",
            "a",
            "a.b",
            "a.b.",
            "a.b.!",
            "0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(ids().inward(id, ANN), None, "{id}");
        }
        // A code that is cut to nothing would fit everything.
        let id = ids().outward("a", ANN, "b").unwrap();
        let (parts, code) = id.rsplit_once('.').unwrap();
        assert_eq!(ids().inward(&format!("{parts}.{}", &code[..8]), ANN), None);
    }

    #[test]
    fn an_id_is_no_longer_than_clients_may_send() {
        let around = "files..".len() + 22;
        let longest = "x".repeat(ID_BYTES_MAX - around);
        let id = ids().outward("files", ANN, &longest).unwrap();
        assert_eq!(id.len(), ID_BYTES_MAX);
        assert_eq!(ids().outward("files", ANN, &format!("{longest}x")), None);
        assert_eq!(
            ids().outward("a.b", ANN, "t"),
            None,
            "that would be another's"
        );
    }

    proptest! {
        #[test]
        fn whatever_an_upstream_calls_its_task_comes_back(
            name in "[a-z][a-z0-9_-]{0,20}", theirs in ".{0,40}", principal: u128,
        ) {
            let principal = Principal(principal);
            let id = ids().outward(&name, principal, &theirs);
            if let Some(id) = id {
                prop_assert_eq!(ids().inward(&id, principal), Some((&*name, &*theirs)));
            } else {
                prop_assert!(name.len() + theirs.len() + 24 > ID_BYTES_MAX);
            }
        }

        #[test]
        fn nothing_made_up_is_taken(id in ".{0,60}") {
            prop_assert_eq!(ids().inward(&id, ANN), None);
        }
    }
}
