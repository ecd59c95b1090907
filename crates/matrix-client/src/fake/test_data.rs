//! Application service, users and rooms that tests share.

use ruma::{
    OwnedRoomId, OwnedUserId,
    api::appservice::{Namespace, Registration, RegistrationInit},
};
use secrecy::SecretString;
use serde_json::json;

use super::{
    FakeMatrix, accounts::NewAccount, events::Draft, refusal::Object, requester::Requester,
    room_version::RoomVersion, rooms::Room,
};
use crate::{Appservice, Session};

/// The id of the tests' application service.
pub const TEST_APPSERVICE_ID: &str = "letta-bridge";
/// Its `as_token`.
pub const TEST_AS_TOKEN: &str = "as-token-for-tests";
/// Its `hs_token`.
pub const TEST_HS_TOKEN: &str = "hs-token-for-tests";
/// The tests' registration shared secret.
pub const TEST_SHARED_SECRET: &str = "reg-secret-for-tests";
/// The password of users that [`FakeMatrix::add_user`] makes.
pub const TEST_PASSWORD: &str = "password-for-tests";

/// The registration of the tests' application service: it owns `@agent_…` and `#agent_…` of the server, speaks as
/// `@letta_bot`, and is not limited.
pub fn test_registration(server_name: &str) -> Registration {
    let server = server_name.replace('.', r"\.");
    let mut registration = Registration::from(RegistrationInit {
        id: TEST_APPSERVICE_ID.to_owned(),
        url: None,
        as_token: TEST_AS_TOKEN.to_owned(),
        hs_token: TEST_HS_TOKEN.to_owned(),
        sender_localpart: "letta_bot".to_owned(),
        namespaces: ruma::api::appservice::Namespaces::new(),
        rate_limited: Some(false),
        protocols: None,
    });
    registration.receive_ephemeral = true;
    registration.namespaces.users = vec![
        Namespace::new(true, format!("@agent_.*:{server}")),
        Namespace::new(true, format!("@letta_bot:{server}")),
    ];
    registration.namespaces.aliases = vec![
        Namespace::new(true, format!("#agent_.*:{server}")),
        Namespace::new(true, format!("#letta-agents:{server}")),
    ];
    registration
}

impl FakeMatrix {
    /// `matrix.test` with the tests' application service and shared secret, `@admin:matrix.test` (a server
    /// administrator), `@agent_001:matrix.test` (of the application service) and the room `!testroom:matrix.test`,
    /// of which both are members.
    pub fn with_test_data() -> Self {
        let matrix = Self::builder("matrix.test")
            .test_appservice()
            .shared_secret(SecretString::from(TEST_SHARED_SECRET))
            .build();
        matrix.add_admin("admin");
        matrix.add_appservice_user(TEST_APPSERVICE_ID, "agent_001");
        matrix.add_room(
            "!testroom:matrix.test",
            "@admin:matrix.test",
            &["@agent_001:matrix.test"],
        );
        matrix
    }

    /// Makes a user, whose password is [`TEST_PASSWORD`] and whose display name is the localpart, and logs in. No
    /// call is recorded.
    ///
    /// # Panics
    /// When the name is taken, or is not one.
    pub fn add_user(&self, localpart: &str) -> Session {
        self.add_account(localpart, false)
    }

    /// The same, and a server administrator.
    ///
    /// # Panics
    /// When the name is taken, or is not one.
    pub fn add_admin(&self, localpart: &str) -> Session {
        self.add_account(localpart, true)
    }

    fn add_account(&self, localpart: &str, admin: bool) -> Session {
        let session = self.apply(|server| {
            let user_id = server.full_user_id(localpart);
            assert!(
                !server.accounts.users.contains_key(&user_id),
                "there is a user {user_id} already"
            );
            server.add_account(NewAccount {
                localpart,
                password: Some(TEST_PASSWORD.to_owned()),
                admin,
                ..NewAccount::default()
            });
            server.add_session(&user_id, None, None, false)
        });
        super::convert::session(&session).unwrap_or_else(|error| panic!("{localpart}: {error}"))
    }

