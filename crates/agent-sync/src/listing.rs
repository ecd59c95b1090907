//! Which agents Letta has: all of them, or those that changed since the last run.

use jiff::{SignedDuration, Timestamp};
use letta_client::{
    Agent, AgentInclude, AgentListing, AgentOrder, AgentQuery, Direction, LettaApi, LettaApiExt, LettaError,
};
use serde::Serialize;
use store::{Binding, Lifecycle, ListingMark, SyncProgress};

use crate::SyncConfig;

/// How many agents are asked for in one request. Letta answers a thousand in half a second. Up to this many, a full
/// listing is one request, and asking for changes would be two.
pub(crate) const PAGE: u32 = 500;

/// Letta dates a change before it lets others see it: a change may turn up behind one that is later by its date.
const LATECOMERS: SignedDuration = SignedDuration::from_secs(30);

/// After that long, none does. Much longer than a transaction takes, to allow for clocks that differ.
const SETTLING: SignedDuration = SignedDuration::from_mins(5);

/// How the agents were listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListingKind {
    /// All of them.
    Full,
    /// Those that changed since the last run; the count showed that no other came or went.
    Changes,
}

/// What Letta said.
#[derive(Debug)]
pub(crate) struct Discovery {
    pub(crate) kind: ListingKind,
    pub(crate) agents: Vec<Agent>,
    pub(crate) complete: bool,
    /// How many agents there are, listed or not.
    pub(crate) total: usize,
    /// Where the next listing can begin.
    pub(crate) mark: Option<ListingMark>,
}

/// What decides how to list.
pub(crate) struct Known<'a> {
    pub(crate) bindings: &'a [Binding],
    pub(crate) progress: &'a SyncProgress,
    pub(crate) fingerprint: String,
    pub(crate) now: Timestamp,
    /// Every agent is needed, whatever changed.
    pub(crate) all: bool,
}

/// Lists the agents, by their changes where that is enough.
pub(crate) async fn discover(
    letta: &dyn LettaApi,
    config: &SyncConfig,
    known: &Known<'_>,
) -> Result<Discovery, LettaError> {
    if let Some(mark) = usable_mark(config, known)
        && let Some(discovery) = changes(letta, config, known, mark).await?
    {
        return Ok(discovery);
    }
    everything(letta, config, known).await
}

/// The mark of the last listing, if asking for what changed since is enough.
fn usable_mark<'a>(config: &SyncConfig, known: &'a Known<'_>) -> Option<&'a ListingMark> {
    let mark = known.progress.listing.as_ref()?;
    let age = known.now.duration_since(mark.listed_at).unsigned_abs();
    let is_enough = !known.all
        && mark.count > u64::from(PAGE)
        && mark.config == known.fingerprint
        && age < config.full_listing_interval
        // Of an agent that failed, is missing or came back, more must be known than what changed.
        && known.bindings.iter().all(is_settled);
    is_enough.then_some(mark)
}

fn is_settled(binding: &Binding) -> bool {
    binding.last_error.is_none()
        && match binding.lifecycle {
            Lifecycle::Active => binding.room_id.is_some() && binding.room.space_id.is_some(),
            Lifecycle::Archived { .. } => true,
            Lifecycle::Missing { .. } => false,
        }
}

/// What changed since the mark; `None` when the count says that agents came or went unseen.
async fn changes(
    letta: &dyn LettaApi,
    config: &SyncConfig,
    known: &Known<'_>,
    mark: &ListingMark,
) -> Result<Option<Discovery>, LettaError> {
    let count = letta.count_agents().await?;
    let since = if mark.settled {
        mark.updated_at
    } else {
        mark.updated_at - LATECOMERS
    };
    let listing = letta.list_agents_updated_since(since, &query(config)).await?;
    let newcomers = listing
        .agents
        .iter()
        .filter(|agent| {
            known
                .bindings
                .binary_search_by(|binding| binding.agent_id.cmp(&agent.id))
                .is_err()
        })
        .filter(|agent| config.select.contains(agent))
        .count() as u64;
    // Whoever is new among the changed explains a higher count; anything else needs a look at all of them.
    if !listing.is_complete() || count != mark.count + newcomers {
        return Ok(None);
    }
    let updated_at = listing
        .newest_update
        .map_or(mark.updated_at, |newest| newest.max(mark.updated_at));
    Ok(Some(Discovery {
        kind: ListingKind::Changes,
        complete: true,
        total: usize::try_from(count).unwrap_or(usize::MAX),
        mark: Some(ListingMark {
            updated_at,
            settled: is_settled_at(updated_at, known.now),
            count,
            ..mark.clone()
        }),
        agents: listing.agents,
    }))
}

async fn everything(
    letta: &dyn LettaApi,
    config: &SyncConfig,
    known: &Known<'_>,
) -> Result<Discovery, LettaError> {
    // Read before the first page: whatever changes from now on is later.
    let newest = if known.bindings.len() > PAGE as usize {
        newest_update(letta).await?
    } else {
        None
    };
    let listing = letta.list_all_agents(&query(config)).await?;
    if !listing.is_complete() {
        // The report tells it to people.
        tracing::debug!(cause = ?listing.completeness, "the listing of agents is incomplete");
    }
    let mark = full_mark(letta, known, newest, &listing).await;
    Ok(Discovery {
        kind: ListingKind::Full,
        complete: listing.is_complete(),
        total: listing.agents.len(),
        mark,
        agents: listing.agents,
    })
}

/// When any agent changed last.
async fn newest_update(letta: &dyn LettaApi) -> Result<Option<Timestamp>, LettaError> {
    let query = AgentQuery {
        limit: 1,
        order_by: AgentOrder::UpdatedAt,
        direction: Direction::Descending,
        ..AgentQuery::default()
    };
    let page = letta.list_agents(&query).await?;
    Ok(page.agents.first().and_then(|agent| agent.updated_at))
}

/// Where the next listing can begin. Only asked for where there are so many agents that it pays.
async fn full_mark(
    letta: &dyn LettaApi,
    known: &Known<'_>,
    newest: Option<Timestamp>,
    listing: &AgentListing,
) -> Option<ListingMark> {
    if !listing.is_complete() || listing.agents.len() <= PAGE as usize {
        return None;
    }
    // What changed while the pages were read may have been seen as it was before. A mark of the first page is earlier
    // than all of that.
    let updated_at = newest.or(listing.newest_update)?;
    let count = match letta.count_agents().await {
        Ok(count) => count,
        Err(error) => {
            tracing::debug!(%error, "the agents cannot be counted, so the next run lists them all");
            return None;
        }
    };
    Some(ListingMark {
        updated_at,
        settled: is_settled_at(updated_at, known.now),
        count,
        listed_at: known.now,
        config: known.fingerprint.clone(),
    })
}

/// Whether a change is so old that none before it can turn up any more, even if Letta's clock is not quite ours.
fn is_settled_at(updated_at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(updated_at) >= SETTLING
}

fn query(config: &SyncConfig) -> AgentQuery {
    AgentQuery {
        limit: PAGE,
        include: AgentInclude {
            tags: config.select.needs_tags(),
            ..AgentInclude::default()
        },
        ..AgentQuery::default()
    }
}
