//! What people can tell the bridge: `!stop`, `!settings mode mention` …

use std::{collections::BTreeSet, fmt, fmt::Write as _};

use letta_client::AgentId;

use crate::{
    decision::address,
    rights::Right,
    room::Resident,
    settings::{ConversationMode, Mode, Setting},
};

/// What a person tells the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Say what there is.
    Help,
    /// Say how the agents are.
    Status,
    /// End what the agents do.
    Stop,
    /// Answer the last message again.
    Retry,
    /// Begin a new conversation.
    New,
    /// Show earlier messages.
    History {
        /// How many, if that was said.
        count: Option<u32>,
    },
    /// Show the room's settings.
    Settings,
    /// Change one of the room's settings.
    Set(Setting),
    /// Let the agent use the tool that it asks for.
    Approve,
    /// Do not let the agent use the tool that it asks for.
    Deny {
        /// Why; the agent hears it.
        reason: Option<String>,
    },
    /// Bring users and rooms up to date. In the admin room only, as those below.
    Sync,
    /// List the agents.
    Agents,
    /// List the rooms.
    Rooms,
    /// A command that cannot be done as it was written.
    Misused {
        /// The command.
        word: &'static str,
        /// What is wrong.
        misuse: Misuse,
    },
    /// No command, but it looks like one.
    Unknown {
        /// What was written, without the `!`.
        word: String,
        /// What was meant, perhaps.
        nearest: Option<&'static str>,
    },
}

/// What is wrong with how a command was written. Shown to whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misuse {
    /// It takes nothing after it.
    ExtraWords,
    /// It takes a number.
    NotANumber,
    /// There is no such setting.
    UnknownSetting,
    /// The setting has no such value.
    UnknownValue {
        /// The setting.
        key: &'static str,
        /// Its values.
        values: &'static str,
    },
    /// It works in the admin room only.
    AdminRoomOnly,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExtraWords => f.write_str("It takes nothing after it but the agent it is for."),
            Self::NotANumber => f.write_str("It takes a number from 1 on, such as `!history 10`."),
            Self::UnknownSetting => {
                f.write_str("The settings are")?;
                for (index, (key, _)) in SETTINGS.iter().enumerate() {
                    let separator = if index == 0 { " " } else { ", " };
                    write!(f, "{separator}`{key}`")?;
                }
                f.write_str(".")
            }
            Self::UnknownValue { key, values } => write!(f, "Write `!settings {key} {values}`."),
            Self::AdminRoomOnly => f.write_str("It works in the admin room only."),
        }
    }
}

const SETTINGS: [(&str, &str); 5] = [
    ("mode", "open|mention|listen|off"),
    ("streaming", "on|off"),
    ("tools", "on|off"),
    ("reasoning", "on|off"),
    ("conversation", "room|thread|person"),
];

struct Entry {
    word: &'static str,
    usage: &'static str,
    does: &'static str,
    right: Right,
    is_admin_room_only: bool,
}

const fn entry(word: &'static str, usage: &'static str, right: Right, does: &'static str) -> Entry {
    Entry {
        word,
        usage,
        does,
        right,
        is_admin_room_only: false,
    }
}

const fn admin_entry(word: &'static str, does: &'static str) -> Entry {
    Entry {
        is_admin_room_only: true,
        ..entry(word, "", Right::Admin, does)
    }
}

const ENTRIES: [Entry; 13] = [
    entry("help", "", Right::Talk, "says what you can tell me"),
    entry("status", "", Right::Talk, "says how the agents here are"),
    entry("stop", "", Right::Talk, "ends what the agents here are doing"),
    entry(
        "retry",
        "",
        Right::Talk,
        "has your last message answered again; as a reply, that message",
    ),
    entry("new", "", Right::Command, "begins a new conversation"),
    entry("history", " [N]", Right::Command, "shows earlier messages"),
    entry("settings", "", Right::Talk, "shows the settings of this room"),
    entry("settings", " KEY VALUE", Right::Command, "changes one of them"),
    entry(
        "approve",
        "",
        Right::Approve,
        "lets the agent use the tool that it asks for",
    ),
    entry("deny", " [reason]", Right::Approve, "does not let it"),
    admin_entry("sync", "brings users and rooms up to date"),
    admin_entry("agents", "lists the agents"),
    admin_entry("rooms", "lists the rooms"),
];

