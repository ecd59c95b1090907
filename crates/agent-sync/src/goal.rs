//! What should be true for one agent.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use letta_client::Agent;
use ruma::OwnedMxcUri;
use store::Binding;
use uuid::Uuid;

use crate::names::{archived_name, child_order, display_name, room_topic};

/// What should be true on the homeserver for one agent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Goal {
    /// It has a home.
    Home {
        /// What user and room are called.
        name: String,
        /// The room's topic.
        topic: String,
        /// Where the room stands in the space.
        order: Option<String>,
        /// Its picture.
        avatar: Option<Picture>,
    },
    /// Its room is put away.
    Archive {
        /// What the room is called then.
        name: String,
        /// The room's topic then.
        topic: String,
        /// Whether the agent's user leaves it.
        leave: bool,
    },
    /// Nothing is done; only what is known of it is written down.
    Rest,
}

impl Goal {
    pub(crate) fn home(agent: &Agent) -> Self {
        let name = display_name(agent);
        Self::Home {
            order: child_order(&name),
            topic: room_topic(agent),
            avatar: Picture::of(agent),
            name,
        }
    }

    pub(crate) fn archive(binding: &Binding, leave: bool) -> Self {
        let name = binding
            .display_name
            .as_deref()
            .unwrap_or(binding.agent_name.as_str());
        Self::Archive {
            name: archived_name(name),
            topic: "This agent is gone. What was said stays here.".to_owned(),
            leave,
        }
    }
}

/// The largest picture that is taken from Letta. Synapse takes files of up to 50 MB, people's clients show small ones.
const MAX_PICTURE_BYTES: usize = 1024 * 1024;

/// Kinds of pictures that every client shows and that hold no program.
const PICTURE_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

const PICTURE_NAMESPACE: Uuid = Uuid::from_u128(0x64a3_02cf_0d4c_4a52_b1c5_a3fb_0c1c_7be5);

/// An agent's picture, as its maker put it under `avatar` or `avatar_url` into the agent's metadata: the `mxc:`
/// address of a file on the homeserver, or the picture itself as a `data:` URI. Other addresses are not fetched.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    /// Changes when the picture does.
    pub(crate) fingerprint: String,
    pub(crate) source: PictureSource,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PictureSource {
    /// It is on a homeserver already.
    Uploaded(OwnedMxcUri),
    /// It is to be uploaded.
    Bytes { content_type: String, bytes: Vec<u8> },
}

impl Picture {
    fn of(agent: &Agent) -> Option<Self> {
        let text = ["avatar", "avatar_url"]
            .iter()
            .find_map(|key| agent.metadata.get(*key)?.as_str())?;
        let source = match text.strip_prefix("data:") {
            Some(data) => Self::embedded(data)?,
            None => {
                let uri = OwnedMxcUri::from(text);
                uri.validate().ok()?;
                PictureSource::Uploaded(uri)
            }
        };
        Some(Self {
            fingerprint: Uuid::new_v5(&PICTURE_NAMESPACE, text.as_bytes())
                .simple()
                .to_string(),
            source,
        })
    }

    fn embedded(data: &str) -> Option<PictureSource> {
        let (content_type, encoded) = data.split_once(";base64,")?;
        if !PICTURE_TYPES.contains(&content_type) || encoded.len() / 4 * 3 > MAX_PICTURE_BYTES {
            return None;
        }
        Some(PictureSource::Bytes {
            content_type: content_type.to_owned(),
            bytes: STANDARD.decode(encoded).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn picture(text: &str) -> Option<Picture> {
        let mut agent = Agent::new("agent-001", "Ada");
        agent.metadata.insert("avatar".to_owned(), json!(text));
        Picture::of(&agent)
    }

    #[test]
    fn a_picture_is_an_address_on_the_homeserver_or_a_small_image() {
        assert_eq!(
            picture("mxc://matrix.test/abc").unwrap().source,
            PictureSource::Uploaded("mxc://matrix.test/abc".into())
        );
        assert_eq!(
            picture("data:image/png;base64,iVBORw0=").unwrap().source,
            PictureSource::Bytes {
                content_type: "image/png".to_owned(),
                bytes: b"\x89PNG\r".to_vec()
            }
        );
    }

    #[test]
    fn what_could_do_harm_is_no_picture() {
        let huge = format!("data:image/png;base64,{}", "A".repeat(4 * 1024 * 1024));
        for text in [
            "https://example.org/a.png",
            "file:///etc/passwd",
            "mxc://",
            "data:image/svg+xml;base64,PHN2Zz4=",
            "data:image/png;base64,not base64",
            "data:image/png,raw",
            "",
            &huge,
        ] {
            assert_eq!(picture(text), None, "{}", &text[..text.len().min(40)]);
        }
    }
}
