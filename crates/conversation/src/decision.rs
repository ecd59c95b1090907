//! What is to be done about an event. Pure.

mod code;
mod mentions;
mod message;
mod reasons;
mod state;

use std::time::Duration;

use letta_client::AgentId;
use matrix_client::{Event, content};
use ruma::{OwnedEventId, OwnedUserId};
use serde_json::Value;

use crate::{
    commands::{self, Command},
    rights::{Right, Rights},
    room::{Own, Resident, Room},
    settings::{Defaults, Mode, RoomSettings},
};
use message::{Said, relations};

pub(crate) use mentions::address;
pub use message::{Attachment, Forward, MessageKind};
pub use reasons::{DeclineReason, IgnoreReason};

/// The field of an agent's message that says how many agents have spoken one after another, itself included.
pub const HOPS_MARKER: &str = "dev.letta-matrix.hops";

/// The field by which a message is known to be an agent's earlier message that was put into its new room.
pub const HISTORY_MARKER: &str = "dev.letta-matrix.history";

/// The same, of the bridge before this one.
pub(crate) const FORMER_HISTORY_MARKER: &str = "m.letta_historical";

/// What is to be done about an event.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// Agents are to hear it: one entry for each.
    Forward(Vec<Forward>),
    /// No agent can hear it, and its sender is to know.
    Decline {
        /// Who says so; `None`: the bridge itself.
        agent: Option<AgentId>,
        /// Why.
        reason: DeclineReason,
    },
    /// A person tells the bridge something. The right to it was checked.
    Command {
        /// What.
        command: Command,
        /// The agents that it is for.
        agents: Vec<AgentId>,
    },
    /// A person says whether an agent may use a tool.
    Answer(ApprovalAnswer),
    /// A message is to be answered again.
    Retry {
        /// The message, or the answer to it.
        target: OwnedEventId,
    },
    /// A message got a new text. Servers deliver edits by anybody: it counts only if `editor` sent the original. What
    /// the new text is for comes from deciding again, about the original with this content.
    Replace {
        /// The message.
        original: OwnedEventId,
        /// Who changed it.
        editor: OwnedUserId,
        /// The new content.
        content: Value,
    },
    /// A message was taken back, by its sender or by somebody who may do that in the room.
    TakeBack {
        /// The message.
        original: OwnedEventId,
    },
    /// Somebody who may do so invites one of our users.
    Invited {
        /// The agent; `None`: the bridge itself, which only admins may invite.
        agent: Option<AgentId>,
        /// Its user.
        user: OwnedUserId,
        /// Who invites.
        by: OwnedUserId,
        /// Whether it is to be a direct room.
        is_direct: bool,
    },
    /// Somebody who may not do so invites one of our users, or an agent is invited that nobody knows any more: the
    /// invitation is to be declined.
    Uninvited {
        /// The agent, if it is one that is known.
        agent: Option<AgentId>,
        /// The user.
        user: OwnedUserId,
    },
    /// One of our users is in the room now.
    Joined {
        /// The agent, if it is one that is known.
        agent: Option<AgentId>,
        /// The user.
        user: OwnedUserId,
    },
    /// One of our users is no longer in the room, or no longer invited.
    Left {
        /// The agent, if it is one that is known.
        agent: Option<AgentId>,
        /// The user.
        user: OwnedUserId,
    },
    /// The room's settings are these now.
    SettingsChanged(RoomSettings),
    /// The room is encrypted from now on.
    Encrypted,
    /// The room has another name, or none.
    NameChanged(Option<String>),
    /// Nothing.
    Ignore(IgnoreReason),
}

/// A person's word on whether an agent may use a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalAnswer {
    /// The request, or what else stands under the reaction; `None`: whatever the agents wait for.
    pub target: Option<OwnedEventId>,
    /// The agents that it is for.
    pub agents: Vec<AgentId>,
    /// Whether it may.
    pub approve: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// What no message may exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many agents may speak one after another.
    pub max_hops: u32,
    /// How long ago a message may have been sent.
    pub max_age: Duration,
    /// How many bytes its text may have.
    pub max_text_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_hops: 4,
            max_age: Duration::from_hours(24),
            max_text_bytes: 32 * 1024,
        }
    }
}

