//! Tool calls that wait for a person.

use super::{
    failure::Failure,
    message::{Body, Decision, Message},
    refusal::{Refusal, row_not_found},
    state::State,
};
use crate::{AgentId, ApprovalId, ApprovalRequest, ToolCall, ToolCallId, ToolStatus};

/// What the server says to an agent whose approval was answered already.
pub(super) const KEEP_ALIVE: &str = "<system-alert>Automated keep-alive ping. Ignore this message and continue from where you stopped.</system-alert>";

/// The reason that calls are denied with when their run is cancelled.
pub(super) const DENIED_BY_CANCEL: &str = "The user cancelled the request, so the tool call was denied.";

/// How far back the server looks for the answer to a call that is decided again.
const RECENT: usize = 10;

/// What becomes of decisions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reception {
    /// They are what the agent waits for.
    Expected,
    /// They were taken before: the agent is told to go on.
    Repeated,
}

/// Looks at decisions in the light of what the agent waits for. `context` is oldest first.
pub(super) fn receive(context: &[&Message], decisions: &[Decision]) -> Result<Reception, Failure> {
    let received: Vec<&ToolCallId> = decisions.iter().map(Decision::call).collect();
    let Some(request) = context.last().filter(|message| waits(message)) else {
        let repeated =
            context.iter().rev().take(RECENT).any(
                |message| matches!(&message.body, Body::ToolReturn(answer) if received == [&answer.call]),
            );
        return if repeated {
            Ok(Reception::Repeated)
        } else {
            Err(Failure::Invalid(
                "Cannot process approval response: No tool call is currently awaiting approval. Please send a regular \
                 message to interact with the agent."
                    .to_owned(),
            ))
        };
    };
    let expected: Vec<&ToolCallId> = calls(request).iter().map(|call| &call.id).collect();
    if decisions.is_empty() {
        return Err(Failure::Invalid(
            "Invalid approval response. Approval response message does not contain any approvals.".to_owned(),
        ));
    }
    let same =
        expected.iter().all(|id| received.contains(id)) && received.iter().all(|id| expected.contains(id));
    // The old form names the request instead of the call.
    let old_form = expected.len() == 1 && received.first().is_some_and(|id| id.as_str() == request.id);
    if same || old_form {
        Ok(Reception::Expected)
    } else {
        Err(Failure::Invalid(format!(
            "Invalid tool call IDs. Expected '{}', but received '{}'.",
            python_list(&expected),
            python_list(&received)
        )))
    }
}

/// Whether this message is a request for approval.
pub(super) fn waits(message: &Message) -> bool {
    matches!(message.body, Body::ApprovalRequest { .. })
}

/// The calls of a request for approval.
pub(super) fn calls(message: &Message) -> &[ToolCall] {
    match &message.body {
        Body::ApprovalRequest { calls, .. } => calls,
        _ => &[],
    }
}

/// What the agent reads of a call that was denied.
pub(super) fn denial(reason: Option<&str>) -> String {
    let reason = reason.unwrap_or("None");
    format!("Error: request to call tool denied. User reason: {reason}")
}

/// A list of ids as Python prints it.
fn python_list(ids: &[&ToolCallId]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
    format!("[{}]", ids.join(", "))
}

impl State {
    /// The message with which the agent's default conversation waits for a decision.
    pub(super) fn pending(&self, agent: &AgentId) -> Option<&Message> {
        let context = &self.agents.iter().find(|record| record.id == *agent)?.context;
        self.messages
            .get(context.last()?)
            .filter(|message| waits(message))
    }

    /// The same, as the trait speaks of it.
    pub(super) fn pending_approval(&self, agent: &AgentId) -> Option<ApprovalRequest> {
        let message = self.pending(agent)?;
        Some(ApprovalRequest {
            id: ApprovalId::new(message.id.clone()),
            calls: calls(message).to_vec(),
        })
    }

    /// Sets whether a tool of the agent asks first. The server does not look whether the agent has such a tool, and the
    /// agent's time of change stays.
    pub(super) fn set_tool_approval(
        &mut self,
        id: &AgentId,
        tool: &str,
        required: bool,
    ) -> Result<(), Refusal> {
        self.check_agent_id(id)?;
        let agent = self
            .agent_mut(id)
            .map_err(|_| row_not_found("Agent", id.as_str()))?;
        let was = agent.approval_rules.iter().any(|rule| rule == tool);
        match (was, required) {
            (true, false) => agent.approval_rules.retain(|rule| rule != tool),
            (false, true) => agent.approval_rules.push(tool.to_owned()),
            _ => {}
        }
        Ok(())
    }

    /// Denies what the agent's default conversation waits for, because its run was cancelled.
    pub(super) fn deny_pending(&mut self, agent: &AgentId, run: &crate::RunId) {
        let Some(request) = self.pending(agent).cloned() else {
            return;
        };
        let mut ids = self.ids.child(&format!("cancel {}", request.id));
        let date = self.clock.now();
        let message = |id: String, body: Body| Message {
            id,
            agent: agent.clone(),
            conversation: None,
            run: Some(run.clone()),
            step: request.step.clone(),
            otid: None,
            date,
            name: None,
            sender: None,
            body,
        };
        let decisions = calls(&request).iter().map(|call| Decision::Approval {
            call: call.id.clone(),
            approve: false,
            reason: Some(DENIED_BY_CANCEL.to_owned()),
        });
        let mut new = vec![message(
            ids.next("message"),
            Body::ApprovalResponse(decisions.collect()),
        )];
        for call in calls(&request) {
            new.push(message(
                ids.next("message"),
                Body::ToolReturn(super::message::ToolReturn {
                    call: call.id.clone(),
                    status: ToolStatus::Error,
                    output: denial(Some(DENIED_BY_CANCEL)),
                    sandboxed: false,
                }),
            ));
        }
        for message in new {
            if let Ok(agent) = self.agent_mut(agent) {
                agent.context.push(message.id.clone());
            }
            self.messages.save(message);
        }
    }
}