    /// Makes a user of an application service, without a device. No call is recorded.
    ///
    /// # Panics
    /// When there is no such application service, the name is taken, or it is not one.
    pub fn add_appservice_user(&self, appservice_id: &str, localpart: &str) -> OwnedUserId {
        let user_id = self.apply(|server| {
            let user_id = server.full_user_id(localpart);
            let known = server
                .appservices
                .iter()
                .any(|appservice| appservice.id == appservice_id);
            assert!(known, "no application service `{appservice_id}` is registered");
            assert!(
                !server.accounts.users.contains_key(&user_id),
                "there is a user {user_id} already"
            );
            let appservice_id = Some(appservice_id.to_owned());
            server.add_account(NewAccount {
                localpart,
                appservice_id,
                ..NewAccount::default()
            })
        });
        OwnedUserId::try_from(user_id).unwrap_or_else(|error| panic!("{localpart}: {error}"))
    }

    /// Makes a private room (version 11) with this very id, this creator and these members. No call is recorded.
    ///
    /// # Panics
    /// When an id is not one, or the room exists.
    pub fn add_room(&self, room_id: &str, creator: &str, members: &[&str]) -> OwnedRoomId {
        let parsed = OwnedRoomId::try_from(room_id).unwrap_or_else(|error| panic!("{room_id}: {error}"));
        self.apply(|server| {
            assert!(server.room(room_id).is_none(), "there is a room {room_id} already");
            #[expect(clippy::expect_used, reason = "a version that the model knows")]
            let version = RoomVersion::parse("11").expect("a known version");
            server.rooms.insert(room_id.to_owned(), Room::new(room_id.to_owned(), version, creator.to_owned()));
            let mut set = |kind: &str, state_key: &str, sender: &str, content: serde_json::Value| {
                let content: Object = content.as_object().cloned().unwrap_or_default();
                server.append(Draft::state(room_id, sender, kind, state_key, content));
            };
            set("m.room.create", "", creator, json!({ "room_version": "11" }));
            let join = |user_id: &str| json!({ "membership": "join", "displayname": super::accounts::localpart_of(user_id) });
            set("m.room.member", creator, creator, join(creator));
            let levels = json!({
                "users": { creator: 100 },
                "events": { "m.room.power_levels": 100, "m.room.tombstone": 100 },
                "invite": 0,
            });
            set("m.room.power_levels", "", creator, levels);
            set("m.room.join_rules", "", creator, json!({ "join_rule": "invite" }));
            set("m.room.history_visibility", "", creator, json!({ "history_visibility": "shared" }));
            for member in members {
                set("m.room.member", member, creator, json!({ "membership": "invite" }));
                set("m.room.member", member, member, join(member));
            }
        });
        parsed
    }

    /// The application service of this id, to act with.
    ///
    /// # Panics
    /// When there is none.
    pub fn appservice(&self, id: &str) -> Appservice {
        let server = self.server();
        let found = server.appservices.iter().find(|appservice| appservice.id == id);
        let found = found.unwrap_or_else(|| panic!("no application service `{id}` is registered"));
        let sender =
            OwnedUserId::try_from(found.sender.as_str()).unwrap_or_else(|error| panic!("{id}: {error}"));
        Appservice::new(id, SecretString::from(found.as_token.clone()), sender)
    }

    /// The tests' application service.
    ///
    /// # Panics
    /// When it is not registered, see [`FakeMatrixBuilder::test_appservice`](super::FakeMatrixBuilder::test_appservice).
    pub fn test_appservice(&self) -> Appservice {
        self.appservice(TEST_APPSERVICE_ID)
    }

    /// Ends a user's access tokens, as an administrator or the user elsewhere would: calls with them are
    /// `Unauthorized`.
    pub fn log_out_everywhere(&self, user_id: &ruma::UserId) {
        self.apply(|server| {
            let who = Requester {
                user_id: user_id.to_string(),
                device_id: None,
                appservice_id: None,
                is_admin: false,
                is_sender: false,
            };
            server.logout_all(&who);
        });
    }

    /// Lets a user's access tokens expire: calls with them are `Unauthorized` with `soft_logout`.
    pub fn expire_tokens(&self, user_id: &ruma::UserId) {
        self.apply(|server| {
            let now = server.now_ms();
            for token in server
                .accounts
                .tokens
                .values_mut()
                .filter(|token| token.user_id == user_id.as_str())
            {
                token.expires_ms = Some(now);
            }
        });
    }

    /// Ends a user for good. The name stays taken.
    pub fn deactivate_user(&self, user_id: &ruma::UserId) {
        self.apply(|server| server.deactivate(user_id.as_str(), false));
    }
}
