//! Contents of events, made from ruma's types so that relations and fallbacks are right.
//!
//! Every message carries `m.mentions`, if empty: without it servers and clients guess from the text whom to notify.

use ruma::{
    EventId, OwnedServerName, OwnedUserId, RoomAliasId,
    events::{
        Mentions,
        reaction::ReactionEventContent,
        relation::{Annotation, Reply, Thread},
        room::{
            canonical_alias::RoomCanonicalAliasEventContent,
            message::{MessageType, Relation, ReplacementMetadata, RoomMessageEventContent},
            name::RoomNameEventContent,
        },
        space::{child::SpaceChildEventContent, parent::SpaceParentEventContent},
    },
};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// An `m.room.message` in the making.
///
/// ```
/// use matrix_client::{content::Message, ruma::event_id};
///
/// let content = Message::notice("done").in_thread(event_id!("$root"), event_id!("$latest")).to_content();
/// assert_eq!(content["m.relates_to"]["rel_type"], "m.thread");
/// assert_eq!(content["m.mentions"], serde_json::json!({}));
/// ```
#[derive(Clone, Debug)]
pub struct Message {
    content: RoomMessageEventContent,
}

impl Message {
    /// A text of a person's kind (`m.text`).
    pub fn text(body: impl Into<String>) -> Self {
        Self::new(MessageType::text_plain(body))
    }

    /// A text with an HTML form. The HTML is sent as it is: sanitise it first.
    pub fn html(body: impl Into<String>, html: impl Into<String>) -> Self {
        Self::new(MessageType::text_html(body, html))
    }

    /// A text of a machine's kind (`m.notice`), to which no other machine answers.
    pub fn notice(body: impl Into<String>) -> Self {
        Self::new(MessageType::notice_plain(body))
    }

    /// A notice with an HTML form. The HTML is sent as it is: sanitise it first.
    pub fn notice_html(body: impl Into<String>, html: impl Into<String>) -> Self {
        Self::new(MessageType::notice_html(body, html))
    }

    /// Any message of ruma's types. A relation in it is dropped.
    pub fn new(message: MessageType) -> Self {
        Self {
            content: RoomMessageEventContent::new(message).add_mentions(Mentions::new()),
        }
    }

    /// Notifies these users as well.
    #[must_use]
    pub fn mention(mut self, users: impl IntoIterator<Item = OwnedUserId>) -> Self {
        self.content = self.content.add_mentions(Mentions::with_user_ids(users));
        self
    }

    /// Makes it a reply. Whoever is replied to is not mentioned by that alone.
    #[must_use]
    pub fn reply_to(mut self, event_id: &EventId) -> Self {
        self.content.relates_to = Some(Relation::Reply(Reply::with_event_id(event_id.to_owned())));
        self
    }

    /// Puts it into the thread of `root`. Clients without threads show it as a reply to `latest`, the newest
    /// event of the thread that is known.
    #[must_use]
    pub fn in_thread(mut self, root: &EventId, latest: &EventId) -> Self {
        self.content.relates_to = Some(Relation::Thread(Thread::plain(
            root.to_owned(),
            latest.to_owned(),
        )));
        self
    }

    /// Puts it into the thread of `root`, as a reply to one of its events.
    #[must_use]
    pub fn reply_in_thread(mut self, root: &EventId, event_id: &EventId) -> Self {
        self.content.relates_to = Some(Relation::Thread(Thread::reply(
            root.to_owned(),
            event_id.to_owned(),
        )));
        self
    }

    /// Makes it the new text of `event_id`. An edit stays in the thread of what it edits; a relation set
    /// before is dropped. Mentions notify again.
    #[must_use]
    pub fn edit_of(mut self, event_id: &EventId) -> Self {
        self.content = self
            .content
            .make_replacement(ReplacementMetadata::new(event_id.to_owned(), None));
        self
    }

    /// The content to send.
    pub fn to_content(&self) -> Value {
        to_object(&self.content)
    }
}

impl From<Message> for RoomMessageEventContent {
    fn from(message: Message) -> Self {
        message.content
    }
}

/// `m.reaction`: `key`, mostly an emoji, under an event.
pub fn reaction(event_id: &EventId, key: impl Into<String>) -> Value {
    to_object(&ReactionEventContent::new(Annotation::new(
        event_id.to_owned(),
        key.into(),
    )))
}

/// `m.room.name`
pub fn room_name(name: impl Into<String>) -> Value {
    to_object(&RoomNameEventContent::new(name.into()))
}

/// `m.room.topic`
pub fn room_topic(topic: impl Into<String>) -> Value {
    // Without the rich form of newer versions of the specification: servers and clients read `topic`.
    json!({ "topic": topic.into() })
}

/// `m.room.canonical_alias`
pub fn canonical_alias(alias: Option<&RoomAliasId>) -> Value {
    let mut content = RoomCanonicalAliasEventContent::new();
    content.alias = alias.map(ToOwned::to_owned);
    to_object(&content)
}

