//! Protocol revisions: their names, their era, and which of them this server speaks over which transport.

/// The two ways a conversation is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Era {
    /// Handshake with `initialize`, then requests in its session (HTTP) or process (stdio).
    Legacy,
    /// No handshake: each request says in `params._meta` what it needs.
    Modern,
}

/// A published revision of the protocol, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// 2024-11-05. Its HTTP transport was another one, so it is spoken over stdio only.
    V2024_11_05,
    /// 2025-03-26.
    V2025_03_26,
    /// 2025-06-18.
    V2025_06_18,
    /// 2025-11-25.
    V2025_11_25,
    /// 2026-07-28.
    V2026_07_28,
}

/// The revisions spoken over HTTP, newest first, as a JSON array: what `server/discover` and an
/// unsupported-version error list.
pub const SUPPORTED_JSON: &str = r#"["2026-07-28","2025-11-25","2025-06-18","2025-03-26"]"#;

impl Revision {
    /// Every revision that this code knows, oldest first.
    pub const ALL: [Self; 5] = [
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];

    /// The revision offered to a legacy client that asks for one we do not speak.
    pub const LEGACY_LATEST: Self = Self::V2025_11_25;

    /// The revision of a legacy request whose session does not say and that carries no header.
    ///
    /// Source: 2025-06-18 basic/transports, "Protocol Version Header".
    pub const LEGACY_ASSUMED: Self = Self::V2025_03_26;

    /// The only modern revision.
    pub const MODERN: Self = Self::V2026_07_28;

    /// Reads a revision's name exactly; anything else is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|revision| revision.as_str().as_bytes() == text)
    }

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Which era's rules hold.
    pub const fn era(self) -> Era {
        match self {
            Self::V2026_07_28 => Era::Modern,
            _ => Era::Legacy,
        }
    }

    /// Whether Streamable HTTP is this revision's HTTP transport.
    pub const fn over_http(self) -> bool {
        !matches!(self, Self::V2024_11_05)
    }

    /// Whether a body may be a batch of messages.
    pub const fn has_batches(self) -> bool {
        matches!(self, Self::V2025_03_26)
    }

    /// The revision to answer an `initialize` with: the asked one where it is spoken over this transport, else our latest.
    ///
    /// Source: 2025-11-25 basic/lifecycle, "Version Negotiation".
    pub fn negotiate(requested: Option<Self>, over_http: bool) -> Self {
        match requested {
            Some(revision)
                if revision.era() == Era::Legacy && (revision.over_http() || !over_http) =>
            {
                revision
            }
            _ => Self::LEGACY_LATEST,
        }
    }

    /// The revision for a small number from [`Revision::index`].
    pub(crate) fn from_index(index: u8) -> Self {
        Self::ALL
            .get(usize::from(index))
            .copied()
            .unwrap_or(Self::LEGACY_ASSUMED)
    }

    /// A small number for storage beside other bits.
    pub(crate) const fn index(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_exactly_and_nothing_else_does() {
        for revision in Revision::ALL {
            assert_eq!(
                Revision::parse(revision.as_str().as_bytes()),
                Some(revision)
            );
            assert_eq!(Revision::from_index(revision.index()), revision);
        }
        for other in [
            "",
            "2026-07-2",
            "2026-07-28 ",
            "v999.0.0",
            "2025-11-26",
            "1999-01-01",
        ] {
            assert_eq!(Revision::parse(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn the_supported_list_is_every_http_revision_newest_first() {
        let mut names: Vec<String> = Revision::ALL
            .into_iter()
            .filter(|revision| revision.over_http())
            .map(|revision| format!("\"{}\"", revision.as_str()))
            .collect();
        names.reverse();
        assert_eq!(SUPPORTED_JSON, format!("[{}]", names.join(",")));
    }

    #[test]
    fn an_unknown_or_modern_ask_is_answered_with_the_latest_legacy_revision() {
        use Revision::*;
        assert_eq!(Revision::negotiate(None, true), V2025_11_25);
        assert_eq!(Revision::negotiate(Some(V2026_07_28), true), V2025_11_25);
        assert_eq!(Revision::negotiate(Some(V2025_03_26), true), V2025_03_26);
        assert_eq!(Revision::negotiate(Some(V2024_11_05), true), V2025_11_25);
        assert_eq!(Revision::negotiate(Some(V2024_11_05), false), V2024_11_05);
    }
}