/// Decides what is to be done about an event. `room` is `None` for rooms that nothing is known about; `age` is the time
/// between the event's `origin_server_ts` and its receipt, zero where that is in the future.
#[must_use]
pub fn decide(
    event: &Event,
    room: Option<&Room>,
    own: &Own,
    rights: &Rights,
    defaults: &Defaults,
    limits: &Limits,
    age: Duration,
) -> Decision {
    let is_known = room.is_some();
    if let Some(state_key) = &event.state_key {
        return state::decide(event, state_key, is_known, own, rights);
    }
    let from_agent = own.is_agent(&event.sender);
    if event.sender == own.bot {
        return Decision::Ignore(IgnoreReason::Own);
    }
    let Some(room) = room else {
        return Decision::Ignore(IgnoreReason::UnknownRoom);
    };
    Deciding {
        event,
        room,
        rights,
        limits,
        age,
        from_agent,
        right: rights.right_of(&event.sender),
        mode: defaults.resolve(room).mode,
    }
    .decide()
    .unwrap_or_else(Decision::Ignore)
}

struct Deciding<'a> {
    event: &'a Event,
    room: &'a Room,
    rights: &'a Rights,
    limits: &'a Limits,
    age: Duration,
    from_agent: bool,
    right: Option<Right>,
    mode: Mode,
}

/// An agent that is to hear a message.
struct Hearer<'a> {
    resident: &'a Resident,
    is_mentioned: bool,
    quiet: bool,
}

