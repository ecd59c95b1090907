//! Messages of before: changed, taken back, tried again.

use std::time::Duration;

use matrix_client::{Event, content};
use ruma::{EventId, OwnedEventId, UserId};
use store::NewDelivery;

use super::{
    dispatch::{Plan, Result, Scene},
    engine::Engine,
};
use crate::{
    decision::{self, Decision},
    delivery::{
        Outcome,
        record::{Record, Step, Task},
    },
};

impl Engine {
    /// A message that nobody heard yet gets its new text.
    pub(super) async fn replace(
        &mut self,
        scene: &Scene<'_>,
        original: &EventId,
        editor: &UserId,
        new_content: serde_json::Value,
    ) -> Result<Plan> {
        let Some(known) = self.parts.store.get_event(original).await? else {
            return Ok(Plan::nothing("ignored: an edit of a message that never came in"));
        };
        if known.arrival.sender != editor {
            return Ok(Plan::nothing("ignored: an edit by somebody else"));
        }
        let Ok(mut edited) = serde_json::from_str::<Event>(&known.arrival.event) else {
            return Ok(Plan::nothing("ignored: an edit of what cannot be read"));
        };
        edited.content = new_content;
        let decision = decision::decide(
            &edited,
            scene.room.as_ref(),
            &self.rooms.own,
            &self.config.rights,
            &self.config.defaults,
            &self.config.limits,
            Duration::ZERO,
        );
        let messages = match decision {
            Decision::Forward(messages) => messages,
            _ => Vec::new(),
        };
        let mut replaced = 0;
        for mut delivery in self.parts.store.list_deliveries_of(original).await? {
            if !self.waits(&delivery) {
                continue;
            }
            let Ok(mut record) = Record::read(&delivery) else {
                continue;
            };
            let Some(message) = messages
                .iter()
                .find(|message| message.agent == delivery.of.agent_id)
            else {
                continue;
            };
            record.task = Task::Message(Box::new(message.clone()));
            delivery.of.record = record.write();
            delivery.updated_at = self.parts.clock.now();
            self.parts.store.put_delivery(&delivery, &self.lease).await?;
            replaced += 1;
        }
        Ok(Plan::nothing(match replaced {
            0 => "ignored: an edit of a message that was heard already",
            _ => "the message that it edits has its new text",
        }))
    }

    fn waits(&self, delivery: &store::Delivery) -> bool {
        let worker = delivery.of.agent_id.as_str();
        delivery.is_open && !delivery.of.lane.starts_with('!') && !self.lanes.is_at_work(worker, delivery.id)
    }

    /// A message that was taken back is not delivered; what an agent does because of it ends.
    pub(super) async fn take_back(&mut self, original: &EventId) -> Result<Plan> {
        let mut done = Vec::new();
        for mut delivery in self.parts.store.list_deliveries_of(original).await? {
            let worker = delivery.of.agent_id.to_string();
            if self.waits(&delivery) {
                let Ok(mut record) = Record::read(&delivery) else {
                    continue;
                };
                record.step = Step::Done {
                    outcome: Outcome::TakenBack,
                };
                delivery.is_open = false;
                delivery.of.record = record.write();
                delivery.updated_at = self.parts.clock.now();
                self.parts.store.put_delivery(&delivery, &self.lease).await?;
                self.drop_waiting(&worker, delivery.id);
                done.push("a message that waited is not delivered");
            } else if self.lanes.is_at_work(&worker, delivery.id) {
                self.cancel(delivery.of.agent_id.clone(), delivery.of.lane.clone());
                done.push("the agent is stopped");
            }
        }
        Ok(Plan::nothing(match done.first() {
            Some(done) => format!("taken back: {done}"),
            None => "ignored: nothing waits for what was taken back".to_owned(),
        }))
    }

    /// Answers a message again that failed.
    pub(super) async fn retry(&mut self, scene: &Scene<'_>, target: Option<OwnedEventId>) -> Result<Plan> {
        let nothing = "There is nothing here to try again.";
        let target = match target {
            Some(target) => Some(self.question_of(scene, target).await?),
            None => self.failed.get(scene.room_id).cloned(),
        };
        let Some(target) = target else {
            return Ok(self.told(scene, None, "nothing to try again", nothing));
        };
        let mut plan = Plan::nothing("tried again");
        let known = self.parts.store.list_deliveries_of(&target).await?;
        let agents: std::collections::BTreeSet<_> =
            known.iter().map(|delivery| &delivery.of.agent_id).collect();
        for agent in agents {
            let last = known.iter().rfind(|delivery| delivery.of.agent_id == *agent);
            let Some(last) = last.filter(|delivery| !delivery.is_open) else {
                continue;
            };
            let Ok(mut record) = Record::read(last) else {
                continue;
            };
            if !matches!(record.task, Task::Message(_)) || !is_to_be_retried(&record.step) {
                continue;
            }
            record.step = Step::Queued;
            record.posts.clear();
            record.asks = None;
            plan.deliveries.push(NewDelivery {
                attempt: last.of.attempt + 1,
                record: record.write(),
                ..last.of.clone()
            });
        }
        if plan.deliveries.is_empty() {
            // A reaction is no question.
            return Ok(if scene.event.event_type.to_string() == "m.reaction" {
                Plan::nothing("nothing to try again")
            } else {
                self.told(scene, None, "nothing to try again", nothing)
            });
        }
        Ok(plan)
    }

    /// The message that somebody means: it, or the one that a notice of ours speaks of.
    async fn question_of(&self, scene: &Scene<'_>, target: OwnedEventId) -> Result<OwnedEventId> {
        if !self.parts.store.list_deliveries_of(&target).await?.is_empty() {
            return Ok(target);
        }
        let agent = self.speaker(scene, None);
        let Some(stage) = self.stage_of(scene.room_id, &agent) else {
            return Ok(target);
        };
        Ok(match stage.get_event_patiently(&target).await {
            Ok(event) => content::replied_to(&event.content).map_or(target, ToOwned::to_owned),
            Err(_) => target,
        })
    }
}

fn is_to_be_retried(step: &Step) -> bool {
    matches!(
        step,
        Step::Done {
            outcome: Outcome::Failed { .. } | Outcome::Stopped | Outcome::Undeliverable { .. }
        }
    )
}
