"""The Matrix fake, as mautrix sees it: the library that most bridges are written with."""
import asyncio
import functools
import itertools

from aiohttp import web
from mautrix.appservice import AppService
from mautrix.client import Client
from mautrix.errors import MExclusive, MForbidden, MNotFound, MRoomInUse, MUnknownToken, MUserInUse
from mautrix.types import EventType, Membership, MessageType, RoomDirectoryVisibility, TextMessageEventContent, UserID

FAKE = "matrix"
numbers = itertools.count()
SERVER = "matrix.test"


def as_task(check):
    """A check that is a coroutine."""
    @functools.wraps(check)
    def run(fake):
        asyncio.run(asyncio.wait_for(check(fake), 30))
    return run


class Person:
    """A new user with a session, until the `async with` ends."""

    def __init__(self, fake):
        status, session = fake.call("POST", "/_fake/users", {"localpart": f"mautrix_{next(numbers)}"})
        assert status == 200, session
        self.client = Client(mxid=UserID(session["user_id"]), device_id=session["device_id"], base_url=fake.url,
                             token=session["access_token"], default_retry_count=0)

    async def __aenter__(self):
        return self.client

    async def __aexit__(self, *_):
        self.client.stop()
        await self.client.api.session.close()


async def raises(error, call):
    try:
        await call
    except error as raised:
        return raised
    raise AssertionError(f"expected {error.__name__}")


@as_task
async def a_password_opens_a_session(fake):
    async with Person(fake) as alice:
        assert (await alice.whoami()).user_id == alice.mxid
        session = await alice.login(str(alice.mxid), password="password-for-tests", store_access_token=False)
        assert session.user_id == alice.mxid and session.access_token != alice.api.token
        await raises(MForbidden, alice.login(str(alice.mxid), password="wrong", store_access_token=False))
        versions = await alice.versions()
        assert any(str(version).startswith("v1.") for version in versions.versions)


@as_task
async def two_people_talk(fake):
    async with Person(fake) as alice, Person(fake) as bob:
        heard, invited = asyncio.get_running_loop().create_future(), asyncio.get_running_loop().create_future()

        async def on_member(event):
            if event.state_key == bob.mxid and event.content.membership == Membership.INVITE and not invited.done():
                invited.set_result(event.room_id)

        async def on_message(event):
            if event.sender == alice.mxid and not heard.done():
                heard.set_result(event.content.body)

        bob.add_event_handler(EventType.ROOM_MEMBER, on_member)
        bob.add_event_handler(EventType.ROOM_MESSAGE, on_message)
        syncing = bob.start(None)
        room_id = await alice.create_room(name="Tea", invitees=[bob.mxid])
        assert await invited == room_id
        await bob.join_room(room_id)
        event_id = await alice.send_text(room_id, "hello", html="<b>hello</b>")
        assert await heard == "hello"
        bob.stop()
        syncing.cancel()
        event = await bob.get_event(room_id, event_id)
        assert event.content.msgtype == MessageType.TEXT and event.content.formatted_body == "<b>hello</b>"
        await alice.react(room_id, event_id, "👍")
        await alice.redact(room_id, event_id, reason="typo")
        assert not (await bob.get_event(room_id, event_id)).content.serialize()


@as_task
async def rooms_have_aliases_state_and_members(fake):
    async with Person(fake) as alice, Person(fake) as bob:
        alias = f"mautrix_room_{next(numbers)}"
        room_id = await alice.create_room(alias_localpart=alias, visibility=RoomDirectoryVisibility.PRIVATE)
        await raises(MRoomInUse, alice.create_room(alias_localpart=alias))
        assert (await bob.resolve_room_alias(f"#{alias}:{SERVER}")).room_id == room_id
        await raises(MNotFound, bob.resolve_room_alias(f"#nothing_{alias}:{SERVER}"))
        await raises(MForbidden, bob.join_room_by_id(room_id))
        await alice.invite_user(room_id, bob.mxid)
        await bob.join_room(f"#{alias}:{SERVER}")
        await alice.set_displayname("Alice")
        members = await bob.get_joined_members(room_id)
        assert members[alice.mxid].displayname == "Alice" and bob.mxid in members
        await alice.send_state_event(room_id, EventType.ROOM_TOPIC, {"topic": "green"})
        assert (await bob.get_state_event(room_id, EventType.ROOM_TOPIC)).topic == "green"
        levels = await bob.get_state_event(room_id, EventType.ROOM_POWER_LEVELS)
        assert levels.kick == 50
        assert bob.mxid in {event.state_key for event in await alice.get_state(room_id) if event.type == EventType.ROOM_MEMBER}
        await alice.kick_user(room_id, bob.mxid, reason="bye")
        await raises(MForbidden, bob.send_text(room_id, "still here?"))


