//! The resources: two that never change, one that always does, and one for each number.

use crate::Server;
use crate::content::PIXEL;
use crate::exports::margay::host::resources::{Guest, ReadResult, ResourceList, ResourceTemplate};
use crate::margay::host::types::{
    Annotations, CacheHints, CacheScope, Error, ResourceBody, ResourceContents, ResourceInfo, Role,
};
use serde_json::json;
use std::time::SystemTime;

const TEXT: &str = "test://static-text";
const BINARY: &str = "test://static-binary";
/// Its text is another at every reading, and `test_trigger_resource_change` says so.
pub const WATCHED: &str = "test://watched-resource";
pub const TEMPLATE: &str = "test://template/{id}/data";

const HOUR: CacheHints = CacheHints {
    ttl_ms: 3_600_000,
    scope: CacheScope::Public,
};
const NOT_AT_ALL: CacheHints = CacheHints {
    ttl_ms: 0,
    scope: CacheScope::Private,
};

impl Guest for Server {
    fn list_resources() -> ResourceList {
        let mut text = listed(
            TEXT,
            "Static text",
            "A text that never changes",
            "text/plain",
        );
        text.annotations = Some(Annotations {
            audience: vec![Role::User, Role::Assistant],
            priority: Some(0.5),
            last_modified: None,
        });
        let mut binary = listed(
            BINARY,
            "Static binary",
            "A picture of one red pixel",
            "image/png",
        );
        binary.size = Some(PIXEL.len() as u64);
        let watched = listed(
            WATCHED,
            "Watched resource",
            "Another text at every reading",
            "text/plain",
        );
        let template = ResourceTemplate {
            uri_template: TEMPLATE.into(),
            name: "Data by number".into(),
            title: None,
            description: Some("What belongs to a number".into()),
            mime_type: Some("application/json".into()),
            annotations: None,
            icons: vec![],
            meta: None,
        };
        ResourceList {
            resources: vec![text, binary, watched],
            templates: vec![template],
            hints: Some(HOUR),
        }
    }

    fn read_resource(uri: String) -> Result<ReadResult, Error> {
        let (mime_type, body, hints) = match uri.as_str() {
            TEXT => (
                "text/plain",
                ResourceBody::Text("This is the content of the static text resource.".into()),
                HOUR,
            ),
            BINARY => ("image/png", ResourceBody::Blob(PIXEL.to_vec()), HOUR),
            WATCHED => (
                "text/plain",
                ResourceBody::Text(format!("As of {:?}", SystemTime::now())),
                NOT_AT_ALL,
            ),
            other => (
                "application/json",
                ResourceBody::Text(data_of(other)?),
                HOUR,
            ),
        };
        let contents = vec![ResourceContents {
            uri,
            mime_type: Some(mime_type.into()),
            body,
            meta: None,
        }];
        Ok(ReadResult {
            contents,
            hints: Some(hints),
        })
    }

    fn subscribe(uri: String) -> Result<(), Error> {
        match uri.as_str() {
            TEXT | BINARY | WATCHED => Ok(()),
            other => data_of(other).map(drop),
        }
    }
}

/// What the template's resource for one number holds.
fn data_of(uri: &str) -> Result<String, Error> {
    let id = uri
        .strip_prefix("test://template/")
        .and_then(|rest| rest.strip_suffix("/data"));
    let id = id.ok_or_else(|| Error::NotFound(uri.into()))?;
    Ok(json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") }).to_string())
}

fn listed(uri: &str, name: &str, description: &str, mime_type: &str) -> ResourceInfo {
    ResourceInfo {
        uri: uri.into(),
        name: name.into(),
        title: None,
        description: Some(description.into()),
        mime_type: Some(mime_type.into()),
        size: None,
        annotations: None,
        icons: vec![],
        meta: None,
    }
}
