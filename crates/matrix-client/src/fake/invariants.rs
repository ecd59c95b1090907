//! What must hold whatever was done to the server.

use std::collections::BTreeSet;

use super::{FakeMatrix, homeserver::Homeserver, rooms::Room};

impl FakeMatrix {
    /// Walks through everything the server holds.
    ///
    /// # Panics
    /// When something cannot be: then the model itself is wrong.
    #[track_caller]
    pub fn assert_invariants(&self) {
        let problems = self.server().problems();
        assert!(problems.is_empty(), "the model is broken: {problems:#?}");
    }
}

impl Homeserver {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for (room_id, room) in &self.rooms {
            if *room_id != room.room_id {
                problems.push(format!("room {room_id} calls itself {}", room.room_id));
            }
            room.add_problems(self.position, &mut problems);
            for event in &room.timeline {
                if !seen.insert(event.event_id.clone()) {
                    problems.push(format!("event {} is there twice", event.event_id));
                }
            }
        }
        for (alias, stored) in &self.aliases {
            if !self.rooms.contains_key(&stored.room_id) {
                problems.push(format!(
                    "{alias} points to {}, which does not exist",
                    stored.room_id
                ));
            }
        }
        for (user_id, account) in &self.accounts.users {
            if *user_id != account.user_id {
                problems.push(format!("user {user_id} is called {}", account.user_id));
            }
            let maker = account.appservice_id.as_ref();
            if maker.is_some_and(|id| !self.appservices.iter().any(|appservice| appservice.id == *id)) {
                problems.push(format!(
                    "{user_id} was made by an application service that is not registered"
                ));
            }
            if account.deactivated && !account.devices.is_empty() {
                problems.push(format!("{user_id} is deactivated and has devices"));
            }
        }
        for token in self.accounts.tokens.values() {
            let account = self.accounts.users.get(&token.user_id);
            let known = account.is_some_and(|account| {
                token
                    .device_id
                    .as_ref()
                    .is_none_or(|device_id| account.devices.contains_key(device_id))
            });
            if !known {
                problems.push(format!("a token of {} has no user or device", token.user_id));
            }
        }
        problems
    }
}

impl Room {
    fn add_problems(&self, position: u64, problems: &mut Vec<String>) {
        let id = &self.room_id;
        match self.timeline.first() {
            Some(first) if first.kind == "m.room.create" => {}
            _ => problems.push(format!("{id} does not begin with its creation")),
        }
        if self
            .timeline
            .windows(2)
            .any(|pair| pair[0].position >= pair[1].position)
        {
            problems.push(format!("the timeline of {id} is out of order"));
        }
        if self.timeline.last().is_some_and(|last| last.position > position) {
            problems.push(format!("{id} has events from the future"));
        }
        for ((kind, state_key), history) in &self.state {
            let fits = |event: &std::sync::Arc<super::rooms::StoredEvent>| {
                event.kind == *kind && event.state_key.as_ref() == Some(state_key)
            };
            if history.is_empty() || !history.iter().all(fits) {
                problems.push(format!(
                    "the state {kind} `{state_key}` of {id} is not what it says"
                ));
            }
        }
        let in_state: usize = self.state.values().map(Vec::len).sum();
        let in_timeline = self
            .timeline
            .iter()
            .filter(|event| event.state_key.is_some())
            .count();
        if in_state != in_timeline {
            problems.push(format!(
                "{id} has {in_state} state events, its timeline {in_timeline}"
            ));
        }
        if self.by_id.len() != self.timeline.len() {
            problems.push(format!(
                "{id} finds {} of {} events",
                self.by_id.len(),
                self.timeline.len()
            ));
        }
        if let Some(typist) = self.typing.keys().find(|user_id| !self.is_joined(user_id)) {
            problems.push(format!("{typist} types in {id} without being in it"));
        }
        let names_creator = self
            .state_content("m.room.power_levels", "")
            .is_some_and(|levels| {
                levels
                    .get("users")
                    .is_some_and(|users| users.get(&self.creator).is_some())
            });
        if self.version.creators_have_power() && names_creator {
            problems.push(format!("{id} names its creator in the power levels"));
        }
    }
}
