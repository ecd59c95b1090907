//! Rate limits, as Synapse has them by default.

use std::{collections::BTreeMap, time::Duration};

use super::{
    homeserver::Homeserver,
    refusal::{Answer, Refusal},
    requester::Requester,
    settings::{RateLimits, Settings},
};

/// How many at once, and how many per second in the long run.
#[derive(Clone, Copy, Debug)]
struct Rate {
    per_second: f64,
    burst: f64,
}

const fn rate(per_second: f64, burst: f64) -> Rate {
    Rate { per_second, burst }
}

const MESSAGES: Rate = rate(0.2, 10.0);
const REGISTRATIONS: Rate = rate(0.17, 3.0);
const LOGINS: Rate = rate(0.003, 5.0);
const ROOM_CREATIONS: Rate = rate(0.016, 10.0);
const JOINS: Rate = rate(0.1, 10.0);
const JOINS_PER_ROOM: Rate = rate(1.0, 10.0);
const INVITES_PER_ROOM: Rate = rate(0.3, 10.0);
const INVITES_PER_USER: Rate = rate(0.003, 5.0);
const INVITES_PER_ISSUER: Rate = rate(0.3, 10.0);
const HIERARCHIES: Rate = rate(5.0, 10.0);

/// What was done how often since when.
#[derive(Debug, Default)]
pub(super) struct Limits {
    buckets: BTreeMap<(&'static str, String), Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    actions: f64,
    since: f64,
}

impl Limits {
    /// Counts an action, or only looks whether it would be allowed.
    fn check(&mut self, name: &'static str, key: &str, rate: Rate, now: Duration, count: bool) -> Answer<()> {
        let now = now.as_secs_f64();
        let key = (name, key.to_owned());
        let mut bucket = self.buckets.get(&key).copied().unwrap_or(Bucket {
            actions: 0.0,
            since: now,
        });
        let mut performed = bucket.actions - (now - bucket.since) * rate.per_second;
        if performed < 0.0 {
            (performed, bucket) = (
                0.0,
                Bucket {
                    actions: 0.0,
                    since: now,
                },
            );
        }
        if performed > rate.burst - 1.0 {
            let allowed_at = bucket.since + (bucket.actions - rate.burst + 1.0) / rate.per_second;
            return Err(Refusal::limit_exceeded(Duration::from_secs_f64(
                (allowed_at - now).max(0.001),
            )));
        }
        if count {
            bucket.actions += 1.0;
            self.buckets.insert(key, bucket);
        }
        Ok(())
    }

    fn is_off(settings: &Settings) -> bool {
        settings.rate_limits == RateLimits::None
    }

    pub(super) fn peek_registration(&mut self, settings: &Settings, now: Duration) -> Answer<()> {
        if Self::is_off(settings) {
            Ok(())
        } else {
            self.check("registration", "", REGISTRATIONS, now, false)
        }
    }

    pub(super) fn count_registration(&mut self, settings: &Settings, now: Duration) -> Answer<()> {
        if Self::is_off(settings) {
            Ok(())
        } else {
            self.check("registration", "", REGISTRATIONS, now, true)
        }
    }

    pub(super) fn check_login_address(&mut self, settings: &Settings, now: Duration) -> Answer<()> {
        if Self::is_off(settings) {
            Ok(())
        } else {
            self.check("login address", "", LOGINS, now, true)
        }
    }

    pub(super) fn check_login_account(
        &mut self,
        settings: &Settings,
        now: Duration,
        user_id: &str,
    ) -> Answer<()> {
        if Self::is_off(settings) {
            Ok(())
        } else {
            self.check("login account", user_id, LOGINS, now, true)
        }
    }
}

impl Homeserver {
    /// Whether limits bind this requester: not where an application service is free of them or an administrator
    /// lifted them.
    fn is_limited(&self, who: &Requester) -> bool {
        let free_appservice = self
            .speaker(who)
            .is_some_and(|appservice| !appservice.rate_limited);
        let account = self.accounts.users.get(&who.user_id);
        let lifted = account
            .and_then(|account| account.rate_limit)
            .is_some_and(|(per_second, _)| per_second == 0);
        !Limits::is_off(&self.settings) && !free_appservice && !lifted
    }

