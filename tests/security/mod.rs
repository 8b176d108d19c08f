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
//!
//! The same, each with the tests that hold it:
//!
//! | | incident | held by |
//! |---|---|---|
//! | M1 | answers of one client to another (CVE-2026-25536) | `gateway::crossing::nothing_crosses_on_…`: a thousand clients with the same ids on shared connections and pipes |
//! | M2 | sessions taken over, predictable ids (CVE-2026-33946, CVE-2025-6515) | `sessions::ids_are_128_random_bits_…`, `a_second_stream_takes_nothing_…`, `a_stream_is_resumed_by_its_owner_alone_…`, `callers::a_session_is_its_owners_alone` |
//! | M3 | DNS rebinding (CVE-2025-66414, CVE-2026-42559, CVE-2026-34742) | `hosts::no_path_answers_under_the_name_of_another_site` |
//! | M4 | header and body disagree, two readers of one body | `smuggling::*`; `policy::rule::tests::arguments` |
//! | M5 | tokens of others, passed on or taken | `upstreams::a_callers_own_proof_is_in_no_…`, `no_header_of_a_caller_…`, `gateway::credentials::a_caller_s_token_never_goes_upstream`; `tokens::*`, `policy::auth::tests::attacks` |
//! | M6 | programs and addresses from the wire (CVE-2025-6514, CVE-2025-49596) | `upstreams::nothing_in_a_message_names_a_program_or_an_address`; `upstream::credential::tests::a_person_is_sent_to_web_addresses_…` |
//! | M7 | privileged headers, secrets that everybody knows (GHSA-g53w-w6mj-hrpp) | `upstreams::no_header_stands_for_a_proof_…` |
//! | M8 | arguments that become headers or paths (CVE-2026-29791) | `upstreams::an_argument_that_becomes_a_header_cannot_end_it` |
//! | M9 | metadata services and inner addresses (CVE-2026-26118) | `grants::*`, `component::tests::granted`; `control::fetch::tests`, `upstream::credential::tests::every_spelling_of_an_inner_address_is_known`, `gateway::credentials::an_upstream_that_leads_to_an_inner_address_…` |
//! | M10 | tools that change, shadow others, or drive a terminal | `tools::*`; `catalog::pin`, `mcp::neutral` |

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
