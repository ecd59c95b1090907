//! Who may do what.

use std::{collections::BTreeMap, fmt};

use ruma::{OwnedServerName, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

/// What a person may do. Each right includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Talk with agents.
    Talk,
    /// Say whether an agent may use a tool.
    Approve,
    /// Change how an agent behaves in a room.
    Command,
    /// Everything.
    Admin,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Talk => "talk",
            Self::Approve => "approve",
            Self::Command => "command",
            Self::Admin => "admin",
        })
    }
}

/// Who may do what. Empty, nobody may do anything. People are known by their full id or by their server, never by the
/// name they show. The entry that says most exactly who is meant counts alone: a person's own before the server's,
/// and that before the one for everyone. So one who is denied stays out whatever the others may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    // `None` shuts out.
    users: BTreeMap<OwnedUserId, Option<Right>>,
    servers: BTreeMap<OwnedServerName, Option<Right>>,
    everyone: Option<Right>,
}

impl Rights {
    /// Gives a person a right.
    pub fn allow_user(&mut self, user: OwnedUserId, right: Right) {
        self.users.insert(user, Some(right));
    }

    /// Gives everyone on a server a right.
    pub fn allow_server(&mut self, server: OwnedServerName, right: Right) {
        self.servers.insert(server, Some(right));
    }

    /// Gives everyone on every server a right.
    pub fn allow_everyone(&mut self, right: Right) {
        self.everyone = Some(right);
    }

    /// Shuts a person out.
    pub fn deny_user(&mut self, user: OwnedUserId) {
        self.users.insert(user, None);
    }

    /// Shuts a server out, but for those of its people who have an entry of their own.
    pub fn deny_server(&mut self, server: OwnedServerName) {
        self.servers.insert(server, None);
    }

    /// What this person may do. `None`: nothing.
    #[must_use]
    pub fn right_of(&self, user: &UserId) -> Option<Right> {
        self.users
            .get(user)
            .or_else(|| self.servers.get(user.server_name()))
            .copied()
            .unwrap_or(self.everyone)
    }

    /// Whether this person has the right.
    #[must_use]
    pub fn allow(&self, user: &UserId, right: Right) -> bool {
        self.right_of(user) >= Some(right)
    }

    /// The people named as admins.
    pub fn admins(&self) -> impl Iterator<Item = &OwnedUserId> {
        self.users
            .iter()
            .filter(|(_, right)| **right == Some(Right::Admin))
            .map(|(user, _)| user)
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_server_name, owned_user_id, user_id};

    use super::*;

    #[test]
    fn nobody_may_do_anything_unless_told() {
        let rights = Rights::default();
        assert_eq!(rights.right_of(user_id!("@admin:matrix.test")), None);
        assert!(!rights.allow(user_id!("@admin:matrix.test"), Right::Talk));
    }

    #[test]
    fn a_right_includes_those_before_it() {
        let mut rights = Rights::default();
        rights.allow_user(owned_user_id!("@ann:example.org"), Right::Command);
        let ann = user_id!("@ann:example.org");
        let allowed =
            [Right::Talk, Right::Approve, Right::Command, Right::Admin].map(|r| rights.allow(ann, r));
        assert_eq!(allowed, [true, true, true, false]);
    }

    #[test]
    fn the_most_exact_entry_counts() {
        let mut rights = Rights::default();
        rights.allow_everyone(Right::Talk);
        rights.allow_server(owned_server_name!("example.org"), Right::Approve);
        rights.allow_user(owned_user_id!("@boss:example.org"), Right::Admin);
        rights.deny_user(owned_user_id!("@troll:example.org"));
        rights.deny_server(owned_server_name!("spam.test"));
        rights.allow_user(owned_user_id!("@friend:spam.test"), Right::Talk);
        for (user, right) in [
            (user_id!("@boss:example.org"), Some(Right::Admin)),
            (user_id!("@ann:example.org"), Some(Right::Approve)),
            (user_id!("@troll:example.org"), None),
            (user_id!("@boss:sub.example.org"), Some(Right::Talk)),
            (user_id!("@any:spam.test"), None),
            (user_id!("@friend:spam.test"), Some(Right::Talk)),
        ] {
            assert_eq!(rights.right_of(user), right, "{user}");
        }
        assert_eq!(rights.admins().collect::<Vec<_>>(), ["@boss:example.org"]);
    }
}
