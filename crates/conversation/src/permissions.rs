//! Who may do what.

use std::collections::BTreeMap;

use ruma::{OwnedServerName, OwnedUserId, UserId};

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Talk with agents.
    Talk,
    /// Everything.
    Admin,
}

/// Who may do what. Empty, nobody may do anything. People are known by their full id or by their server, never by the
/// name they show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    users: BTreeMap<OwnedUserId, Role>,
    servers: BTreeMap<OwnedServerName, Role>,
}

impl Permissions {
    /// Gives a person a role.
    pub fn allow_user(&mut self, user: OwnedUserId, role: Role) {
        self.users.insert(user, role);
    }

    /// Gives everyone on a server a role.
    pub fn allow_server(&mut self, server: OwnedServerName, role: Role) {
        self.servers.insert(server, role);
    }

    /// What this person may do. The person's own entry counts before that of the server.
    #[must_use]
    pub fn role_of(&self, user: &UserId) -> Option<Role> {
        self.users
            .get(user)
            .or_else(|| self.servers.get(user.server_name()))
            .copied()
    }

    /// The people named as admins.
    pub fn admins(&self) -> impl Iterator<Item = &OwnedUserId> {
        self.users
            .iter()
            .filter(|(_, role)| **role == Role::Admin)
            .map(|(user, _)| user)
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_server_name, owned_user_id, user_id};

    use super::*;

    #[test]
    fn nobody_may_do_anything_unless_told() {
        assert_eq!(
            Permissions::default().role_of(user_id!("@admin:matrix.test")),
            None
        );
    }

    #[test]
    fn a_persons_own_entry_counts_before_the_servers() {
        let mut permissions = Permissions::default();
        permissions.allow_server(owned_server_name!("example.org"), Role::Talk);
        permissions.allow_user(owned_user_id!("@boss:example.org"), Role::Admin);
        assert_eq!(
            permissions.role_of(user_id!("@boss:example.org")),
            Some(Role::Admin)
        );
        assert_eq!(
            permissions.role_of(user_id!("@ann:example.org")),
            Some(Role::Talk)
        );
        assert_eq!(permissions.role_of(user_id!("@boss:sub.example.org")), None);
        assert_eq!(permissions.admins().collect::<Vec<_>>(), ["@boss:example.org"]);
    }
}
