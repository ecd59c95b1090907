//! The space of the Python bridge. It was made by an account of that bridge, so that ours may have no power in it.

use std::collections::HashSet;

use matrix_client::{Event, Session};
use ruma::{OwnedRoomId, RoomId, UserId};
use serde::Serialize;
use serde_json::Value;
use store::{Lease, SpaceRecord};

use super::of_general;
use crate::{
    Reconciler, SPACE_MARKER, SyncError,
    apply::{StepError, room::is_shut_out, state::RoomState},
};

/// What became of the space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SpaceImport {
    /// It is ours from now on.
    Adopted {
        /// The space.
        room_id: OwnedRoomId,
    },
    /// It was ours before.
    Unchanged {
        /// The space.
        room_id: OwnedRoomId,
    },
    /// It stays as it is. The next sync makes another one and moves the rooms there.
    NotAdopted {
        /// The space.
        room_id: OwnedRoomId,
        /// What is in the way.
        problem: SpaceProblem,
    },
}

/// Why a space cannot be ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SpaceProblem {
    /// We have one already.
    OtherSpace {
        /// Ours.
        ours: OwnedRoomId,
    },
    /// The bridge's own user is not in it, and not invited.
    NotIn,
    /// It is no space.
    NotASpace,
    /// It was replaced by another one.
    Replaced {
        /// By which.
        by: OwnedRoomId,
    },
    /// The bridge's own user has too little power in it.
    NoPower {
        /// What it has.
        has: i64,
        /// What keeping the space takes.
        needs: i64,
    },
    /// The alias of our space points to another room.
    AliasElsewhere {
        /// To which.
        to: OwnedRoomId,
    },
    /// The homeserver failed when it was asked; importing again may help.
    Unanswered {
        /// What it said.
        error: String,
    },
}

impl Reconciler {
    /// Takes over the space, if the bridge's own user can keep it. Joins it if invited; otherwise only reads. Writes
    /// only with a lease.
    pub(super) async fn import_space(
        &self,
        lease: Option<&Lease>,
        space: &OwnedRoomId,
    ) -> Result<SpaceImport, SyncError> {
        let room_id = space.clone();
        let ours = self.store.get_space().await.map_err(SyncError::of_store)?;
        if let Some(ours) = ours {
            return Ok(if ours.room_id == *space {
                SpaceImport::Unchanged { room_id }
            } else {
                let problem = SpaceProblem::OtherSpace { ours: ours.room_id };
                SpaceImport::NotAdopted { room_id, problem }
            });
        }
        let problem = match self.space_problem(space, lease.is_some()).await {
            Ok(problem) => problem,
            Err(error) if error.is_general() => return Err(of_general(error)),
            Err(error) => Some(SpaceProblem::Unanswered {
                error: error.sentence(),
            }),
        };
        if let Some(problem) = problem {
            return Ok(SpaceImport::NotAdopted { room_id, problem });
        }
        if let Some(lease) = lease {
            let record = SpaceRecord::found(room_id.clone(), self.clock.now());
            let written = self.store.put_space(&record, lease).await;
            written.map_err(SyncError::of_store)?;
        }
        Ok(SpaceImport::Adopted { room_id })
    }

    async fn space_problem(&self, space: &RoomId, may_join: bool) -> Result<Option<SpaceProblem>, StepError> {
        let bot = self.accounts.session(self.accounts.bot()).await;
        let bot = bot.map_err(StepError::Account)?;
        let Some(state) = self.space_state(&bot, space, may_join).await? else {
            return Ok(Some(SpaceProblem::NotIn));
        };
        let view = RoomState(&state);
        if !view.is_space() {
            return Ok(Some(SpaceProblem::NotASpace));
        }
        if let Some(by) = view.successor() {
            return Ok(Some(SpaceProblem::Replaced { by }));
        }
        let (has, needs) = (power_of(&view, &bot.user_id), needed_power(&view));
        if has < needs {
            return Ok(Some(SpaceProblem::NoPower { has, needs }));
        }
        let alias = self.config.space_alias().map_err(StepError::Names)?;
        match self.matrix.resolve_alias(&bot, &alias).await {
            Ok(to) if to != space => Ok(Some(SpaceProblem::AliasElsewhere { to })),
            Ok(_) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(StepError::Matrix(error)),
        }
    }

    /// The space's state; `None` if the bridge's own user is not in it.
    async fn space_state(
        &self,
        bot: &Session,
        space: &RoomId,
        may_join: bool,
    ) -> Result<Option<Vec<Event>>, StepError> {
        for is_second_look in [false, true] {
            match self.matrix.get_room_state(bot, space).await {
                Ok(state) if RoomState(&state).has_joined(&bot.user_id) => return Ok(Some(state)),
                Ok(_) => {}
                Err(error) if is_shut_out(error.kind()) => {}
                Err(error) => return Err(StepError::Matrix(error)),
            }
            if is_second_look || !may_join {
                break;
            }
            match self.matrix.join_room(bot, space.into(), &[]).await {
                Ok(_) => {}
                Err(error) if is_shut_out(error.kind()) => break,
                Err(error) => return Err(StepError::Matrix(error)),
            }
        }
        Ok(None)
    }
}

/// What is sent to a space to keep it.
const KEEPING: [&str; 5] = [
    "m.space.child",
    "m.room.name",
    "m.room.topic",
    "m.room.canonical_alias",
    SPACE_MARKER,
];

/// The power that keeping a space takes.
fn needed_power(view: &RoomState<'_>) -> i64 {
    let levels = view.content("m.room.power_levels", "");
    let level = |name: &str| levels.and_then(|levels| level(levels.get(name)?));
    let state_default = level("state_default").unwrap_or(if levels.is_some() { 50 } else { 0 });
    let of_event = |event_type: &&str| {
        levels
            .and_then(|levels| level_of_event(levels, event_type))
            .unwrap_or(state_default)
    };
    let sending = KEEPING.iter().map(of_event).max().unwrap_or(state_default);
    sending.max(level("invite").unwrap_or(0))
}

fn level_of_event(levels: &Value, event_type: &str) -> Option<i64> {
    level(levels.get("events")?.get(event_type)?)
}

/// The power that a user has in a room.
fn power_of(view: &RoomState<'_>, user: &UserId) -> i64 {
    let is_creator = creators(view).contains(user.as_str());
    if is_creator && creators_stand_above_all(view) {
        return i64::MAX;
    }
    match view.content("m.room.power_levels", "") {
        Some(levels) => levels
            .get("users")
            .and_then(|users| level(users.get(user.as_str())?))
            .or_else(|| level(levels.get("users_default")?))
            .unwrap_or(0),
        None if is_creator => 100,
        None => 0,
    }
}

fn creators<'a>(view: &'a RoomState<'_>) -> HashSet<&'a str> {
    let additional = view
        .content("m.room.create", "")
        .and_then(|create| create.get("additional_creators")?.as_array());
    let additional = additional.into_iter().flatten().filter_map(Value::as_str);
    view.creator()
        .map(UserId::as_str)
        .into_iter()
        .chain(additional)
        .collect()
}

/// From room version 12 on, creators have all power and are not among the power levels.
fn creators_stand_above_all(view: &RoomState<'_>) -> bool {
    view.content("m.room.create", "")
        .and_then(|create| create.get("room_version")?.as_str()?.parse().ok())
        .is_some_and(|version: u32| version >= 12)
}

/// Old rooms have levels as texts.
fn level(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}
