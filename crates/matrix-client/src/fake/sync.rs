//! What is new for a user.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use super::{
    events::{Show, strip},
    filter::EventFilter,
    homeserver::Homeserver,
    messages::{position_of, token_of},
    refusal::{Answer, Object, Refusal},
    requester::Requester,
    rooms::{Room, StoredEvent},
};

/// A `GET /sync`.
#[derive(Clone, Debug, Default)]
pub struct SyncCall {
    /// `next_batch` of an earlier answer.
    pub since: Option<String>,
    /// How long to wait for news.
    pub timeout: std::time::Duration,
    /// A filter as JSON, or the id of a saved one.
    pub filter: Option<String>,
    /// All state, even what is known.
    pub full_state: bool,
}

/// The same without the waiting.
#[derive(Clone, Debug, Default)]
pub(super) struct SyncQuery {
    pub(super) since: Option<String>,
    pub(super) filter: Object,
    pub(super) full_state: bool,
}

/// The parts of a filter that concern rooms.
struct Filters {
    rooms: EventFilter,
    timeline: EventFilter,
    state: EventFilter,
    ephemeral: EventFilter,
    account_data: EventFilter,
    global_account_data: EventFilter,
    include_leave: bool,
}

impl Filters {
    fn new(definition: &Object) -> Self {
        let room = definition.get("room").and_then(Value::as_object);
        let include_leave = room
            .and_then(|room| room.get("include_leave"))
            .and_then(Value::as_bool);
        Self {
            rooms: EventFilter::part(definition, &["room"]),
            timeline: EventFilter::part(definition, &["room", "timeline"]),
            state: EventFilter::part(definition, &["room", "state"]),
            ephemeral: EventFilter::part(definition, &["room", "ephemeral"]),
            account_data: EventFilter::part(definition, &["room", "account_data"]),
            global_account_data: EventFilter::part(definition, &["account_data"]),
            include_leave: include_leave.unwrap_or_default(),
        }
    }
}

/// What was asked for, in terms of positions.
struct Span<'a> {
    who: &'a Requester,
    since: Option<u64>,
    full_state: bool,
    filters: &'a Filters,
}

impl Homeserver {
    /// `GET /sync` as of now, and whether there is anything in it.
    pub(super) fn sync(&self, who: &Requester, query: &SyncQuery) -> Answer<(Object, bool)> {
        if who.is_sender {
            // Synapse's storage does not know how to sync for a sender.
            return Err(Refusal::new(500, "M_UNKNOWN", "Internal server error"));
        }
        let since = query.since.as_deref().map(position_of).transpose()?;
        let filters = Filters::new(&query.filter);
        let span = Span {
            who,
            since,
            full_state: query.full_state,
            filters: &filters,
        };
        let (mut join, mut invite, mut leave, mut knock) =
            (Object::new(), Object::new(), Object::new(), Object::new());
        for room in self
            .rooms
            .values()
            .filter(|room| filters.rooms.lets_room_through(&room.room_id))
        {
            let Some(member) = room.state_event("m.room.member", &who.user_id) else {
                continue;
            };
            let is_new = since.is_none_or(|since| member.position > since);
            let part = match member.membership() {
                Some("join") => (&mut join, self.sync_joined(room, &span)),
                Some("invite") if is_new => (&mut invite, Some(invitation(member))),
                Some("knock") if is_new => (&mut knock, Some(knocking(room, member))),
                Some("leave" | "ban")
                    if since.is_some() && is_new || since.is_none() && filters.include_leave =>
                {
                    (&mut leave, self.sync_left(room, member, &span))
                }
                _ => continue,
            };
            if let (section, Some(news)) = part {
                section.insert(room.room_id.clone(), news);
            }
        }
        let mut answer = Object::new();
        let mut rooms = Object::new();
        for (name, section) in [
            ("join", join),
            ("invite", invite),
            ("leave", leave),
            ("knock", knock),
        ] {
            if !section.is_empty() {
                rooms.insert(name.to_owned(), Value::Object(section));
            }
        }
        let unknown_since = since.filter(|_| !query.full_state);
        let account_data = self.new_account_data(who, "", unknown_since, &filters.global_account_data);
        let to_device = self.waiting_to_device(who, since);
        let has_news = !rooms.is_empty() || !account_data.is_empty() || !to_device.is_empty();
        for (name, events) in [("account_data", account_data), ("to_device", to_device)] {
            if !events.is_empty() {
                answer.insert(name.to_owned(), json!({ "events": events }));
            }
        }
        if !rooms.is_empty() {
            answer.insert("rooms".to_owned(), Value::Object(rooms));
        }
        answer.insert("next_batch".to_owned(), json!(token_of(self.position)));
        answer.insert(
            "device_one_time_keys_count".to_owned(),
            json!({ "signed_curve25519": 0 }),
        );
        answer.insert("device_unused_fallback_key_types".to_owned(), json!([]));
        Ok((answer, has_news))
    }

