"""The Matrix fake, as matrix-nio sees it: a client for bots and people."""
import asyncio
import functools
import io
import itertools

import nio

FAKE = "matrix"
names = (f"nio_{number}" for number in itertools.count())


def as_task(check):
    """A check that is a coroutine."""
    @functools.wraps(check)
    def run(fake):
        asyncio.run(asyncio.wait_for(check(fake), 30))
    return run


class Person:
    """A new user, registered and logged in by the client itself, until the `async with` ends."""

    def __init__(self, fake):
        self.name, self.password = next(names), "password-for-tests"
        self.client = nio.AsyncClient(fake.url, self.name, config=nio.AsyncClientConfig(max_limit_exceeded=3, max_timeouts=1))

    async def __aenter__(self):
        ok(await self.client.register(self.name, self.password))
        return self.client

    async def __aexit__(self, *_):
        await self.client.close()


def ok(answer):
    assert not isinstance(answer, nio.ErrorResponse), answer
    return answer


def refused(answer, code):
    assert isinstance(answer, nio.ErrorResponse) and answer.status_code == code, answer


def name_of(client):
    return client.user_id[1:].partition(":")[0]


async def say(client, room_id, text, **content):
    answer = await client.room_send(room_id, "m.room.message", {"msgtype": "m.text", "body": text} | content)
    return ok(answer).event_id


def texts_of(room_info):
    return [event.body for event in room_info.timeline.events if isinstance(event, nio.RoomMessageText)]


@as_task
async def a_user_registers_logs_in_and_out(fake):
    async with Person(fake) as alice:
        assert ok(await alice.whoami()).user_id == alice.user_id == f"@{name_of(alice)}:matrix.test"
        other = nio.AsyncClient(fake.url, alice.user_id)
        refused(await other.login("wrong"), "M_FORBIDDEN")
        assert ok(await other.login("password-for-tests")).user_id == alice.user_id
        ok(await other.logout())
        refused(await other.whoami(), "M_MISSING_TOKEN")
        refused(await other.register(name_of(alice), "x"), "M_USER_IN_USE")
        await other.close()


@as_task
async def a_room_is_made_found_joined_and_spoken_in(fake):
    async with Person(fake) as alice, Person(fake) as bob:
        room_id = ok(await alice.room_create(name="Tea", topic="green", alias=name_of(alice),
                                             invite=[bob.user_id])).room_id
        ok(await bob.sync(timeout=0))
        assert room_id in bob.invited_rooms and bob.invited_rooms[room_id].name == "Tea"
        assert ok(await bob.join(room_id)).room_id == room_id
        since = ok(await bob.sync(timeout=0)).next_batch
        assert bob.rooms[room_id].topic == "green" and alice.user_id in bob.rooms[room_id].users
        waiting = asyncio.create_task(bob.sync(timeout=10_000, since=since))
        await say(alice, room_id, "hello")
        assert texts_of(ok(await waiting).rooms.join[room_id]) == ["hello"]
        refused(await bob.room_kick(room_id, alice.user_id), "M_FORBIDDEN")
        ok(await bob.room_leave(room_id))
        assert room_id in ok(await bob.sync(timeout=0)).rooms.leave


@as_task
async def history_is_read_in_pages(fake):
    async with Person(fake) as alice:
        room_id = ok(await alice.room_create()).room_id
        for number in range(15):
            await say(alice, room_id, str(number))
        answer = ok(await alice.sync(timeout=0, sync_filter={"room": {"timeline": {"limit": 5}}}))
        timeline = answer.rooms.join[room_id].timeline
        assert timeline.limited and len(timeline.events) == 5
        page = ok(await alice.room_messages(room_id, timeline.prev_batch, limit=10))
        assert [event.body for event in page.chunk] == [str(number) for number in range(9, -1, -1)]