impl Deciding<'_> {
    fn decide(&self) -> Result<Decision, IgnoreReason> {
        let event = self.event;
        let event_type = event.event_type.to_string();
        if event_type == "m.room.redaction" {
            if self.from_agent {
                return Err(IgnoreReason::Own);
            }
            // No right is asked for: the server let it pass, and moderators need not be people who talk with agents.
            let original = event.redacts().ok_or(IgnoreReason::NotAMessage)?.to_owned();
            return Ok(Decision::TakeBack { original });
        }
        if !self.from_agent && self.right.is_none() {
            return Err(IgnoreReason::NotAdmitted);
        }
        if event.unsigned.contains_key("redacted_because") {
            return Err(IgnoreReason::TakenBack);
        }
        if is_historical(&event.content) {
            return Err(IgnoreReason::Historical);
        }
        match event_type.as_str() {
            "m.reaction" if self.from_agent => Err(IgnoreReason::Own),
            "m.reaction" => self.reaction(),
            "m.room.encrypted" => self.encrypted(),
            _ if content::edited_event(&event.content).is_some() => self.edit(),
            _ => self.message(message::read(event)?),
        }
    }

    fn is_too_old(&self) -> bool {
        self.age > self.limits.max_age
    }

    fn reaction(&self) -> Result<Decision, IgnoreReason> {
        let (target, key) = content::reaction_target(&self.event.content).ok_or(IgnoreReason::Reaction)?;
        // Clients add a variation selector to an emoji, or the colour of a hand.
        let key: String = key
            .chars()
            .filter(|c| !matches!(c, '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}'))
            .collect();
        let approve = match key.as_str() {
            "✅" | "👍" => true,
            "❌" | "👎" => false,
            "🔁" if self.is_too_old() => return Err(IgnoreReason::Unheard(DeclineReason::TooOld)),
            "🔁" => {
                return Ok(Decision::Retry {
                    target: target.to_owned(),
                });
            }
            _ => return Err(IgnoreReason::Reaction),
        };
        if self.right < Some(Right::Approve) {
            return Err(IgnoreReason::Lacks(Right::Approve));
        }
        // However late: it says what it is about.
        Ok(Decision::Answer(ApprovalAnswer {
            target: Some(target.to_owned()),
            agents: self.all_agents(),
            approve,
            reason: None,
        }))
    }

    /// Whom an encrypted message mentions nobody can say.
    fn encrypted(&self) -> Result<Decision, IgnoreReason> {
        if self.from_agent {
            return Err(IgnoreReason::Own);
        }
        if self.mode == Mode::Off && !self.room.is_admin_room {
            return Err(IgnoreReason::Off);
        }
        let home = self.home().map(|resident| resident.agent_id.clone());
        Ok(Decision::Decline {
            agent: home.or_else(|| only(&self.all_agents())),
            reason: DeclineReason::Encrypted,
        })
    }

    fn edit(&self) -> Result<Decision, IgnoreReason> {
        // Answers grow by edits.
        if self.from_agent {
            return Err(IgnoreReason::Own);
        }
        let content = &self.event.content;
        let original = content::edited_event(content).ok_or(IgnoreReason::NotAMessage)?;
        let new = content
            .get("m.new_content")
            .filter(|new| new.is_object())
            .ok_or(IgnoreReason::NotAMessage)?;
        if is_historical(new) {
            return Err(IgnoreReason::Historical);
        }
        if message::string(new, "msgtype") == Some("m.notice") {
            return Err(IgnoreReason::Notice);
        }
        Ok(Decision::Replace {
            original: original.to_owned(),
            editor: self.event.sender.clone(),
            content: new.clone(),
        })
    }

    fn message(&self, mut said: Said) -> Result<Decision, IgnoreReason> {
        said.words = mentions::plain_words(&said.words, &said.pills, &self.room.residents);
        if self.from_agent {
            return self.agents_message(said);
        }
        let explicit = self.explicitly_mentioned(&said, true);
        let named = mentions::named(&said.written, &self.room.residents);
        let is_mentioned = |index: usize, resident: &Resident| {
            named.contains(&index) || explicit.contains(&resident.agent_id)
        };
        let hearers = self.hearers(is_mentioned);
        let speaker = hearers
            .iter()
            .find(|hearer| !hearer.quiet)
            .map(|hearer| hearer.resident.agent_id.clone());
        if said.kind == MessageKind::Text
            && said.attachment.is_ok()
            && let Some(decision) = self.command(&said.words, &explicit, speaker.is_some())
        {
            return Ok(decision);
        }
        if self.room.residents.is_empty() {
            return Err(IgnoreReason::NoAgentHere);
        }
        if self.mode == Mode::Off {
            return Err(IgnoreReason::Off);
        }
        if hearers.is_empty() {
            return Err(IgnoreReason::NotMentioned);
        }
        match self.forward(said, &hearers, 0) {
            Ok(decision) => Ok(decision),
            Err(reason) => match speaker {
                Some(agent) => Ok(Decision::Decline {
                    agent: Some(agent),
                    reason,
                }),
                None => Err(IgnoreReason::Unheard(reason)),
            },
        }
    }

    /// Agents hear each other only when the message says explicitly that it is meant for them: names in a text are
    /// mostly talk about somebody.
    fn agents_message(&self, said: Said) -> Result<Decision, IgnoreReason> {
        if self.mode == Mode::Off {
            return Err(IgnoreReason::Off);
        }
        let mentioned = self.explicitly_mentioned(&said, false);
        let hearers: Vec<_> = self
            .room
            .residents
            .iter()
            .filter(|resident| {
                resident.user_id != self.event.sender && mentioned.contains(&resident.agent_id)
            })
            .map(|resident| Hearer {
                resident,
                is_mentioned: true,
                quiet: false,
            })
            .collect();
        if hearers.is_empty() {
            return Err(IgnoreReason::Own);
        }
        let hops = match self.event.content.get(HOPS_MARKER) {
            None => 1,
            // What is no number ends the talk rather than let it go on for ever.
            Some(hops) => hops
                .as_u64()
                .and_then(|hops| u32::try_from(hops).ok())
                .unwrap_or(u32::MAX),
        };
        if hops > self.limits.max_hops {
            return Err(IgnoreReason::TooManyHops);
        }
        self.forward(said, &hearers, hops.max(1))
            .map_err(IgnoreReason::Unheard)
    }

    /// The agents that the message mentions otherwise than by its text: `m.mentions`, and links to them.
    fn explicitly_mentioned(&self, said: &Said, with_pills: bool) -> Vec<AgentId> {
        let users = self
            .event
            .content
            .get("m.mentions")
            .and_then(|mentions| mentions.get("user_ids"));
        let users = users.and_then(Value::as_array);
        let is_mentioned = |resident: &&Resident| {
            users.is_some_and(|users| users.iter().any(|user| user == resident.user_id.as_str()))
                || with_pills && said.pills.iter().any(|pill| pill.user == resident.user_id)
        };
        let residents = self.room.residents.iter().filter(is_mentioned);
        residents.map(|resident| resident.agent_id.clone()).collect()
    }

    fn hearers(&self, is_mentioned: impl Fn(usize, &Resident) -> bool) -> Vec<Hearer<'_>> {
        let all = || {
            self.room.residents.iter().enumerate().map(|(index, resident)| {
                let is_mentioned = is_mentioned(index, resident);
                Hearer {
                    resident,
                    is_mentioned,
                    quiet: self.mode == Mode::Listen && !is_mentioned,
                }
            })
        };
        let mentioned: Vec<_> = all().filter(|hearer| hearer.is_mentioned).collect();
        match self.mode {
            Mode::Off => Vec::new(),
            Mode::Listen => all().collect(),
            Mode::Mention => mentioned,
            Mode::Open if !mentioned.is_empty() => mentioned,
            Mode::Open => match self.home() {
                Some(home) => all().filter(|hearer| hearer.resident == home).collect(),
                None => all().collect(),
            },
        }
    }

    fn forward(&self, said: Said, hearers: &[Hearer<'_>], hops: u32) -> Result<Decision, DeclineReason> {
        let attachment = said.attachment?;
        if self.is_too_old() {
            return Err(DeclineReason::TooOld);
        }
        if said.words.len() > self.limits.max_text_bytes {
            return Err(DeclineReason::TooLong {
                limit: self.limits.max_text_bytes,
            });
        }
        let (thread, reply_to) = relations(&self.event.content);
        let forward = |hearer: &Hearer<'_>| Forward {
            agent: hearer.resident.agent_id.clone(),
            words: said.words.clone(),
            kind: said.kind,
            attachment: attachment.clone(),
            thread: thread.clone(),
            reply_to: reply_to.clone(),
            is_mentioned: hearer.is_mentioned,
            hops,
            from_agent: self.from_agent,
            quiet: hearer.quiet,
        };
        Ok(Decision::Forward(hearers.iter().map(forward).collect()))
    }

    /// What to do about a text if it is a command. A slip is told only to those who speak to somebody here.
    fn command(&self, text: &str, explicit: &[AgentId], is_spoken_to: bool) -> Option<Decision> {
        let room = self.room;
        let parsed = commands::parse(text, &room.residents, explicit, room.is_admin_room)?;
        let is_unknown = matches!(parsed.command, Command::Unknown { .. });
        if is_unknown && !is_spoken_to && !room.is_admin_room {
            return None;
        }
        let is_meant = |agent: &AgentId| parsed.agents.contains(agent) || explicit.contains(agent);
        let mut agents = self.all_agents();
        if agents.iter().any(is_meant) {
            agents.retain(is_meant);
        }
        let needed = parsed.command.right();
        let refusal = if !self.rights.allow(&self.event.sender, needed) {
            Some(DeclineReason::NotAllowed(needed))
        } else if self.is_too_old() {
            Some(DeclineReason::TooOld)
        } else {
            None
        };
        if let Some(reason) = refusal {
            return Some(Decision::Decline {
                agent: only(&agents),
                reason,
            });
        }
        let (_, replied_to) = relations(&self.event.content);
        let answer = |approve, reason| {
            Decision::Answer(ApprovalAnswer {
                target: replied_to.clone(),
                agents: agents.clone(),
                approve,
                reason,
            })
        };
        Some(match (parsed.command, &replied_to) {
            (Command::Approve, _) => answer(true, None),
            (Command::Deny { reason }, _) => answer(false, reason),
            (Command::Retry, Some(target)) => Decision::Retry {
                target: target.clone(),
            },
            (command, _) => Decision::Command { command, agents },
        })
    }

    fn home(&self) -> Option<&Resident> {
        let home = self.room.home_of.as_ref()?;
        self.room
            .residents
            .iter()
            .find(|resident| resident.agent_id == *home)
    }

    fn all_agents(&self) -> Vec<AgentId> {
        let residents = self.room.residents.iter();
        residents.map(|resident| resident.agent_id.clone()).collect()
    }
}

fn only(agents: &[AgentId]) -> Option<AgentId> {
    match agents {
        [agent] => Some(agent.clone()),
        _ => None,
    }
}

/// Whether a message was put into the room from an agent's earlier history.
pub(crate) fn is_historical(content: &Value) -> bool {
    [HISTORY_MARKER, FORMER_HISTORY_MARKER].iter().any(|marker| {
        content
            .get(marker)
            .is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)))
    })
}

#[cfg(test)]
mod tests;
