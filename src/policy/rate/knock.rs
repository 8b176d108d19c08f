//! What is counted before it is known who asks.

use std::net::IpAddr;

use super::limit::{Limit, Taken};
use super::store::Key;
use super::{Limited, Limiter, canonical};

/// What somebody has taken who was not known yet. It stays counted unless it is given back.
#[must_use = "who turns out to be known is counted with what he asks for, and would be counted twice"]
pub struct Knock<'l>(Taken<'l>);

impl Knock<'_> {
    /// Whoever it was is known: he is counted with what he asks for.
    pub fn give_back(self) {
        self.0.give_back();
    }

    /// Whoever it was is not known: that is all that is counted of him.
    pub fn keep(self) {}
}

impl Limiter {
    /// Counts somebody before it is known who he is, or says which limit he is one too many for; then none has counted him.
    ///
    /// Only the limits of his address count: any other is somebody else's too, who would be shut out by whoever likes to. `is_dear`
    /// says whether he shows something that has to be verified, which takes longer than to be shown; then the limit of failures
    /// counts too.
    pub fn knock(
        &self,
        now_ns: u64,
        address: Option<IpAddr>,
        is_dear: bool,
    ) -> Result<Knock<'_>, Limited<'_>> {
        let mut taken = Taken::new(now_ns);
        let address = address.map(canonical);
        if let Some(address) = address.filter(|address| !self.is_exempt(*address)) {
            let from = Key::of_address(address);
            let failures = self.auth_failure.as_deref().filter(|_| is_dear);
            let limits = failures.into_iter().chain(self.address.as_deref());
            take_all(&mut taken, limits, from).inspect_err(|_| taken.give_back())?;
        }
        Ok(Knock(taken))
    }
}

fn take_all<'l>(
    taken: &mut Taken<'l>,
    mut limits: impl Iterator<Item = &'l Limit>,
    from: Key,
) -> Result<(), Limited<'l>> {
    limits.try_for_each(|limit| taken.take(limit, from))
}
