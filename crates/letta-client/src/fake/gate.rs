//! What every call passes before it has its effect: the journal, the plan of faults, the network, the token.

use secrecy::ExposeSecret;
use serde_json::Value;

use super::{Access, Call, FakeLetta, Refusal, faults::Verdict};
use crate::{AgentId, LettaErrorKind, Result};

/// A call that was let through.
#[must_use = "a fault after the effect is in here"]
pub(super) struct Passage {
    after: Option<Refusal>,
    pub(super) break_stream_after: Option<usize>,
}

impl Passage {
    /// The answer, or the fault that swallows it.
    pub(super) fn answer<T>(self, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
        match self.after {
            Some(lost) => Err(lost),
            None => outcome,
        }
    }
}

impl FakeLetta {
    /// Lets a call in, or says why not.
    pub(super) async fn enter(
        &self,
        method: &'static str,
        agent: Option<&AgentId>,
        arguments: Value,
    ) -> Result<Passage, Refusal> {
        let Verdict {
            delay,
            gates,
            before,
            after,
            break_stream_after,
        } = {
            let mut state = self.state();
            let at = state.clock.now();
            state.record(Call {
                method,
                agent: agent.cloned(),
                arguments,
                at,
            });
            if !state.up {
                return Err(Refusal::of_kind(LettaErrorKind::Connect, None));
            }
            state.faults.take(method, agent)
        };
        let delay = delay + self.state().config.latency;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        for gate in gates {
            gate.pass().await;
        }
        if let Some(refusal) = before {
            return Err(refusal);
        }
        if !self.state().up {
            return Err(Refusal::of_kind(LettaErrorKind::Interrupted, None)
                .with_may_have_applied(super::faults::is_write(method)));
        }
        if method != "health" {
            self.authorise()?;
        }
        Ok(Passage {
            after,
            break_stream_after,
        })
    }

    /// Whether this handle may call the server.
    fn authorise(&self) -> Result<(), Refusal> {
        let state = self.state();
        let Some(wanted) = &state.config.token else {
            return Ok(());
        };
        let right = match &self.access {
            Access::Owner => true,
            Access::Token(None) => false,
            Access::Token(Some(token)) => token.expose_secret() == wanted.expose_secret(),
        };
        if right {
            Ok(())
        } else {
            Err(Refusal::of_kind(LettaErrorKind::Unauthorized, None))
        }
    }
}