/// `m.space.child`: the room of the state key is in this space. Without `via` it would not be.
pub fn space_child(via: impl IntoIterator<Item = OwnedServerName>) -> Value {
    to_object(&SpaceChildEventContent::new(via.into_iter().collect()))
}

/// `m.space.parent`: this room is in the space of the state key, and (`canonical`) there above all.
pub fn space_parent(via: impl IntoIterator<Item = OwnedServerName>, canonical: bool) -> Value {
    let mut content = SpaceParentEventContent::new(via.into_iter().collect());
    content.canonical = canonical;
    to_object(&content)
}

/// The content that stands for "no longer": an empty object.
pub fn removed() -> Value {
    Value::Object(Map::new())
}

/// The event that a message replies to, if it does. What a thread adds for clients without threads is no reply.
pub fn replied_to(content: &Value) -> Option<&EventId> {
    let relation = content.get("m.relates_to")?;
    if relation.get("is_falling_back").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    event_id_at(relation, &["m.in_reply_to", "event_id"])
}

/// The root of the thread that a message is in, if it is in one.
pub fn thread_root(content: &Value) -> Option<&EventId> {
    related_event(content, "m.thread")
}

/// The event that a message is an edit of, if it is one. Servers deliver edits by anybody: the senders
/// must be compared.
pub fn edited_event(content: &Value) -> Option<&EventId> {
    related_event(content, "m.replace")
}

/// The event and the key of a reaction.
pub fn reaction_target(content: &Value) -> Option<(&EventId, &str)> {
    let key = content.get("m.relates_to")?.get("key")?.as_str()?;
    Some((related_event(content, "m.annotation")?, key))
}

fn related_event<'a>(content: &'a Value, rel_type: &str) -> Option<&'a EventId> {
    let relation = content.get("m.relates_to")?;
    if relation.get("rel_type")?.as_str()? != rel_type {
        return None;
    }
    event_id_at(relation, &["event_id"])
}

fn event_id_at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a EventId> {
    let id = path
        .iter()
        .try_fold(value, |value, key| value.get(key))?
        .as_str()?;
    <&EventId>::try_from(id).ok()
}

/// Contents of events are structs of strings, numbers, lists and maps with string keys: they always serialize.
fn to_object(content: &impl Serialize) -> Value {
    serde_json::to_value(content).unwrap_or_else(|_| removed())
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, owned_server_name, owned_user_id};

    use super::*;

    #[test]
    fn a_plain_message_mentions_nobody_explicitly() {
        assert_eq!(
            Message::text("hi @room").to_content(),
            json!({ "msgtype": "m.text", "body": "hi @room", "m.mentions": {} })
        );
    }

    #[test]
    fn an_edit_has_the_new_text_and_a_fallback() {
        let content = Message::html("new", "<b>new</b>")
            .mention([owned_user_id!("@admin:matrix.test")])
            .edit_of(event_id!("$old"))
            .to_content();
        assert_eq!(content["body"], "* new");
        assert_eq!(content["m.new_content"]["body"], "new");
        assert_eq!(
            content["m.new_content"]["m.mentions"]["user_ids"],
            json!(["@admin:matrix.test"])
        );
        assert_eq!(edited_event(&content), Some(event_id!("$old")));
        assert_eq!(thread_root(&content), None);
    }

    #[test]
    fn a_thread_message_falls_back_to_a_reply_but_is_none() {
        let content = Message::text("x")
            .in_thread(event_id!("$root"), event_id!("$latest"))
            .to_content();
        assert_eq!(thread_root(&content), Some(event_id!("$root")));
        assert_eq!(replied_to(&content), None);
        let content = Message::text("x")
            .reply_in_thread(event_id!("$root"), event_id!("$that"))
            .to_content();
        assert_eq!(thread_root(&content), Some(event_id!("$root")));
        assert_eq!(replied_to(&content), Some(event_id!("$that")));
    }

    #[test]
    fn a_reply_and_a_reaction_name_their_event() {
        let reply = Message::notice("x").reply_to(event_id!("$that")).to_content();
        assert_eq!(replied_to(&reply), Some(event_id!("$that")));
        assert_eq!(
            reply["m.relates_to"],
            json!({ "m.in_reply_to": { "event_id": "$that" } })
        );
        let content = reaction(event_id!("$that"), "✅");
        assert_eq!(reaction_target(&content), Some((event_id!("$that"), "✅")));
    }

    #[test]
    fn children_and_parents_of_spaces_name_servers() {
        assert_eq!(
            space_child([owned_server_name!("matrix.test")]),
            json!({ "via": ["matrix.test"] })
        );
        assert_eq!(
            space_parent([owned_server_name!("matrix.test")], true),
            json!({ "via": ["matrix.test"], "canonical": true })
        );
    }
}
