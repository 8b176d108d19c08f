//! Every kind of content, and a failure.

use super::Entry;
use crate::content::{audio, embedded, failed, image, result, said, text};

pub const TOOLS: &[Entry] = &[
    Entry::new("test_simple_text", "Gives a text", |_| {
        said("This is a simple text response for testing.")
    }),
    Entry::new("test_image_content", "Gives a picture", |_| {
        Ok(result(vec![image()]))
    }),
    Entry::new("test_audio_content", "Gives a sound", |_| {
        Ok(result(vec![audio()]))
    }),
    Entry::new("test_embedded_resource", "Gives a resource", |_| {
        Ok(result(vec![embedded(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content.",
        )]))
    }),
    Entry::new(
        "test_multiple_content_types",
        "Gives a text, a picture and a resource",
        |_| {
            Ok(result(vec![
                text("Multiple content types test:"),
                image(),
                embedded(
                    "test://mixed-content-resource",
                    "application/json",
                    r#"{"test":"data","value":123}"#,
                ),
            ]))
        },
    ),
    Entry::new("test_error_handling", "Runs and fails", |_| {
        failed("This tool intentionally returns an error for testing")
    }),
];