    fn limit(&mut self, name: &'static str, key: &str, rate: Rate, count: bool) -> Answer<()> {
        self.limits.check(name, key, rate, self.clock.elapsed(), count)
    }

    /// Messages, state and memberships share a bucket. The sender of an application service is never limited here.
    fn limit_messages(&mut self, who: &Requester, count: bool) -> Answer<()> {
        if !self.is_limited(who) || who.is_sender {
            return Ok(());
        }
        let account = self.accounts.users.get(&who.user_id);
        let own = account.and_then(|account| account.rate_limit);
        let rate = own.map_or(MESSAGES, |(per_second, burst)| {
            rate(per_second.into(), burst.into())
        });
        self.limit("messages", &who.user_id, rate, count)
    }

    /// Looks whether an event would be allowed. A room that the server does not know comes first.
    pub(super) fn check_event_limit(&mut self, who: &Requester, room_id: &str) -> Answer<()> {
        if self.room(room_id).is_none() {
            return Err(Refusal::not_in_room(&who.user_id, room_id));
        }
        self.limit_messages(who, false)
    }

    /// Counts an event that was accepted.
    pub(super) fn count_event(&mut self, who: &Requester) {
        // What was checked before and came through at the same time is let through.
        let _ = self.limit_messages(who, true);
    }

    /// Before anything else is looked at, be it whether the room exists.
    pub(super) fn limit_hierarchy(&mut self, who: &Requester) -> Answer<()> {
        if !self.is_limited(who) {
            return Ok(());
        }
        self.limit("hierarchies", &who.user_id, HIERARCHIES, true)
    }

    pub(super) fn limit_room_creation(&mut self, who: &Requester) -> Answer<()> {
        if !self.is_limited(who) {
            return Ok(());
        }
        self.limit("room creation", &who.user_id, ROOM_CREATIONS, false)?;
        self.limit_messages(who, true)?;
        self.limit("room creation", &who.user_id, ROOM_CREATIONS, true)
    }

    pub(super) fn limit_membership(
        &mut self,
        who: &Requester,
        target: &str,
        room_id: &str,
        action: &str,
    ) -> Answer<()> {
        if !self.is_limited(who) {
            return Ok(());
        }
        match action {
            "join"
                if !self
                    .room(room_id)
                    .is_some_and(|room| room.is_joined(&who.user_id)) =>
            {
                self.limit("joins", &who.user_id, JOINS, true)?;
                self.limit("joins per room", room_id, JOINS_PER_ROOM, true)
            }
            "invite" => {
                self.limit("invites per room", room_id, INVITES_PER_ROOM, true)?;
                self.limit("invites per user", target, INVITES_PER_USER, true)?;
                self.limit("invites per issuer", &who.user_id, INVITES_PER_ISSUER, true)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(limits: &mut Limits, rate: Rate, now: Duration) -> (usize, Refusal) {
        for done in 0.. {
            if let Err(refusal) = limits.check("test", "", rate, now, true) {
                return (done, refusal);
            }
        }
        unreachable!("a limit is reached")
    }

    #[test]
    fn the_limits_are_those_that_were_measured() {
        for (rate, allowed, wait) in [
            (REGISTRATIONS, 3, 5_882..5_883),
            (LOGINS, 5, 333_333..333_334),
            (ROOM_CREATIONS, 10, 62_500..62_501),
            (MESSAGES, 10, 5_000..5_001),
            (HIERARCHIES, 10, 200..201),
        ] {
            let (done, refusal) = spent(&mut Limits::default(), rate, Duration::from_secs(7));
            assert_eq!(done, allowed);
            let retry_after = refusal.body["retry_after_ms"].as_u64().unwrap();
            assert!(wait.contains(&retry_after), "{retry_after}");
            assert_eq!(refusal.status, 429);
        }
    }

    #[test]
    fn a_bucket_empties_with_time() {
        let mut limits = Limits::default();
        let (_, _) = spent(&mut limits, MESSAGES, Duration::ZERO);
        assert!(
            limits
                .check("test", "", MESSAGES, Duration::from_millis(4_900), true)
                .is_err()
        );
        assert!(
            limits
                .check("test", "", MESSAGES, Duration::from_millis(5_001), true)
                .is_ok()
        );
        assert!(
            limits
                .check("test", "", MESSAGES, Duration::from_millis(5_002), true)
                .is_err()
        );
    }
}
