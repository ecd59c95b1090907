//! How much may be said in which time.

use std::{num::NonZeroU32, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use letta_client::AgentId;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::DeliveryLimits;

/// Who has used up what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exceeded {
    Sender,
    Room,
    Pair,
}

/// The budgets of senders, rooms and pairs of agents. They begin anew with the process.
#[derive(Debug)]
pub(super) struct Budgets {
    senders: DefaultKeyedRateLimiter<OwnedUserId>,
    rooms: DefaultKeyedRateLimiter<OwnedRoomId>,
    pairs: DefaultKeyedRateLimiter<(OwnedUserId, AgentId)>,
}

impl Budgets {
    pub(super) fn new(limits: &DeliveryLimits) -> Self {
        let minute = Quota::per_minute;
        Self {
            senders: RateLimiter::keyed(minute(limits.per_sender)),
            rooms: RateLimiter::keyed(minute(limits.per_room)),
            pairs: RateLimiter::keyed(in_ten_minutes(limits.per_pair)),
        }
    }

    /// Takes one message of a person out of the budgets.
    pub(super) fn take(&self, sender: &UserId, room: &RoomId) -> Result<(), Exceeded> {
        self.senders
            .check_key(&sender.to_owned())
            .map_err(|_| Exceeded::Sender)?;
        self.rooms.check_key(&room.to_owned()).map_err(|_| Exceeded::Room)
    }

    /// Takes one message of an agent to another out of the budgets.
    pub(super) fn take_between(&self, from: &UserId, to: &AgentId, room: &RoomId) -> Result<(), Exceeded> {
        self.pairs
            .check_key(&(from.to_owned(), to.clone()))
            .map_err(|_| Exceeded::Pair)?;
        self.rooms.check_key(&room.to_owned()).map_err(|_| Exceeded::Room)
    }

    /// Forgets who has not said anything for long.
    pub(super) fn shrink(&self) {
        self.senders.retain_recent();
        self.rooms.retain_recent();
        self.pairs.retain_recent();
    }
}

fn in_ten_minutes(count: NonZeroU32) -> Quota {
    let each = Duration::from_secs(600) / count.get();
    Quota::with_period(each).map_or_else(|| Quota::per_minute(count), |quota| quota.allow_burst(count))
}

#[cfg(test)]
mod tests {
    use ruma::{room_id, user_id};

    use super::*;

    fn two() -> NonZeroU32 {
        NonZeroU32::new(2).unwrap()
    }

    #[test]
    fn senders_rooms_and_pairs_have_budgets_of_their_own() {
        let limits = DeliveryLimits {
            per_sender: two(),
            per_room: NonZeroU32::new(5).unwrap(),
            per_pair: two(),
            ..DeliveryLimits::default()
        };
        let budgets = Budgets::new(&limits);
        let (ann, bob, cat) = (
            user_id!("@ann:x.test"),
            user_id!("@bob:x.test"),
            user_id!("@cat:x.test"),
        );
        let (one, two) = (room_id!("!one:x.test"), room_id!("!two:x.test"));
        assert_eq!(budgets.take(ann, one), Ok(()));
        assert_eq!(budgets.take(ann, one), Ok(()));
        assert_eq!(budgets.take(ann, two), Err(Exceeded::Sender));
        assert_eq!(budgets.take(bob, one), Ok(()));
        let agent = AgentId::new("agent-1");
        assert_eq!(budgets.take_between(cat, &agent, one), Ok(()));
        assert_eq!(budgets.take_between(cat, &agent, one), Ok(()));
        assert_eq!(budgets.take_between(cat, &agent, two), Err(Exceeded::Pair));
        assert_eq!(budgets.take(bob, one), Err(Exceeded::Room));
        assert_eq!(budgets.take_between(bob, &agent, two), Ok(()));
    }
}