    fn sync_joined(&self, room: &Room, span: &Span<'_>) -> Option<Value> {
        let user_id = span.who.user_id.as_str();
        let was_in = span
            .since
            .is_some_and(|since| room.membership_at(user_id, since) == Some("join"));
        let since = span.since.filter(|_| was_in);
        let newly_joined = span.since.is_some() && !was_in;
        let timeline = recent(room, span, since, u64::MAX);
        let limited = timeline.limited || newly_joined;
        let state = self.sync_state(room, &timeline, since, span);
        let ephemeral = ephemeral_of(room, span);
        let account_data = self.new_account_data(span.who, &room.room_id, since, &span.filters.account_data);
        let anything = !timeline.events.is_empty() || !state.is_empty() || !ephemeral.is_empty();
        if since.is_some() && !anything && account_data.is_empty() && !span.full_state {
            return None;
        }
        let members_changed = timeline.events.iter().any(|event| event.kind == "m.room.member");
        // Only who loads members lazily needs to be told how many there are.
        let lazy = span.filters.state.lazy_load_members;
        let summary = match lazy && (since.is_none() || members_changed) {
            true => summary_of(room, user_id),
            false => json!({}),
        };
        let shown = self.show_all(room, &timeline.events, span.who);
        Some(json!({
            "timeline": {
                "events": shown,
                "limited": limited,
                "prev_batch": token_of(timeline.start),
            },
            "state": { "events": state },
            "account_data": { "events": account_data },
            "ephemeral": { "events": ephemeral },
            "unread_notifications": unread(room, user_id),
            "summary": summary,
        }))
    }

    fn sync_left(&self, room: &Room, member: &StoredEvent, span: &Span<'_>) -> Option<Value> {
        if room.forgotten.contains(&span.who.user_id) {
            return None;
        }
        let user_id = span.who.user_id.as_str();
        let was_in = span
            .since
            .is_some_and(|since| room.membership_at(user_id, since) == Some("join"));
        let since = match span.since {
            Some(_) if !was_in => Some(member.position - 1),
            since => since,
        };
        let account_data =
            self.new_account_data(span.who, &room.room_id, span.since, &span.filters.account_data);
        let timeline = recent(room, span, since, member.position);
        let state = self.sync_state(room, &timeline, since, span);
        let shown = self.show_all(room, &timeline.events, span.who);
        Some(json!({
            "timeline": {
                "events": shown,
                "limited": timeline.limited,
                "prev_batch": token_of(timeline.start),
            },
            "state": { "events": state },
            "account_data": { "events": account_data },
        }))
    }

    fn show_all(&self, room: &Room, events: &[Arc<StoredEvent>], who: &Requester) -> Vec<Object> {
        events
            .iter()
            .map(|event| self.show(room, event, Show::sync(who)))
            .collect()
    }

    /// State that the timeline does not show: that of its beginning and of its end, without what it contains and
    /// what was known before. Nothing where the timeline goes on right after the last answer.
    fn sync_state(&self, room: &Room, timeline: &Recent, since: Option<u64>, span: &Span<'_>) -> Vec<Object> {
        let filter = &span.filters.state;
        let known = since.filter(|_| !span.full_state);
        let needed = needed_members(room, timeline, known.is_none(), span);
        let lazy = filter.lazy_load_members;
        let is_needed = |event: &StoredEvent| {
            !lazy
                || event.kind != "m.room.member"
                || event.state_key.as_deref().is_some_and(|key| needed.contains(key))
        };
        let first = timeline
            .events
            .first()
            .map_or(timeline.end, |event| event.position);
        let goes_on = known.is_some() && !timeline.limited && !timeline.has_gaps;
        let beginning = room
            .state_at(first)
            .filter(|event| is_needed(event))
            .filter(|event| {
                let member = event.kind == "m.room.member";
                match known {
                    Some(_) if goes_on => lazy && member,
                    Some(since) => event.position > since || (lazy && member),
                    None => true,
                }
            });
        let end = room.state_at(timeline.end).filter(|event| {
            let all_members = known.is_some() && timeline.limited;
            !goes_on && (all_members || is_needed(event)) && known.is_none_or(|since| event.position > since)
        });
        let mut seen: BTreeSet<&str> = timeline
            .events
            .iter()
            .map(|event| event.event_id.as_str())
            .collect();
        let show = Show {
            bundle: false,
            ..Show::sync(span.who)
        };
        beginning
            .chain(end)
            .filter(|event| seen.insert(event.event_id.as_str()) && filter.lets_through(event))
            .map(|event| self.show(room, event, show))
            .collect()
    }
}

/// Whose membership a client that loads members lazily has to know.
fn needed_members<'a>(
    room: &'a Room,
    timeline: &'a Recent,
    full: bool,
    span: &'a Span<'_>,
) -> BTreeSet<&'a str> {
    let mut needed: BTreeSet<&str> = timeline
        .events
        .iter()
        .map(|event| event.sender.as_str())
        .collect();
    if full {
        needed.extend(heroes_of(room, &span.who.user_id));
        needed.insert(&span.who.user_id);
    }
    needed
}