@as_task
async def edits_reactions_and_redactions_arrive(fake):
    async with Person(fake) as alice:
        room_id = ok(await alice.room_create()).room_id
        event_id = await say(alice, room_id, "one")
        await say(alice, room_id, "* two", **{"m.new_content": {"msgtype": "m.text", "body": "two"},
                                               "m.relates_to": {"rel_type": "m.replace", "event_id": event_id}})
        reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": event_id, "key": "+"}}
        ok(await alice.room_send(room_id, "m.reaction", reaction))
        refused(await alice.room_send(room_id, "m.reaction", reaction), "M_DUPLICATE_ANNOTATION")
        event = ok(await alice.room_get_event(room_id, event_id)).event
        assert event.body == "one"
        assert event.source["unsigned"]["m.relations"]["m.replace"]["content"]["m.new_content"]["body"] == "two"
        ok(await alice.room_redact(room_id, event_id, "typo"))
        assert isinstance(ok(await alice.room_get_event(room_id, event_id)).event, nio.RedactedEvent)


@as_task
async def state_members_and_profiles_are_read(fake):
    async with Person(fake) as alice, Person(fake) as bob:
        ok(await alice.set_displayname("Alice"))
        ok(await alice.set_avatar("mxc://matrix.test/face"))
        profile = ok(await bob.get_profile(alice.user_id))
        assert (profile.displayname, profile.avatar_url) == ("Alice", "mxc://matrix.test/face")
        room_id = ok(await alice.room_create(visibility=nio.RoomVisibility.public, preset=nio.RoomPreset.public_chat)).room_id
        ok(await bob.join(room_id))
        members = {member.user_id: member.display_name for member in ok(await bob.joined_members(room_id)).members}
        assert members[alice.user_id] == "Alice" and bob.user_id in members
        ok(await alice.room_put_state(room_id, "m.room.topic", {"topic": "new"}))
        assert ok(await bob.room_get_state_event(room_id, "m.room.topic")).content == {"topic": "new"}
        refused(await bob.room_put_state(room_id, "m.room.topic", {"topic": "mine"}), "M_FORBIDDEN")
        assert ok(await bob.joined_rooms()).rooms == [room_id]


@as_task
async def a_file_goes_up_and_comes_down(fake):
    async with Person(fake) as alice, Person(fake) as bob:
        answer, _ = await alice.upload(io.BytesIO(b"hello"), content_type="text/plain", filename="a.txt", filesize=5)
        file = ok(await bob.download(ok(answer).content_uri))
        assert (file.body, file.filename) == (b"hello", "a.txt"), file


@as_task
async def typing_and_receipts_are_seen(fake):
    async with Person(fake) as alice, Person(fake) as bob:
        room_id = ok(await alice.room_create(preset=nio.RoomPreset.public_chat)).room_id
        ok(await bob.join(room_id))
        event_id = await say(alice, room_id, "hello")
        ok(await alice.sync(timeout=0))
        ok(await bob.room_typing(room_id, True))
        ok(await bob.update_receipt_marker(room_id, event_id))
        ok(await alice.sync(timeout=1_000))
        room = alice.rooms[room_id]
        assert bob.user_id in room.typing_users
        assert room.threaded_read_receipts[bob.user_id]["main"].event_id == event_id


@as_task
async def a_space_shows_its_rooms(fake):
    async with Person(fake) as alice:
        space = ok(await alice.room_create(name="Home", space=True)).room_id
        room_id = ok(await alice.room_create(name="Kitchen")).room_id
        ok(await alice.room_put_state(space, "m.space.child", {"via": ["matrix.test"]}, room_id))
        rooms = ok(await alice.space_get_hierarchy(space)).rooms
        assert [(room["room_id"], room["name"]) for room in rooms] == [(space, "Home"), (room_id, "Kitchen")]


@as_task
async def a_rate_limit_and_an_expired_token_are_the_clients_errors(fake):
    async with Person(fake) as alice:
        fault = {"method": "create_room", "user": alice.user_id, "effect": "rate_limit", "retry_after_ms": 5}
        assert fake.call("POST", "/_fake/faults", fault)[0] == 204
        ok(await alice.room_create())
        assert fake.call("GET", "/_fake/faults") == (200, {"unused": []}), "the client tried again by itself"
        fake.call("POST", f"/_fake/users/{alice.user_id}/expire-tokens", {})
        answer = await alice.sync(timeout=0)
        assert answer.status_code == "M_UNKNOWN_TOKEN" and answer.soft_logout, answer
