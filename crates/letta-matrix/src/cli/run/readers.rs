//! Whose rooms are read, where nobody pushes.

use std::{collections::BTreeSet, sync::Arc};

use agent_sync::ServiceStatus;
use matrix_client::ruma::OwnedUserId;
use store::{Lifecycle, Store};
use tokio::sync::watch;

/// Keeps the set of agents' users up to date: after each sync it is read again.
pub(super) async fn keep(
    users: watch::Sender<BTreeSet<OwnedUserId>>,
    mut status: watch::Receiver<ServiceStatus>,
    store: Arc<dyn Store>,
) {
    loop {
        match store.list_bindings().await {
            Ok(bindings) => {
                let known = bindings
                    .into_iter()
                    .filter(|binding| {
                        binding.user_registered && !matches!(binding.lifecycle, Lifecycle::Archived { .. })
                    })
                    .map(|binding| binding.user_id)
                    .collect();
                users.send_if_modified(|users| {
                    let is_new = *users != known;
                    *users = known;
                    is_new
                });
            }
            Err(error) => tracing::warn!(%error, "it cannot be read whose rooms are to be read"),
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}
