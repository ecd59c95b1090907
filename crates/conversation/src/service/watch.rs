//! What is done by the clock.

use std::time::Duration;

use super::{
    ConversationError,
    engine::{Engine, Of},
};
use crate::{
    delivery::{Finished, Outcome},
    text,
};

/// How often it is looked whether what people wait for still waits for a decision.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// The id of what is done for no delivery.
const NO_DELIVERY: i64 = -1;

/// How old what is known of agents and their rooms may become.
const REFRESH: Duration = Duration::from_secs(60);

impl Engine {
    /// Tells whoever waits for long that their message is not lost, and catches up.
    pub(super) async fn look(&mut self) -> Result<(), ConversationError> {
        if self.is_behind {
            self.dispatch().await?;
        }
        let now = self.parts.clock.now();
        // Agents are renamed, and rooms replaced, by whoever syncs.
        if let Err(error) = self.rooms.refresh(&*self.parts.store, now, REFRESH).await {
            tracing::debug!(%error, "it cannot be read what agents are called now");
        }
        let limit = self.config.delivery.tell_after;
        let mut due = Vec::new();
        for pending in self.pending.values_mut() {
            if !pending.is_told && now.duration_since(pending.since).unsigned_abs() >= limit {
                pending.is_told = true;
                due.push(pending.of.clone());
            }
        }
        for of in due {
            self.tell_waiting(&of);
        }
        if now.duration_since(self.checked_at).unsigned_abs() >= CHECK_EVERY {
            self.checked_at = now;
            self.check_approvals();
        }
        Ok(())
    }

    /// Finds out whether requests that messages wait behind were decided elsewhere: nobody tells us.
    fn check_approvals(&mut self) {
        let open = self.approvals.values().filter(|approval| approval.is_open());
        for approval in open.cloned().collect::<Vec<_>>() {
            let worker = approval.agent.as_str();
            let is_being_decided = self
                .lanes
                .at_work(worker)
                .is_some_and(|(_, lane)| lane == approval.lane);
            if is_being_decided || self.lanes.waiting_in(worker, &approval.lane) == 0 {
                continue;
            }
            let Some(stage) = self.stage_of(&approval.room, &approval.agent) else {
                continue;
            };
            let of = Of {
                id: NO_DELIVERY,
                worker: String::new(),
                agent: approval.agent.clone(),
                lane: approval.lane.clone(),
                event_id: approval.question.clone(),
                room_id: approval.room.clone(),
            };
            let deliverer = self.deliverer.clone();
            self.tasks.spawn(async move {
                let key = approval.key.clone();
                let is_gone = deliverer.withdraw_if_gone(approval, &stage).await;
                let finished = is_gone.map(|is_gone| Finished {
                    outcome: Some(Outcome::Told),
                    closed: is_gone.then_some(key).into_iter().collect(),
                    ..Finished::default()
                });
                (of, finished)
            });
        }
    }

    fn tell_waiting(&self, of: &Of) {
        let Some(setting) = self.setting_of(of) else {
            return;
        };
        let name = text::plain_line(&setting.agent_name, 100);
        let words = if self.lanes.is_blocked(&of.worker, &of.lane) {
            format!("⏳ {name} waits for a decision on a tool call. Your message comes after that.")
        } else {
            match self.lanes.before(&of.worker, of.id) {
                0 => return,
                1 => format!("⏳ {name} is at work. Your message is next."),
                more => format!("⏳ {name} is at work. {more} messages come before yours."),
            }
        };
        let (deliverer, id) = (self.deliverer.clone(), of.id);
        tokio::spawn(async move { deliverer.tell_waiting(id, &setting, &words).await });
    }

    /// Forgets what was dealt with long ago.
    pub(super) async fn forget(&mut self, keep: Duration) {
        self.budgets.shrink();
        let Ok(before) = self.parts.clock.now().checked_sub(keep) else {
            return;
        };
        match self.parts.store.forget_events(before, &self.lease).await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "forgot events of long ago"),
            Err(error) => tracing::debug!(%error, "old events could not be forgotten"),
        }
        let closed: Vec<_> = self
            .approvals
            .values()
            .filter(|approval| !approval.is_open() && approval.since < before)
            .map(|approval| approval.key.clone())
            .collect();
        for key in closed {
            let kind = crate::delivery::APPROVAL;
            if self
                .parts
                .store
                .put_record(kind, &key, None, &self.lease)
                .await
                .is_ok()
            {
                self.approvals.remove(&key);
            }
        }
    }
}
