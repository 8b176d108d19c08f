//! Blocks of content, resources, annotations and icons, as the members and objects of the protocol.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::mcp::Revision;
use crate::wire::json;

use super::bindings::margay::host::types::{
    Annotations, Content, ContentBlock, Icon, Media, ResourceBody, ResourceContents, ResourceInfo,
    Role,
};
use super::text;

/// Why what a component gave cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unwritable {
    /// It is larger than allowed.
    TooLarge,
    /// A part of it is not what it has to be, in words that follow "its".
    Unfit(String),
}

/// Appends the members of one object after another, within a bound.
pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    end_max: usize,
    depth_max: usize,
}

type Written = Result<(), Unwritable>;

impl<'o> Writer<'o> {
    /// A writer of at most `bytes_max` bytes.
    pub(super) fn new(out: &'o mut Vec<u8>, bytes_max: usize, depth_max: usize) -> Self {
        Self {
            end_max: out.len().saturating_add(bytes_max),
            out,
            depth_max,
        }
    }

    /// Bytes written, with what stood there before.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Errors: there is more than may be.
    pub(super) fn check(&self) -> Written {
        match self.out.len() <= self.end_max {
            true => Ok(()),
            false => Err(Unwritable::TooLarge),
        }
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// The comma before a member or an element, unless it is the first or the value of a member.
    pub(super) fn comma(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b',' | b':')) {
            self.out.push(b',');
        }
    }

    /// The name of a member.
    pub(super) fn key(&mut self, name: &str) {
        self.comma();
        self.out.push(b'"');
        self.raw(name);
        self.raw("\":");
    }

    pub(super) fn string(&mut self, name: &str, value: &str) {
        self.key(name);
        self.value(value);
    }

    pub(super) fn value(&mut self, value: &str) {
        json::write_str(self.out, value);
    }

    pub(super) fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.string(name, value);
        }
    }

    pub(super) fn boolean(&mut self, name: &str, value: bool) {
        self.key(name);
        self.raw(if value { "true" } else { "false" });
    }

    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.key(name);
        json::write_u64(self.out, value);
    }

    /// A member that is an object of the component's own JSON.
    pub(super) fn object(&mut self, name: &str, value: &str, called: &str) -> Written {
        self.key(name);
        text::append_object(self.out, value, self.depth_max)
            .map_err(|what| Unwritable::Unfit(format!("{called} {what}")))
    }

    /// A member that is any JSON of the component's own.
    pub(super) fn any(&mut self, name: &str, value: &str, called: &str) -> Written {
        self.key(name);
        match text::append(self.out, value, self.depth_max) {
            Ok(_) => Ok(()),
            Err(_) => Err(Unwritable::Unfit(format!("{called} is not JSON"))),
        }
    }

    pub(super) fn meta(&mut self, meta: Option<&str>) -> Written {
        match meta {
            Some(meta) => self.object("_meta", meta, "meta"),
            None => Ok(()),
        }
    }

    /// The members of a result's own `_meta`, without anything around them.
    pub(super) fn meta_members(&mut self, meta: &str) -> Written {
        text::append_meta_members(self.out, meta, self.depth_max)
            .map_err(|what| Unwritable::Unfit(format!("meta {what}")))
    }

    fn base64(&mut self, name: &str, data: &[u8]) -> Written {
        self.key(name);
        // Refused before it is written: it is a third longer than what was paid for.
        if self.out.len() + data.len() > self.end_max {
            return Err(Unwritable::TooLarge);
        }
        self.out.push(b'"');
        let start = self.out.len();
        let length = data.len().div_ceil(3) * 4;
        self.out.resize(start + length, 0);
        let encoded = STANDARD.encode_slice(data, &mut self.out[start..]);
        // The room is exact by the definition of the encoding.
        self.out.truncate(start + encoded.unwrap_or(0));
        self.out.push(b'"');
        Ok(())
    }

    /// A whole object for one block of content.
    pub(super) fn content(&mut self, content: &Content, revision: Revision) -> Written {
        self.comma();
        self.raw("{");
        match &content.block {
            ContentBlock::Text(text) => self.text(text),
            ContentBlock::Image(media) => self.media("image", media)?,
            ContentBlock::Audio(media) if revision > Revision::V2024_11_05 => {
                self.media("audio", media)?;
            }
            ContentBlock::Audio(media) => {
                // The oldest revision has no sound; its clients refuse what they do not know.
                let (bytes, kind) = (media.data.len(), &media.mime_type);
                self.text(&format!(
                    "({bytes} bytes of {kind}, which this protocol revision cannot carry)"
                ));
            }
            ContentBlock::Embedded(contents) => {
                self.string("type", "resource");
                self.key("resource");
                self.contents(contents)?;
            }
            ContentBlock::Link(info) if revision > Revision::V2025_03_26 => {
                self.string("type", "resource_link");
                self.string("uri", &info.uri);
                self.info(info)?;
            }
            // Before there were links, their address was text.
            ContentBlock::Link(info) => self.text(&format!("{}: {}", info.name, info.uri)),
        }
        if let Some(annotations) = &content.annotations {
            self.annotations(annotations);
        }
        self.meta(content.meta.as_deref())?;
        self.raw("}");
        self.check()
    }

    fn text(&mut self, text: &str) {
        self.string("type", "text");
        self.string("text", text);
    }

    fn media(&mut self, kind: &str, media: &Media) -> Written {
        self.string("type", kind);
        self.base64("data", &media.data)?;
        self.string("mimeType", &media.mime_type);
        Ok(())
    }

    /// A whole object for a resource with what it holds.
    pub(super) fn contents(&mut self, contents: &ResourceContents) -> Written {
        self.comma();
        self.raw("{");
        self.string("uri", &contents.uri);
        self.optional("mimeType", contents.mime_type.as_deref());
        match &contents.body {
            ResourceBody::Text(text) => self.string("text", text),
            ResourceBody::Blob(data) => self.base64("blob", data)?,
        }
        self.meta(contents.meta.as_deref())?;
        self.raw("}");
        self.check()
    }

    /// The members of a resource's description, but for its address.
    pub(super) fn info(&mut self, info: &ResourceInfo) -> Written {
        self.string("name", &info.name);
        self.optional("title", info.title.as_deref());
        self.optional("description", info.description.as_deref());
        self.optional("mimeType", info.mime_type.as_deref());
        if let Some(size) = info.size {
            self.number("size", size);
        }
        if let Some(annotations) = &info.annotations {
            self.annotations(annotations);
        }
        self.icons(&info.icons);
        self.meta(info.meta.as_deref())
    }

    /// The member `annotations`.
    pub(super) fn annotations(&mut self, annotations: &Annotations) {
        self.key("annotations");
        self.raw("{");
        if !annotations.audience.is_empty() {
            self.key("audience");
            self.raw("[");
            for role in &annotations.audience {
                self.comma();
                self.value(role_name(*role));
            }
            self.raw("]");
        }
        // Beyond its range it says nothing that a client may rely on.
        if let Some(priority) = annotations.priority.filter(|one| (0.0..=1.0).contains(one)) {
            self.key("priority");
            let written = json::write_f64(self.out, priority);
            debug_assert!(written, "a number between 0 and 1 is finite");
        }
        self.optional("lastModified", annotations.last_modified.as_deref());
        self.raw("}");
    }

    /// The member `icons`, if there are any.
    pub(super) fn icons(&mut self, icons: &[Icon]) {
        if icons.is_empty() {
            return;
        }
        self.key("icons");
        self.raw("[");
        for icon in icons {
            self.comma();
            self.raw("{");
            self.string("src", &icon.src);
            self.optional("mimeType", icon.mime_type.as_deref());
            if !icon.sizes.is_empty() {
                self.key("sizes");
                self.raw("[");
                for size in &icon.sizes {
                    self.comma();
                    self.value(size);
                }
                self.raw("]");
            }
            self.optional("theme", icon.theme.as_deref());
            self.raw("}");
        }
        self.raw("]");
    }
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}