impl Command {
    /// The right it needs.
    #[must_use]
    pub fn right(&self) -> Right {
        match self {
            Self::Help
            | Self::Status
            | Self::Stop
            | Self::Retry
            | Self::Settings
            | Self::Misused { .. }
            | Self::Unknown { .. } => Right::Talk,
            Self::Approve | Self::Deny { .. } => Right::Approve,
            Self::New | Self::History { .. } | Self::Set(_) => Right::Command,
            Self::Sync | Self::Agents | Self::Rooms => Right::Admin,
        }
    }
}

/// What somebody with this right can tell the bridge, in Markdown.
#[must_use]
pub fn help(right: Right, is_admin_room: bool) -> String {
    let mut text = "You can tell me:\n\n".to_owned();
    for entry in &ENTRIES {
        if entry.right <= right && (is_admin_room || !entry.is_admin_room_only) {
            // Writing to a string does not fail.
            _ = writeln!(text, "- `!{}{}` {}", entry.word, entry.usage, entry.does);
        }
    }
    if right >= Right::Command {
        text.push_str("\nThe settings are ");
        let settings: Vec<_> = SETTINGS
            .iter()
            .map(|(key, values)| format!("`{key} {values}`"))
            .collect();
        text.push_str(&settings.join(", "));
        text.push_str(".\n");
    }
    text.push_str(if is_admin_room {
        "\nHere it works without the `!` as well.\n"
    } else {
        "\nWhere several agents are, name the one you mean: `!stop @Name`.\n"
    });
    text
}

/// A command and the agents it is for. None: it names nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The command.
    pub command: Command,
    /// Those that its text names.
    pub agents: Vec<AgentId>,
}

/// Reads a command. `None`: it is an ordinary text. `mentioned` are the agents that the message mentions in other
/// ways than by its text: their names are part of the address even without `@`.
#[must_use]
pub fn parse(
    text: &str,
    residents: &[Resident],
    mentioned: &[AgentId],
    is_admin_room: bool,
) -> Option<Parsed> {
    let mut addressed = BTreeSet::new();
    let text = take_leading(text.trim(), residents, |_| true, &mut addressed);
    let text = match text.strip_prefix('!') {
        Some(text) => text,
        None if is_admin_room && !text.is_empty() => text,
        None => return None,
    };
    let word = text.split_whitespace().next().unwrap_or_default();
    let is_word = text.starts_with(word) && word.chars().all(|c| c.is_ascii_alphabetic());
    let arguments = text.get(word.len()..).unwrap_or_default().trim();
    let lower = word.to_ascii_lowercase();
    let known = ENTRIES.iter().find(|entry| is_word && entry.word == lower);
    let command = match known {
        Some(entry) if entry.is_admin_room_only && !is_admin_room => Command::Misused {
            word: entry.word,
            misuse: Misuse::AdminRoomOnly,
        },
        Some(entry) => {
            let is_mentioned = |resident: &Resident| mentioned.contains(&resident.agent_id);
            // What takes no words of its own can only be followed by names.
            let takes_words = matches!(entry.word, "history" | "settings" | "deny");
            let is_bare = |resident: &Resident| !takes_words || is_mentioned(resident);
            let mut arguments = take_leading(arguments, residents, is_bare, &mut addressed);
            // A reason may end with a name.
            if entry.word != "deny" {
                arguments = take_trailing(arguments, residents, is_bare, &mut addressed);
            }
            with_arguments(entry.word, arguments).unwrap_or_else(|misuse| Command::Misused {
                word: entry.word,
                misuse,
            })
        }
        None => {
            let nearest = if is_word {
                nearest(&lower, is_admin_room)
            } else {
                None
            };
            if nearest.is_none() && !is_admin_room {
                return None;
            }
            Command::Unknown {
                word: word.to_owned(),
                nearest,
            }
        }
    };
    Some(Parsed {
        command,
        agents: addressed
            .into_iter()
            .filter_map(|index| Some(residents.get(index)?.agent_id.clone()))
            .collect(),
    })
}

