//! Blocks of content, and results made of them.

use crate::exports::margay::host::tools::ToolResult;
use crate::margay::host::types::{
    Content, ContentBlock, Error, Media, ResourceBody, ResourceContents,
};

/// What a tool comes to.
pub type Outcome = Result<ToolResult, Error>;

/// One red pixel.
pub const PIXEL: &[u8] = include_bytes!("pixel.png");
/// One millisecond of sound.
const BEEP: &[u8] = include_bytes!("beep.wav");

pub fn text(text: impl Into<String>) -> Content {
    plain(ContentBlock::Text(text.into()))
}

pub fn image() -> Content {
    plain(ContentBlock::Image(Media {
        data: PIXEL.to_vec(),
        mime_type: "image/png".into(),
    }))
}

pub fn audio() -> Content {
    plain(ContentBlock::Audio(Media {
        data: BEEP.to_vec(),
        mime_type: "audio/wav".into(),
    }))
}

/// A text resource inside the content.
pub fn embedded(uri: &str, mime_type: &str, text: &str) -> Content {
    plain(ContentBlock::Embedded(ResourceContents {
        uri: uri.into(),
        mime_type: Some(mime_type.into()),
        body: ResourceBody::Text(text.into()),
        meta: None,
    }))
}

fn plain(block: ContentBlock) -> Content {
    Content {
        block,
        annotations: None,
        meta: None,
    }
}

/// The tool ran, and this is what it has to say.
pub fn said(words: impl Into<String>) -> Outcome {
    Ok(result(vec![text(words)]))
}

/// The tool ran, and failed.
pub fn failed(why: impl Into<String>) -> Outcome {
    Ok(ToolResult {
        is_error: true,
        ..result(vec![text(why)])
    })
}

pub fn result(content: Vec<Content>) -> ToolResult {
    ToolResult {
        content,
        structured_content: None,
        is_error: false,
        meta: None,
    }
}
