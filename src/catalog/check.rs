//! What has to hold whatever an upstream says that it offers.

use std::sync::Arc;

use serde_json::Value;

use super::{Catalog, Kind, Sources, UpstreamOffer};
use crate::gateway::RawListing;
use crate::mcp::Era;
use crate::upstream::era::Spoken;
use crate::upstream::remote::Remote;
use crate::upstream::settings::{Transport, Upstream};
use crate::upstream::tls::TlsOptions;

/// Entries that are kept.
const ENTRY_COUNT_MAX: usize = 100;

/// Holds for any bytes as facts and as a page of each list of two upstreams: the lists that come of it are lists, each on one
/// line, with each name once, and whatever is listed is found.
///
/// For fuzzing and property tests.
pub fn check(data: &[u8]) {
    let offer = |index: usize, spoken| {
        let transport = Transport::Http {
            replicas: Vec::new(),
            headers: Vec::new(),
            tls: TlsOptions::default(),
        };
        let remote = Remote::new(
            index,
            Upstream::new(["one", "two"][index], transport),
            Vec::new(),
        );
        let listing = RawListing {
            spoken,
            facts: data.to_vec(),
            announced: Vec::new(),
            pages: Kind::ALL.map(|list| (list, data.to_vec())).to_vec(),
        };
        Arc::new(UpstreamOffer::read(
            &Arc::new(remote),
            &listing,
            ENTRY_COUNT_MAX,
        ))
    };
    let offers = [offer(0, Spoken::Modern), offer(1, Spoken::Legacy)];
    let sources = Sources {
        offers: &offers,
        ..Sources::default()
    };
    let catalog = Catalog::build_of(sources, 1, usize::MAX);
    for era in [Era::Modern, Era::Legacy] {
        for kind in Kind::ALL {
            if let Some(page) = catalog.page_in(era, kind, None) {
                check_page(&catalog, kind, &page.json);
            }
        }
    }
}

fn check_page(catalog: &Catalog, kind: Kind, json: &[u8]) {
    assert!(!json.contains(&b'\n') && !json.contains(&b'\r'), "one line");
    let entries: Vec<Value> = serde_json::from_slice(json).expect("every client can read it");
    let key = match kind {
        Kind::Resources => "uri",
        Kind::Templates => "uriTemplate",
        _ => "name",
    };
    let mut names = Vec::new();
    for entry in &entries {
        let name = entry[key].as_str().expect("each entry is called something");
        let is_found = match kind {
            Kind::Tools => catalog.tool(name).is_some() && entry["inputSchema"].is_object(),
            Kind::Prompts => catalog.prompt(name).is_some(),
            Kind::Resources => catalog.resource(name).is_some(),
            _ => true,
        };
        assert!(is_found, "{name:?} is listed and not there");
        names.push(name);
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name stands twice");
}