/// The newest events of a room, and where they begin.
struct Recent {
    events: Vec<Arc<StoredEvent>>,
    limited: bool,
    /// Whether something was left out before or between the events.
    has_gaps: bool,
    start: u64,
    end: u64,
}

fn recent(room: &Room, span: &Span<'_>, since: Option<u64>, until: u64) -> Recent {
    let filter = &span.filters.timeline;
    let limit = filter.limit.unwrap_or(10);
    let after = since.unwrap_or(0);
    let visible = |event: &&Arc<StoredEvent>| {
        event.position > after && event.position <= until && room.shows(&span.who.user_id, event)
    };
    let mut events: Vec<Arc<StoredEvent>> = room
        .timeline
        .iter()
        .filter(visible)
        .filter(|event| filter.lets_through(event))
        .cloned()
        .collect();
    let limited = events.len() > limit;
    if limited {
        events.drain(..events.len() - limit);
    }
    // Where nothing is left out the timeline begins where the last answer ended.
    let end = room
        .timeline
        .last()
        .map_or(after, |event| event.position.min(until));
    let start = match since {
        Some(since) if !limited => since,
        _ => events.first().map_or(end, |event| event.position - 1),
    };
    let last = events.last().map_or(after, |event| event.position);
    let all = room
        .timeline
        .iter()
        .filter(|event| event.position > after && event.position <= last);
    let has_gaps = all.count() != events.len();
    Recent {
        events,
        limited,
        has_gaps,
        start,
        end,
    }
}

fn invitation(member: &StoredEvent) -> Value {
    let known = member.invite_room_state.iter().flatten().cloned();
    let events: Vec<Value> = known.chain([strip(member)]).collect();
    json!({ "invite_state": { "events": events } })
}

fn knocking(room: &Room, member: &StoredEvent) -> Value {
    let mut events = Homeserver::stripped_state(room, None);
    events.push(strip(member));
    json!({ "knock_state": { "events": events } })
}

fn ephemeral_of(room: &Room, span: &Span<'_>) -> Vec<Value> {
    let filter = &span.filters.ephemeral;
    let since = span.since.unwrap_or(0);
    let mut events = Vec::new();
    if room.typing_position > since && filter.lets_type_through("m.typing") {
        events.push(json!({ "type": "m.typing", "content": { "user_ids": room.typing_users() } }));
    }
    let news: Vec<_> = room
        .receipts
        .iter()
        .filter(|((kind, user_id, _), receipt)| {
            receipt.position > since && (kind != "m.read.private" || *user_id == span.who.user_id)
        })
        .collect();
    if !news.is_empty() && filter.lets_type_through("m.receipt") {
        events.push(json!({ "type": "m.receipt", "content": super::ephemeral::receipt_content(news) }));
    }
    events
}

fn summary_of(room: &Room, user_id: &str) -> Value {
    let mut summary = json!({
        "m.joined_member_count": room.joined_count(),
        "m.invited_member_count": room.members("invite").count(),
    });
    let heroes = heroes_of(room, user_id);
    if !heroes.is_empty() {
        summary["m.heroes"] = json!(heroes);
    }
    summary
}

/// The members by whom a client names a room that has no name.
fn heroes_of<'a>(room: &'a Room, user_id: &str) -> Vec<&'a str> {
    let has = |kind: &str, field: &str| room.state_text(kind, field).is_some_and(|text| !text.is_empty());
    if has("m.room.name", "name") || has("m.room.canonical_alias", "alias") {
        return Vec::new();
    }
    let members = room
        .members("join")
        .chain(room.members("invite"))
        .map(|(member, _)| member);
    members.filter(|member| *member != user_id).take(5).collect()
}

/// Messages of others since the user last read or wrote.
fn unread(room: &Room, user_id: &str) -> Value {
    let read = room
        .receipts
        .iter()
        .filter(|((_, reader, _), _)| reader == user_id)
        .filter_map(|(_, receipt)| room.by_id.get(&receipt.event_id))
        .map(|event| event.position);
    let wrote = room
        .timeline
        .iter()
        .filter(|event| event.sender == user_id)
        .map(|event| event.position);
    let last = read.chain(wrote).max().unwrap_or(0);
    let counts = |event: &&Arc<StoredEvent>| {
        event.position > last
            && event.sender != user_id
            && matches!(event.kind.as_str(), "m.room.message" | "m.room.encrypted")
            && event.content.get("msgtype").and_then(Value::as_str) != Some("m.notice")
    };
    let mentions = |event: &&Arc<StoredEvent>| {
        let users = event
            .content
            .get("m.mentions")
            .and_then(|mentions| mentions.get("user_ids"));
        let users = users.and_then(Value::as_array);
        users.is_some_and(|users| users.iter().any(|user| user.as_str() == Some(user_id)))
    };
    json!({
        "notification_count": room.timeline.iter().filter(counts).count(),
        "highlight_count": room.timeline.iter().filter(counts).filter(mentions).count(),
    })
}
