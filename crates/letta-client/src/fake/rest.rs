//! The REST API `v1` on the model, for whoever serves the fake over HTTP: JSON in, JSON or events out.

mod agents;
mod conversations;
mod turns;

use serde_json::Value;

use super::{FakeLetta, Refusal};

pub use self::turns::{EventStream, Sent};
pub use super::{
    cancel::CancelledRun,
    event::StreamEvent,
    history::{InConversation, Stretch},
    request::{ClientTool, Decision, InputMessage, InputRole, Target, TurnRequest},
};

/// An answer: the JSON of a 200, or the server's refusal with its status and body.
pub type Answer = Result<Value, Refusal>;

/// A [`FakeLetta`] as its REST API shows it. Made by [`FakeLetta::rest`].
///
/// Every call passes the plan of faults, the journal and the token of the handle like those of the trait, under the
/// names of the trait's methods. Give each request the token it came with: `letta.presenting(token).rest()`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use letta_client::fake::{FakeLetta, ListAgents};
///
/// let letta = FakeLetta::with_test_agents();
/// let listed = letta.rest().list_agents(&ListAgents::default()).await.unwrap();
/// assert_eq!(listed[2]["name"], "Agent Alpha");
///
/// let refusal = letta.rest().get_agent(&"agent-003".into(), Default::default()).await.unwrap_err();
/// assert_eq!(refusal.status(), Some(404));
/// assert_eq!(refusal.body()["detail"], "Agent with ID agent-003 not found");
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Rest {
    letta: FakeLetta,
}

impl FakeLetta {
    /// The REST view of this handle.
    #[must_use]
    pub fn rest(&self) -> Rest {
        Rest { letta: self.clone() }
    }
}

impl Rest {
    /// `GET /v1/health/`. Needs no token.
    ///
    /// # Errors
    /// Planned faults.
    pub async fn health(&self) -> Answer {
        let passage = self.letta.enter("health", None, Value::Null).await?;
        let version = self.letta.state().config.version.clone();
        passage.answer(Ok(serde_json::json!({ "version": version, "status": "ok" })))
    }
}
