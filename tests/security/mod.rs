//! What servers and gateways of this kind have really been broken by, each as a test of its own.
//!
//! | incident | here |
//! |---|---|
//! | answers of one client to another (CVE-2026-25536) | `gateway::crossing` |
//! | sessions taken over, predictable ids (CVE-2026-33946, CVE-2025-6515) | [`sessions`] |
//! | tokens of others, missing authentication, wrong audience | [`callers`], [`tokens`], [`certificates`], `policy::auth::tests` |
//! | news of what somebody may not read | [`listening`] |
//! | proofs forged in numbers, to guess one or to burn time | [`floods`] |
//! | DNS rebinding (CVE-2025-66414, CVE-2026-42559, CVE-2026-34742) | [`hosts`] |
//! | header and body disagree | [`smuggling`] |
//! | programs and addresses from the wire (CVE-2025-6514, CVE-2025-49596) | [`upstreams`] |
//! | privileged headers on the data port (GHSA-g53w-w6mj-hrpp) | [`upstreams`] |
//! | arguments that become headers or paths (CVE-2026-29791) | [`upstreams`] |
//! | metadata services and files that a tool was never granted (CVE-2026-26118) | [`grants`], `component::tests::granted` |
//! | tools that change, shadow others, or drive a terminal | [`tools`] |

mod audit;
mod callers;
mod certificates;
mod floods;
mod grants;
mod hosts;
mod listening;
mod management;
mod secrets;
mod sessions;
mod smuggling;
mod stdio;
mod tokens;
mod tools;
mod upstreams;
