//! Coming into rooms and leaving them.

use super::{
    Interrupted, Work,
    record::{Outcome, Step},
};
use crate::stage::StageError;

/// The pause between two tries.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(5);

impl Work<'_> {
    /// Takes an invitation up.
    pub(super) async fn join(&mut self) -> Result<(), Interrupted> {
        let stage = self.setting.stage.clone();
        let stage = &stage;
        let joined = until_known(|| {
            stage.as_user(|session| async move {
                let room = (&*stage.room_id).into();
                stage.matrix.join_room(&session, room, &[]).await.map(drop)
            })
        })
        .await;
        if let Err(error) = joined {
            tracing::info!(cause = error.cause(), "an invitation could not be taken up");
        }
        self.over().await
    }

    /// Declines an invitation.
    pub(super) async fn leave(&mut self) -> Result<(), Interrupted> {
        let stage = self.setting.stage.clone();
        let stage = &stage;
        let left = until_known(|| {
            stage.as_user(|session| async move {
                let reason = Some("Whoever invited this agent may not talk with it.");
                stage.matrix.leave_room(&session, &stage.room_id, reason).await
            })
        })
        .await;
        if let Err(error) = left {
            tracing::info!(cause = error.cause(), "an invitation could not be declined");
        }
        self.over().await
    }

    async fn over(&mut self) -> Result<(), Interrupted> {
        self.delivery.is_open = false;
        self.step(Step::Done {
            outcome: Outcome::Told,
        })
        .await
    }
}

/// Tries until it is done or refused for good.
async fn until_known<F>(call: impl Fn() -> F) -> Result<(), StageError>
where
    F: Future<Output = Result<(), StageError>>,
{
    loop {
        match call().await {
            Err(error) if error.is_retryable() => {
                tokio::time::sleep(error.retry_after().unwrap_or(PAUSE)).await;
            }
            known => return known,
        }
    }
}
