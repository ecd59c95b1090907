//! What people are told when a turn does not end in an answer.
//!
//! In our own words: what Letta or the model's provider says may hold what does not belong into a room. It is in the
//! log.

use letta_client::{Conflict, LettaError, LettaErrorKind, ProviderFailure, StopReason, TurnErrorKind};

use crate::turn::{Turn, TurnEnd};

/// The notice about a turn; `None` when it ended in an answer.
pub(crate) fn about(turn: &Turn, agent: &str) -> Option<String> {
    match &turn.end {
        TurnEnd::Ended {
            error: Some(error), ..
        } => Some(match &error.kind {
            TurnErrorKind::Provider(failure) => provider(*failure).to_owned(),
            TurnErrorKind::PendingApproval => waits_already(agent),
            TurnErrorKind::Busy => busy(agent),
            _ => format!("Letta failed while {agent} was at work. Please try again."),
        }),
        TurnEnd::Ended {
            reason: StopReason::RequiresApproval,
            approval,
            ..
        } => {
            let tools: Vec<&str> = approval
                .iter()
                .flat_map(|request| &request.calls)
                .map(|call| call.name.as_str())
                .collect();
            Some(format!(
                "{agent} wants to use {} and waits for a decision, which cannot be made from here yet.",
                if tools.is_empty() {
                    "a tool".to_owned()
                } else {
                    tools.join(", ")
                },
            ))
        }
        TurnEnd::Ended {
            reason: StopReason::EndTurn,
            ..
        } if turn.text.trim().is_empty() => Some(format!("{agent} gave no answer.")),
        TurnEnd::Ended {
            reason: StopReason::EndTurn,
            ..
        } => None,
        TurnEnd::Ended {
            reason: StopReason::Cancelled,
            ..
        } => Some(format!("{agent} was stopped.")),
        TurnEnd::Ended {
            reason: StopReason::MaxSteps,
            ..
        } => Some(format!("{agent} was stopped: it took more steps than it may.")),
        TurnEnd::Ended {
            reason: StopReason::MaxTokensExceeded,
            ..
        } => Some(format!("{agent} was stopped: the answer became too long.")),
        TurnEnd::Ended {
            reason: StopReason::ContextWindowOverflow,
            ..
        } => Some(provider(ProviderFailure::ContextWindowExceeded).to_owned()),
        TurnEnd::Ended {
            reason: StopReason::InsufficientCredits,
            ..
        } => Some(provider(ProviderFailure::InsufficientCredits).to_owned()),
        TurnEnd::Ended {
            reason: StopReason::LlmApiError,
            ..
        } => Some(provider(ProviderFailure::Other).to_owned()),
        // An agent's tool rules may end a turn after it said all it had to say.
        TurnEnd::Ended {
            reason: StopReason::ToolRule,
            ..
        } if !turn.text.trim().is_empty() => None,
        TurnEnd::Ended { reason, .. } => Some(format!(
            "{agent} stopped before it was done ({}).",
            reason.as_wire()
        )),
        TurnEnd::Refused(error) => Some(refused(error, agent)),
        TurnEnd::Lost(_) | TurnEnd::Silent => Some(format!(
            "The connection to Letta broke while {agent} was at work: the rest of the answer is missing here."
        )),
    }
}

fn refused(error: &LettaError, agent: &str) -> String {
    match error.kind() {
        LettaErrorKind::Provider(failure) => provider(*failure).to_owned(),
        LettaErrorKind::Conflict(Conflict::PendingApproval { .. }) => waits_already(agent),
        LettaErrorKind::Conflict(_) => busy(agent),
        LettaErrorKind::NotFound => format!("{agent} no longer exists in Letta."),
        LettaErrorKind::Unauthorized | LettaErrorKind::Forbidden => {
            "Letta refuses the bridge's token. The people who run it must look at its log.".to_owned()
        }
        LettaErrorKind::InvalidRequest => "Letta cannot take this message.".to_owned(),
        LettaErrorKind::RateLimited => "Letta has too much to do. Please try again later.".to_owned(),
        _ if error.may_have_applied() => {
            format!("Letta did not answer. It is not known whether {agent} got the message.")
        }
        _ => format!("Letta cannot be reached, so {agent} did not get the message. Please try again later."),
    }
}

fn provider(failure: ProviderFailure) -> &'static str {
    match failure {
        ProviderFailure::Authentication => "Letta's key for the language model is not valid.",
        ProviderFailure::InsufficientCredits => "There are no credits left for the language model.",
        ProviderFailure::RateLimit => "The language model has too much to do. Please try again later.",
        ProviderFailure::BadRequest => "The language model refused the request.",
        ProviderFailure::ContextWindowExceeded => "The conversation is too long for the language model.",
        _ => "The language model failed. Please try again later.",
    }
}

fn waits_already(agent: &str) -> String {
    format!("{agent} waits for a decision on an earlier tool call and takes no messages until it is made.")
}

fn busy(agent: &str) -> String {
    format!("{agent} is busy with something else. Please try again.")
}