fn take_leading<'a>(
    mut text: &'a str,
    residents: &[Resident],
    is_bare: impl Fn(&Resident) -> bool,
    addressed: &mut BTreeSet<usize>,
) -> &'a str {
    while let Some((who, length)) = address(text, residents, &is_bare) {
        addressed.extend(who);
        text = &text[length..];
    }
    text
}

fn take_trailing<'a>(
    mut text: &'a str,
    residents: &[Resident],
    is_bare: impl Fn(&Resident) -> bool,
    addressed: &mut BTreeSet<usize>,
) -> &'a str {
    'again: loop {
        for (space, _) in text.match_indices(char::is_whitespace) {
            let tail = text[space..].trim_start();
            if let Some((who, length)) = address(tail, residents, &is_bare)
                && length == tail.len()
            {
                addressed.extend(who);
                text = text[..space].trim_end();
                continue 'again;
            }
        }
        return text;
    }
}

fn with_arguments(word: &str, arguments: &str) -> Result<Command, Misuse> {
    let alone = |command| {
        if arguments.is_empty() {
            Ok(command)
        } else {
            Err(Misuse::ExtraWords)
        }
    };
    match word {
        "status" => alone(Command::Status),
        "stop" => alone(Command::Stop),
        "retry" => alone(Command::Retry),
        "new" => alone(Command::New),
        "approve" => alone(Command::Approve),
        "sync" => alone(Command::Sync),
        "agents" => alone(Command::Agents),
        "rooms" => alone(Command::Rooms),
        "settings" if arguments.is_empty() => Ok(Command::Settings),
        "settings" => setting(arguments).map(Command::Set),
        "history" if arguments.is_empty() => Ok(Command::History { count: None }),
        "history" => match arguments.parse() {
            Ok(count) if count > 0 => Ok(Command::History { count: Some(count) }),
            _ => Err(Misuse::NotANumber),
        },
        "deny" => Ok(Command::Deny {
            reason: Some(arguments.to_owned()).filter(|reason| !reason.is_empty()),
        }),
        _ => alone(Command::Help),
    }
}

fn setting(arguments: &str) -> Result<Setting, Misuse> {
    let arguments = arguments.to_ascii_lowercase();
    let mut words = arguments.split_whitespace();
    let key = words.next().unwrap_or_default();
    let (key, values) = *SETTINGS
        .iter()
        .find(|(known, _)| *known == key)
        .ok_or(Misuse::UnknownSetting)?;
    let unknown = Misuse::UnknownValue { key, values };
    let value = words
        .next()
        .filter(|value| values.split('|').any(|known| known == *value));
    let (Some(value), None) = (value, words.next()) else {
        return Err(unknown);
    };
    let is_on = value == "on";
    Ok(match (key, value) {
        ("streaming", _) => Setting::Streaming(is_on),
        ("tools", _) => Setting::Tools(is_on),
        ("reasoning", _) => Setting::Reasoning(is_on),
        ("mode", "open") => Setting::Mode(Mode::Open),
        ("mode", "mention") => Setting::Mode(Mode::Mention),
        ("mode", "listen") => Setting::Mode(Mode::Listen),
        ("mode", "off") => Setting::Mode(Mode::Off),
        ("conversation", "room") => Setting::Conversation(ConversationMode::Room),
        ("conversation", "thread") => Setting::Conversation(ConversationMode::Thread),
        ("conversation", "person") => Setting::Conversation(ConversationMode::Person),
        _ => return Err(unknown),
    })
}

/// The command that a word is at most two letters away from. A word of two letters would be near everything short.
fn nearest(word: &str, is_admin_room: bool) -> Option<&'static str> {
    ENTRIES
        .iter()
        .filter(|entry| is_admin_room || !entry.is_admin_room_only)
        .map(|entry| (strsim::levenshtein(word, entry.word), entry.word))
        .filter(|(distance, _)| *distance <= 2 && *distance < word.len())
        .min()
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests;
