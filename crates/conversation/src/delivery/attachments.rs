//! Files: from people to agents as bytes or text, from agents to people as uploads.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use letta_client::ContentPart;
use matrix_client::{Download, Upload};
use serde_json::{Value, json};

use super::{Work, record::Post};
use crate::{
    decision::Forward,
    text::{Attachment, plain_notice_text},
};

/// Images that models read.
const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// Types that are text although they are not called so.
const TEXTS: [&str; 8] = [
    "application/json",
    "application/xml",
    "application/yaml",
    "application/x-yaml",
    "application/toml",
    "application/javascript",
    "application/x-sh",
    "application/sql",
];

/// The most files that an agent sends with one answer.
const MAX_FILES: usize = 8;

/// What is handed over with a message.
#[derive(Debug, Default)]
pub(super) struct Attached {
    pub(super) described: Vec<Attachment>,
    pub(super) images: Vec<ContentPart>,
    pub(super) text: Option<String>,
}

impl Work<'_> {
    /// The file of a message, as the agent gets it.
    pub(super) async fn attached(&self, message: &Forward) -> Attached {
        let Some(file) = &message.attachment else {
            return Attached::default();
        };
        let limits = &self.deliverer.limits;
        let claimed = file.media_type.as_deref().unwrap_or_default();
        let describe = |media_type: &str, size: Option<u64>, note: &str| Attachment {
            name: file.name.clone(),
            media_type: media_type.to_owned(),
            size: size.unwrap_or_default(),
            note: Some(note.to_owned()),
        };
        let max = if IMAGES.contains(&claimed) {
            limits.max_image_bytes
        } else if is_text(claimed) {
            limits.max_text_file_bytes
        } else {
            let not_shown = describe(claimed, file.size, "not shown: agents read images and text");
            return Attached {
                described: vec![not_shown],
                ..Attached::default()
            };
        };
        let mut download = Download::new(&file.url);
        download.max_bytes = Some(max);
        let media = match self.setting.stage.download(&download).await {
            Ok(media) => media,
            Err(error) => {
                tracing::info!(cause = error.cause(), "a file that somebody sent cannot be had");
                let note = if error.is_too_large() {
                    "not shown: too large"
                } else {
                    "not shown: it cannot be downloaded"
                };
                return Attached {
                    described: vec![describe(claimed, file.size, note)],
                    ..Attached::default()
                };
            }
        };
        let size = Some(media.bytes.len() as u64);
        // What it is shows in the bytes: whoever sent it may say anything.
        if let Some(media_type) = image_type(&media.bytes) {
            return Attached {
                described: vec![describe(media_type, size, "shown")],
                images: vec![ContentPart::Image {
                    media_type: media_type.to_owned(),
                    data: media.bytes,
                }],
                text: None,
            };
        }
        match std::str::from_utf8(&media.bytes) {
            Ok(text) if is_text(claimed) => Attached {
                described: vec![describe(claimed, size, "its text follows the message")],
                images: Vec::new(),
                text: Some(text.to_owned()),
            },
            _ => Attached {
                described: vec![describe(claimed, size, "not shown: it is not what it is called")],
                ..Attached::default()
            },
        }
    }

    /// Adds the files that an agent wrote into its answer, as uploads.
    pub(super) async fn with_files(&self, mut posts: Vec<Post>, answer: &str) -> Vec<Post> {
        for (place, (media_type, bytes)) in files_in(answer).into_iter().take(MAX_FILES).enumerate() {
            let name = format!("{}-{}.{}", "image", place + 1, extension(media_type));
            let upload = Upload::new(media_type, bytes.clone()).filename(&name);
            match self.setting.stage.upload_at_last(&upload).await {
                Ok(uri) => posts.push(Post {
                    key: format!("file.{place}"),
                    content: image_content(&name, uri.as_str(), media_type, bytes.len()),
                    edits: None,
                    event_id: None,
                }),
                Err(error) => tracing::warn!(cause = error.cause(), "a file of an agent cannot be uploaded"),
            }
        }
        posts
    }
}

fn image_content(name: &str, uri: &str, media_type: &str, size: usize) -> Value {
    json!({
        "msgtype": "m.image",
        "body": plain_notice_text(name),
        "url": uri,
        "info": { "mimetype": media_type, "size": size },
        "m.mentions": {},
    })
}

/// The images that stand in a Markdown text as `data:` addresses. Others are only addresses, which nobody loads.
fn files_in(markdown: &str) -> Vec<(&'static str, Vec<u8>)> {
    const MARK: &str = "](data:";
    let mut files = Vec::new();
    let mut rest = markdown;
    while let Some(at) = rest.find(MARK) {
        rest = &rest[at + MARK.len()..];
        let Some(end) = rest.find(')') else { break };
        let data = rest[..end].split_once(";base64,").map(|(_, data)| data.trim());
        if let Some(bytes) = data.and_then(|data| BASE64.decode(data).ok())
            && let Some(media_type) = image_type(&bytes)
        {
            files.push((media_type, bytes));
        }
        rest = &rest[end..];
    }
    files
}

/// The text without the bytes of its files: their names stay.
pub(super) fn without_files(markdown: &str) -> Cow<'_, str> {
    const MARK: &str = "](data:";
    if !markdown.contains(MARK) {
        return Cow::Borrowed(markdown);
    }
    let mut without = String::new();
    let mut rest = markdown;
    while let Some(at) = rest.find(MARK) {
        let Some(end) = rest[at..].find(')') else { break };
        without.push_str(&rest[..=at]);
        rest = &rest[at + end + 1..];
    }
    without.push_str(rest);
    Cow::Owned(without)
}

fn extension(media_type: &str) -> &str {
    media_type.rsplit('/').next().unwrap_or("bin")
}

fn is_text(media_type: &str) -> bool {
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    media_type.starts_with("text/") || TEXTS.contains(&media_type)
}

/// What an image is by its first bytes; `None` if it is none that models read.
fn image_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: [u8; 9] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 1];

    #[test]
    fn images_are_known_by_their_bytes() {
        assert_eq!(image_type(&PNG), Some("image/png"));
        assert_eq!(image_type(&[0xff, 0xd8, 0xff, 0xe0]), Some("image/jpeg"));
        assert_eq!(image_type(b"GIF89a"), Some("image/gif"));
        assert_eq!(image_type(b"RIFF\0\0\0\0WEBPVP8 "), Some("image/webp"));
        for other in [&b""[..], b"<svg/>", b"%PDF-1.7", b"RIFF\0\0\0\0WAVE"] {
            assert_eq!(image_type(other), None);
        }
    }

    #[test]
    fn texts_are_known_by_their_type() {
        for text in ["text/plain", "text/csv; charset=utf-8", "application/json"] {
            assert!(is_text(text), "{text}");
        }
        for other in ["", "application/pdf", "audio/ogg", "image/svg+xml"] {
            assert!(!is_text(other), "{other}");
        }
    }

    #[test]
    fn only_images_that_are_in_the_answer_are_its_files() {
        let data = BASE64.encode(PNG);
        let answer = format!(
            "Look: ![a](data:image/png;base64,{data}) and ![b](https://example.org/b.png) and \
             [c](data:text/html;base64,PGI+) and ![d](data:image/png;base64,???) ![e](data:"
        );
        assert_eq!(files_in(&answer), [("image/png", PNG.to_vec())]);
        assert_eq!(
            without_files(&answer),
            "Look: ![a] and ![b](https://example.org/b.png) and [c] and ![d] ![e](data:"
        );
        assert_eq!(without_files("plain"), "plain");
    }
}
