//! `GET /sync`

use std::time::Duration;

use axum::{Router, routing::get};
use matrix_client::fake::{FakeMatrix, SyncCall};

use super::ask::{Ask, Reply, Routes, reply};

pub(super) fn router() -> Router<FakeMatrix> {
    Routes::new().both("/sync", get(sync)).0
}

async fn sync(ask: Ask) -> Reply {
    let call = SyncCall {
        since: ask.query("since").map(ToOwned::to_owned),
        timeout: Duration::from_millis(ask.number("timeout")?.unwrap_or_default()),
        filter: ask.query("filter").map(ToOwned::to_owned),
        full_state: ask.flag("full_state"),
    };
    reply(ask.matrix.sync_as(&ask.credentials, &call).await?)
}
