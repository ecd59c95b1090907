//! Telling systemd how far the service is, where it asks for it (`Type=notify`). Nobody else is told.

use sd_notify::NotifyState;

/// It listens, and the first sync is under way.
pub(super) fn ready() {
    notify(&NotifyState::Ready);
}

/// It was told to stop.
pub(super) fn stopping() {
    notify(&NotifyState::Stopping);
}

fn notify(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, "systemd cannot be told how far the service is");
    }
}
