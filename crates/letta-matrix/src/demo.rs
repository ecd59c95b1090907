//! `letta-matrix demo`: a Letta server, a homeserver and the bridge in one process, and a person to talk with agents.
//!
//! The servers are the fakes; everything between them is what runs in front of real ones.

mod bridge;
mod person;
mod servers;
mod talk;

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    sync::Arc,
};

use clap::Args;
use store_sqlite::SqliteStore;

use self::{bridge::DemoBridge, person::Person, servers::Servers, talk::Talk};
use crate::{
    failure::{Failure, plain},
    output::{Out, one_line},
    signals::Stop,
};

/// Try it: a Letta server with agents, a homeserver and the bridge inside this program
///
/// Nothing is installed and nothing is left behind. A line is a message; /help tells the rest. Reads piped input
/// too: each line is answered in order.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Serve the homeserver over HTTP at this address, for a Matrix client of yours, and the Letta server at the next
    /// port
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// Runs the demo until the person has enough.
pub(crate) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let stop = Stop::listen();
    let out = Out::new(io::stdout().is_terminal() && io::stdin().is_terminal());
    let servers = Servers::start().await.map_err(|error| inside(&*error))?;
    let served = match args.listen {
        Some(address) => Some(servers.serve(address).await.map_err(|error| {
            Failure::new(format!("cannot serve at {address}: {}", plain(&error)))
                .advice("Give --listen another address; with port 0 a free one is chosen.")
        })?),
        None => None,
    };
    let folder = tempfile::tempdir()
        .map_err(|error| Failure::new(format!("cannot make a folder: {}", plain(&error))))?;
    let store = SqliteStore::open(&folder.path().join("state.db"))
        .await
        .map_err(|error| inside(&error))?;
    let mut bridge = DemoBridge::new(&servers, Arc::new(store.clone()));

    out.line("A Letta server and a homeserver run inside this program. Bringing the agents home …")?;
    let report = bridge.sync().await.map_err(|error| inside(&error))?;
    let person = Person::join_everything(&servers)
        .await
        .map_err(|error| inside(&error))?;
    for room in bridge.rooms() {
        out.line(&format!(
            "  {}  {}  {}",
            one_line(&room.agent_name, 40),
            room.agent_user,
            room.room_id
        ))?;
    }
    out.line(&format!(
        "{} users and {} rooms in the space \"Letta Agents\", {} Matrix requests, {} to Letta.",
        report.users_created, report.rooms_created, report.requests.matrix, report.requests.letta
    ))?;
    let again = bridge.sync().await.map_err(|error| inside(&error))?;
    out.line(&format!(
        "The same again: nothing to do, {} Matrix requests.",
        again.requests.matrix
    ))?;
    if let Some(served) = &served {
        out.line(&served.invitation())?;
    }
    out.line("")?;

    let talk = Talk::new(out, &servers, bridge, person)?;
    let ended = tokio::select! {
        ended = Box::pin(talk.run()) => ended,
        _ = stop.requested() => out.line(""),
    };
    store.close().await;
    ended
}

/// A failure inside of the demo. Nothing that the operator chose can be the reason.
fn inside(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new("the demo failed")
        .caused_by(error)
        .advice("This is a mistake of ours. Please report it.")
}
