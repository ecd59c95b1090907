//! The conversation in the terminal.

use std::{collections::HashSet, io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use letta_client::{AgentUpdate, LettaApi, fake::FakeLetta};
use matrix_client::{
    Event, TimelineEventType,
    ruma::{OwnedEventId, OwnedRoomId},
};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

use super::{DemoBridge, Person, Servers, bridge::AgentRoom, inside};
use crate::{
    failure::Failure,
    output::{Out, one_line},
};

const HELP: &str = "\
A line is a message to the agent of the room you are in.
  /agents         who is there
  /agent NAME     go to another agent's room; a number or the beginning of a name will do
  /rename NAME    rename this agent in Letta, and sync
  /quit           end (so does the end of the input)
  //text          the message \"/text\"";

pub(super) struct Talk {
    out: Out,
    letta: FakeLetta,
    bridge: DemoBridge,
    person: Person,
    /// The room the person is in.
    room: OwnedRoomId,
    lines: Lines<BufReader<Stdin>>,
}

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Nothing,
    Help,
    Agents,
    Agent(&'a str),
    Rename(&'a str),
    Quit,
    Unknown(&'a str),
    Message(&'a str),
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Self {
        let line = line.trim();
        let Some(command) = line.strip_prefix('/') else {
            return if line.is_empty() {
                Self::Nothing
            } else {
                Self::Message(line)
            };
        };
        if command.starts_with('/') {
            return Self::Message(command);
        }
        let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match (word, rest.trim()) {
            ("help" | "h" | "?", _) => Self::Help,
            ("agents", _) | ("agent", "") => Self::Agents,
            ("agent", name) => Self::Agent(name),
            ("rename", name) => Self::Rename(name),
            ("quit" | "q" | "exit", _) => Self::Quit,
            _ => Self::Unknown(word),
        }
    }
}

impl Talk {
    pub(super) fn new(
        out: Out,
        servers: &Servers,
        bridge: DemoBridge,
        person: Person,
    ) -> Result<Self, Failure> {
        let room = bridge.rooms().first().map(|room| room.room_id.clone());
        Ok(Self {
            out,
            letta: servers.letta.clone(),
            bridge,
            person,
            room: room.ok_or_else(|| Failure::new("the demo failed").because("no agent came home"))?,
            lines: BufReader::new(tokio::io::stdin()).lines(),
        })
    }

    /// Reads lines until there are no more.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        if self.out.interactive() {
            let names: Vec<String> = self.bridge.rooms().iter().map(shown_name).collect();
            self.out
                .prompt(&format!("Whom do you want to talk with ({})? ", names.join(", ")))?;
            let Some(wanted) = self.next_line().await? else {
                return Ok(());
            };
            if let Some(room) = find(self.bridge.rooms(), wanted.trim()) {
                self.room = room.room_id.clone();
            }
        }
        self.out.line(&format!(
            "You are in {}'s room. /help tells what you can do.",
            self.agent_name()
        ))?;
        loop {
            if self.out.interactive() {
                self.out.prompt(&format!("you → {}: ", self.agent_name()))?;
            }
            let Some(line) = self.next_line().await? else {
                return if self.out.interactive() {
                    self.out.line("")
                } else {
                    Ok(())
                };
            };
            match Line::read(&line) {
                Line::Nothing => {}
                Line::Quit => return Ok(()),
                Line::Help => self.out.line(HELP)?,
                Line::Agents => self.agents()?,
                Line::Agent(name) => self.go_to(name)?,
                Line::Rename(name) => self.rename(name).await?,
                Line::Unknown(word) => {
                    self.out.line(&format!(
                        "There is no /{}. /help tells what there is.",
                        one_line(word, 40)
                    ))?;
                }
                Line::Message(text) => self.message(text).await?,
            }
        }
    }

    /// The next line; `None` at the end of the input. What is no text is said, and passed over.
    async fn next_line(&mut self) -> Result<Option<String>, Failure> {
        loop {
            match self.lines.next_line().await {
                Ok(line) => return Ok(line),
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    self.out.line("That line is not UTF-8; nobody got it.")?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn message(&mut self, text: &str) -> Result<(), Failure> {
        let sent = self
            .person
            .say(&self.room, text)
            .await
            .map_err(|error| inside(&error))?;
        let thinking = self.thinking();
        let fate = self.bridge.done_with(&sent).await;
        thinking.finish_and_clear();
        let fate = fate
            .map_err(|error| inside(&error))?
            .ok_or_else(|| Failure::new("the demo's bridge ended by itself"))?;
        let said: HashSet<_> = fate
            .deliveries
            .iter()
            .flat_map(|delivery| &delivery.said)
            .cloned()
            .collect();
        if fate.deliveries.is_empty() {
            let verdict = fate.verdict.unwrap_or_default();
            return self.out.line(&format!("Nobody answers ({verdict})."));
        }
        self.show_until(said).await
    }

    /// Reads the person's news and shows them until all these events were among them.
    async fn show_until(&mut self, mut expected: HashSet<OwnedEventId>) -> Result<(), Failure> {
        loop {
            let news = self
                .person
                .news(!expected.is_empty())
                .await
                .map_err(|error| inside(&error))?;
            for event in news {
                expected.remove(&event.event_id);
                self.show(&event)?;
            }
            if expected.is_empty() {
                return Ok(());
            }
        }
    }

    fn show(&self, event: &Event) -> Result<(), Failure> {
        let text = |field: &str| {
            event
                .content
                .get(field)
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default()
        };
        match &event.event_type {
            TimelineEventType::RoomMessage if !self.person.did(event) => {
                // Tools are told about once they are done.
                let content = event.content.get("m.new_content").unwrap_or(&event.content);
                let text = |field: &str| {
                    content
                        .get(field)
                        .and_then(serde_json::Value::as_str)
                        .unwrap_or_default()
                };
                let name = self
                    .room_of(event)
                    .map_or_else(|| event.sender.to_string(), shown_name);
                match text("msgtype") {
                    "m.notice" => self.out.line(&format!("[{}]", text("body"))),
                    _ => self.out.line(&format!("{name}: {}", text("body"))),
                }
            }
            TimelineEventType::RoomName => self
                .out
                .line(&format!("The room is now called {:?}.", text("name"))),
            _ => Ok(()),
        }
    }

    /// Renames the agent in Letta and syncs: its user and its room follow.
    async fn rename(&mut self, name: &str) -> Result<(), Failure> {
        let Some(room) = self.current().cloned() else {
            return Ok(());
        };
        if name.is_empty() {
            return self.out.line("Give a name: /rename NAME");
        }
        let renamed = self
            .letta
            .update_agent(&room.agent_id, &AgentUpdate::rename(name))
            .await;
        renamed.map_err(|error| inside(&error))?;
        let report = self.bridge.sync().await.map_err(|error| inside(&error))?;
        self.out.line(&format!(
            "{} is renamed in Letta; syncing took {} Matrix requests.",
            shown_name(&room),
            report.requests.matrix
        ))?;
        for failed in &report.failed {
            self.out.line(&format!(
                "{} failed: {}",
                failed.step,
                one_line(&failed.error, 300)
            ))?;
        }
        self.show_until(HashSet::new()).await
    }

    fn agents(&self) -> Result<(), Failure> {
        for (number, room) in (1..).zip(self.bridge.rooms()) {
            let here = if room.room_id == self.room { "*" } else { " " };
            self.out.line(&format!(
                "{here} {number}  {}  {}",
                shown_name(room),
                room.agent_user
            ))?;
        }
        Ok(())
    }

    fn go_to(&mut self, wanted: &str) -> Result<(), Failure> {
        match find(self.bridge.rooms(), wanted) {
            Some(room) => {
                self.room = room.room_id.clone();
                self.out.line(&format!("You are in {}'s room.", shown_name(room)))
            }
            None => self.out.line(&format!(
                "There is no agent {:?}. /agents lists them.",
                one_line(wanted, 60)
            )),
        }
    }

    fn current(&self) -> Option<&AgentRoom> {
        self.bridge.rooms().iter().find(|room| room.room_id == self.room)
    }

    fn room_of(&self, event: &Event) -> Option<&AgentRoom> {
        self.bridge
            .rooms()
            .iter()
            .find(|room| room.agent_user == event.sender)
    }

    fn agent_name(&self) -> String {
        self.current().map_or_else(String::new, shown_name)
    }

    /// A sign of life while the agent thinks, on a terminal.
    fn thinking(&self) -> ProgressBar {
        let shown = self.out.interactive() && std::io::stderr().is_terminal();
        let target = if shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let spinner =
            ProgressBar::with_draw_target(None, target).with_style(ProgressStyle::default_spinner());
        spinner.set_message(format!("{} is thinking", self.agent_name()));
        spinner.enable_steady_tick(Duration::from_millis(120));
        spinner
    }
}

fn shown_name(room: &AgentRoom) -> String {
    one_line(&room.agent_name, 40)
}

/// An agent by its number, its name, or how its name begins.
fn find<'a>(rooms: &'a [AgentRoom], wanted: &str) -> Option<&'a AgentRoom> {
    let lower = wanted.to_lowercase();
    let by_number = wanted
        .parse::<usize>()
        .ok()
        .and_then(|number| rooms.get(number.checked_sub(1)?));
    let name_of = |room: &AgentRoom| room.agent_name.to_lowercase();
    by_number
        .or_else(|| rooms.iter().find(|room| name_of(room) == lower))
        .or_else(|| rooms.iter().find(|room| name_of(room).starts_with(&lower)))
}

#[cfg(test)]
mod tests {
    use matrix_client::ruma::{owned_room_id, owned_user_id};

    use super::*;

    #[test]
    fn a_line_is_a_message_unless_it_begins_with_a_slash() {
        for (line, expected) in [
            ("hello", Line::Message("hello")),
            ("  a / b ", Line::Message("a / b")),
            ("//agents", Line::Message("/agents")),
            ("", Line::Nothing),
            ("/agent Ada the Second", Line::Agent("Ada the Second")),
            ("/agent", Line::Agents),
            ("/rename  New Name ", Line::Rename("New Name")),
            ("/quit", Line::Quit),
            ("/quitting", Line::Unknown("quitting")),
        ] {
            assert_eq!(Line::read(line), expected, "{line:?}");
        }
    }

    #[test]
    fn an_agent_is_found_by_number_name_and_beginning() {
        let room = |name: &str| AgentRoom {
            room_id: owned_room_id!("!room"),
            agent_id: name.into(),
            agent_name: name.to_owned(),
            agent_user: owned_user_id!("@agent_x:demo.local"),
        };
        let rooms = [room("Adam"), room("Ada"), room("Basil")];
        for (wanted, expected) in [
            ("1", Some("Adam")),
            ("ada", Some("Ada")),
            ("b", Some("Basil")),
            ("0", None),
            ("4", None),
            ("x", None),
        ] {
            assert_eq!(
                find(&rooms, wanted).map(|room| room.agent_name.as_str()),
                expected,
                "{wanted}"
            );
        }
    }
}
