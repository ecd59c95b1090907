//! What people are told when a turn does not end in an answer.
//!
//! In our own words: what Letta or the model's provider says may hold what does not belong into a room. It is in the
//! log.

use letta_client::{Conflict, LettaError, LettaErrorKind, ProviderFailure, StopReason, TurnErrorKind};

use crate::turn::{Heard, TurnEnd};

/// The notice about a turn; `None` when it ended in an answer.
pub(crate) fn about(heard: &Heard, end: &TurnEnd, agent: &str) -> Option<String> {
    let (reason, error) = match end {
        TurnEnd::Ended { reason, error } => (reason, error),
        TurnEnd::Refused(error) => return Some(refused(error, agent)),
        TurnEnd::Unknown => {
            return Some(format!(
                "Letta lost track of this message. {agent} may have heard it, or not."
            ));
        }
        TurnEnd::Lost => {
            return Some(format!(
                "Letta lost this message each time it was sent. {agent} does not have it."
            ));
        }
    };
    if let Some(error) = error {
        return Some(match &error.kind {
            TurnErrorKind::Provider(failure) => provider(*failure).to_owned(),
            TurnErrorKind::PendingApproval => waits_already(agent),
            TurnErrorKind::Busy => busy(agent),
            TurnErrorKind::InvalidRequest => "Letta cannot take this.".to_owned(),
            _ => format!("Letta failed while {agent} was at work."),
        });
    }
    let has_text = !heard.text.trim().is_empty();
    match reason {
        StopReason::EndTurn | StopReason::ToolRule if has_text => None,
        // An agent may be done without a word, with what its tools did.
        StopReason::EndTurn | StopReason::ToolRule if !heard.tools.is_empty() => None,
        StopReason::EndTurn => Some(format!("{agent} gave no answer.")),
        StopReason::RequiresApproval => {
            Some(format!("{agent} waits for a decision that Letta did not name."))
        }
        StopReason::Cancelled => Some(format!("{agent} was stopped.")),
        StopReason::MaxSteps => Some(format!("{agent} was stopped: it took more steps than it may.")),
        StopReason::MaxTokensExceeded => Some(format!("{agent} was stopped: the answer became too long.")),
        StopReason::ContextWindowOverflow => {
            Some(provider(ProviderFailure::ContextWindowExceeded).to_owned())
        }
        StopReason::InsufficientCredits => Some(provider(ProviderFailure::InsufficientCredits).to_owned()),
        StopReason::LlmApiError => Some(provider(ProviderFailure::Other).to_owned()),
        reason => Some(format!(
            "{agent} stopped before it was done ({}).",
            reason.as_wire()
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
        LettaErrorKind::RateLimited => "Letta has too much to do.".to_owned(),
        _ if error.may_have_applied() => {
            format!("Letta did not answer. It is not known whether {agent} got the message.")
        }
        _ => format!("Letta cannot be reached, so {agent} did not get the message. Try again later."),
    }
}

fn provider(failure: ProviderFailure) -> &'static str {
    match failure {
        ProviderFailure::Authentication => "Letta's key for the language model is not valid.",
        ProviderFailure::InsufficientCredits => "There are no credits left for the language model.",
        ProviderFailure::RateLimit => "The language model has too much to do. Try again later.",
        ProviderFailure::BadRequest => "The language model refused the request.",
        ProviderFailure::ContextWindowExceeded => "The conversation is too long for the language model.",
        _ => "The language model failed. Try again later.",
    }
}

fn waits_already(agent: &str) -> String {
    format!("{agent} waits for a decision on an earlier tool call and takes no messages until it is made.")
}

fn busy(agent: &str) -> String {
    format!("{agent} is busy with something else and does not become free.")
}
