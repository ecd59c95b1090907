"""A person at a Matrix client, matrix-nio, and what that client shows."""
import asyncio
import dataclasses
import io
import os

import nio

from .waiting import until

PASSWORD = "password-for-tests"
UNFINISHED = " …"
FILTER = {"presence": {"types": []}, "room": {"timeline": {"limit": 200}}}


def ok(answer):
    assert not isinstance(answer, nio.ErrorResponse), answer
    return answer


@dataclasses.dataclass
class Said:
    """A message with all its edits."""

    event_id: str
    sender: str
    first: dict
    latest: dict
    edits: int = 0

    @property
    def body(self):
        return self.latest.get("body", "")

    @property
    def words(self):
        """What an echo repeats."""
        return self.body.removeprefix("echo: ")

    @property
    def relation(self):
        return self.first.get("m.relates_to", {})

    @property
    def is_notice(self):
        return self.latest.get("msgtype") == "m.notice"


class Person:
    """A new user, signed in on a client that keeps listening, until the `async with` ends."""

    def __init__(self, name):
        self.name = name
        # Without a limit it would wait longer and longer for a homeserver that is being restarted.
        self.client = nio.AsyncClient(os.environ["MATRIX_HOMESERVER_URL"], name, config=nio.AsyncClientConfig(max_timeouts=1))
        self.messages, self.reactions, self.receipts, self.typing = {}, [], set(), set()
        self.gaps = []

    @property
    def user_id(self):
        return self.client.user_id

    async def __aenter__(self):
        registering = nio.AsyncClient(self.client.homeserver, self.name)
        ok(await registering.register(self.name, PASSWORD))
        await registering.close()
        ok(await self.client.login(PASSWORD))
        self.listening = asyncio.create_task(self.listen())
        return self

    async def __aexit__(self, *_):
        self.listening.cancel()
        await asyncio.gather(self.listening, return_exceptions=True)
        await self.client.close()

    async def listen(self):
        """Takes in what the client gets from the homeserver, however often that goes away."""
        while True:
            try:
                answer = await self.client.sync(timeout=10_000, sync_filter=FILTER)
            except Exception as error:  # the homeserver is being restarted
                answer = error
            if not isinstance(answer, nio.SyncResponse):
                await asyncio.sleep(0.2)
                continue
            for room_id, room in answer.rooms.join.items():
                if room.timeline.limited and room_id in self.messages:
                    self.gaps.append(room_id)
                for event in room.timeline.events:
                    self.take(room_id, event.source)
                for event in room.ephemeral:
                    if isinstance(event, nio.TypingNoticeEvent):
                        self.typing |= {(room_id, user) for user in event.users}
                    elif isinstance(event, nio.ReceiptEvent):
                        self.receipts |= {(receipt.event_id, receipt.user_id) for receipt in event.receipts}

    def take(self, room_id, event):
        said, content = self.messages.setdefault(room_id, {}), event.get("content", {})
        relation = content.get("m.relates_to", {})
        if event["type"] == "m.reaction":
            self.reactions.append((relation.get("event_id"), relation.get("key"), event["sender"]))
        elif event["type"] == "m.room.message" and relation.get("rel_type") == "m.replace":
            original = said.get(relation["event_id"])
            if original and original.sender == event["sender"]:
                original.latest, original.edits = content["m.new_content"], original.edits + 1
        elif event["type"] == "m.room.message":
            said[event["event_id"]] = Said(event["event_id"], event["sender"], content, content)

    # ---- what is seen ----

    def said_by(self, room_id, user_id):
        """What a user said in a room, oldest first."""
        return [said for said in self.messages.get(room_id, {}).values() if said.sender == user_id]

    # ---- what is done ----

    async def come_in(self, alias):
        """Joins a room once the invitation is there; gives its id."""
        room_id = ok(await self.client.room_resolve_alias(alias)).room_id
        await until(lambda: room_id in self.client.invited_rooms, f"{self.name} is invited to {alias}")
        ok(await self.client.join(room_id))
        await until(lambda: room_id in self.client.rooms, f"{self.name} is in {alias}")
        return room_id

    async def send(self, room_id, content, event_type="m.room.message"):
        return ok(await self.client.room_send(room_id, event_type, content)).event_id

    async def say(self, room_id, text, **content):
        return await self.send(room_id, {"msgtype": "m.text", "body": text} | content)

    async def edit(self, room_id, event_id, text):
        new = {"msgtype": "m.text", "body": text}
        return await self.say(room_id, f"* {text}", **{
            "m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": event_id}})

    async def react(self, room_id, event_id, key):
        return await self.send(room_id, {"m.relates_to": {"rel_type": "m.annotation", "event_id": event_id, "key": key}},
                               "m.reaction")

    async def take_back(self, room_id, event_id):
        ok(await self.client.room_redact(room_id, event_id))

    async def show(self, room_id, picture, name, caption):
        """Sends a picture with words under it."""
        answer, _ = await self.client.upload(io.BytesIO(picture), content_type="image/png", filename=name, filesize=len(picture))
        info = {"mimetype": "image/png", "size": len(picture), "w": 1, "h": 1}
        return await self.send(room_id, {"msgtype": "m.image", "body": caption, "filename": name, "info": info,
                                         "url": ok(answer).content_uri})