@as_task
async def a_file_goes_up_and_comes_down(fake):
    async with Person(fake) as alice, Person(fake) as bob:
        url = await alice.upload_media(b"hello", mime_type="text/plain", filename="a.txt")
        assert await bob.download_media(url) == b"hello"
        assert (await bob.get_media_repo_config()).upload_size == 20 * 1024 * 1024


@as_task
async def an_ended_session_is_noticed(fake):
    async with Person(fake) as alice:
        fake.call("POST", f"/_fake/users/{alice.mxid}/log-out", {})
        await raises(MUnknownToken, alice.whoami())


@as_task
async def an_appservice_speaks_for_its_users_and_is_told_of_their_rooms(fake):
    number = next(numbers)
    bridge = AppService(server=fake.url, domain=SERVER, as_token=f"as-token-for-tests-{number}",
                        hs_token="hs-token-for-tests", bot_localpart=f"ghosts_{number}_bot", id=f"ghosts-{number}",
                        connection_limit=4)
    await bridge.start("127.0.0.1", 0)
    port = bridge.runner.addresses[0][1]
    status, answer = fake.call("POST", "/_fake/appservices", {
        "id": bridge.id, "url": f"http://127.0.0.1:{port}", "as_token": bridge.as_token, "hs_token": bridge.hs_token,
        "sender_localpart": bridge.bot_mxid[1:].split(":")[0], "rate_limited": False,
        "namespaces": {"users": [{"exclusive": True, "regex": f"@ghosts_{number}_.*:matrix\\.test"}], "aliases": [], "rooms": []}})
    assert status == 204, answer
    heard = asyncio.get_running_loop().create_future()

    @bridge.matrix_event_handler
    async def on_event(event):
        if event.type == EventType.ROOM_MESSAGE and event.content.body == "hello" and not heard.done():
            heard.set_result(event.room_id)

    try:
        ghost = bridge.intent.user(UserID(f"@ghosts_{number}_one:{SERVER}"))
        await ghost.ensure_registered()
        await raises(MUserInUse, ghost.api.request("POST", "/_matrix/client/v3/register", {
            "type": "m.login.application_service", "username": f"ghosts_{number}_one"}))
        await ghost.set_displayname("Ghost")
        async with Person(fake) as alice:
            await raises(MExclusive, register(fake, alice, f"ghosts_{number}_two"))
            room_id = await alice.create_room(invitees=[ghost.mxid])
            await ghost.ensure_joined(room_id)
            await alice.send_text(room_id, "hello")
            assert await heard == room_id
            content = TextMessageEventContent(msgtype=MessageType.NOTICE, body="boo")
            event = await alice.get_event(room_id, await ghost.send_message(room_id, content))
            assert (event.sender, event.content.body) == (ghost.mxid, "boo")
            assert (await bridge.ping_self(f"txn{number}")) >= 0
    finally:
        await bridge.stop()


async def register(fake, client, username):
    body = {"username": username, "password": "x", "auth": {"type": "m.login.dummy"}}
    async with client.api.session.post(f"{fake.url}/_matrix/client/v3/register", json=body) as answer:
        error = await answer.json()
        if answer.status != 200:
            raise MExclusive(answer.status, error["error"]) if error["errcode"] == "M_EXCLUSIVE" else AssertionError(error)
