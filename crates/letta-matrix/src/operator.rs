//! What admins can have done from a Matrix room.

use std::{fmt::Write as _, sync::Arc};

use agent_sync::{NotSynced, Reason, Trigger};
use async_trait::async_trait;
use conversation::{Operator, text::plain_line};
use store::{Binding, Lifecycle, Store, StoreError};

/// How many agents are listed in one message.
const MANY: usize = 100;

/// Syncs and lists, for admins.
#[derive(Debug)]
pub(crate) struct Caretaker {
    store: Arc<dyn Store>,
    trigger: Option<Trigger>,
}

impl Caretaker {
    /// With what it asks for syncs; without, there are none to be had this way.
    pub(crate) fn new(store: Arc<dyn Store>, trigger: Option<Trigger>) -> Self {
        Self { store, trigger }
    }

    async fn list(&self, line: impl Fn(&Binding) -> String) -> String {
        let bindings = match self.store.list_bindings().await {
            Ok(bindings) => bindings,
            Err(error) => return unreadable(&error),
        };
        if bindings.is_empty() {
            return "There are no agents yet.".to_owned();
        }
        let mut text = String::new();
        for binding in bindings.iter().take(MANY) {
            // Writing to a string does not fail.
            _ = writeln!(text, "- {}", line(binding));
        }
        if bindings.len() > MANY {
            _ = writeln!(
                text,
                "\n{} more. `letta-matrix status` lists all.",
                bindings.len() - MANY
            );
        }
        text
    }
}

fn unreadable(error: &StoreError) -> String {
    tracing::warn!(%error, "a list for an admin cannot be made");
    "The state cannot be read now.".to_owned()
}

fn state(binding: &Binding) -> &'static str {
    match (&binding.lifecycle, &binding.last_error) {
        (Lifecycle::Archived { .. }, _) => "put away",
        (Lifecycle::Missing { .. }, _) => "missing in Letta",
        (Lifecycle::Active, Some(_)) => "failing",
        (Lifecycle::Active, None) => "at home",
    }
}

#[async_trait]
impl Operator for Caretaker {
    async fn sync(&self) -> String {
        let Some(trigger) = &self.trigger else {
            return "Syncs cannot be asked for here.".to_owned();
        };
        match trigger.request(Reason::Person).outcome().await {
            Ok(report) => {
                let failed = report.failed.len();
                format!(
                    "{} agents: {} users registered, {} rooms made, {} renamed, {failed} failed.",
                    report.agents, report.users_created, report.rooms_created, report.renamed
                )
            }
            Err(NotSynced::Stopped) => "The bridge is being stopped.".to_owned(),
            Err(error) => format!("The sync could not begin and will be tried again: {error}."),
        }
    }

    async fn agents(&self) -> String {
        self.list(|binding| {
            format!(
                "**{}** `{}` {}",
                plain_line(&binding.agent_name, 80),
                binding.agent_id,
                state(binding)
            )
        })
        .await
    }

    async fn rooms(&self) -> String {
        self.list(|binding| {
            let room = binding
                .room_id
                .as_ref()
                .map_or_else(|| "no room yet".to_owned(), |room| format!("`{room}`"));
            format!(
                "**{}** {} {room}",
                plain_line(&binding.agent_name, 80),
                binding.user_id
            )
        })
        .await
    }
}
