// The Matrix fake, as matrix-js-sdk sees it: the library under Element. Run by checks/matrix_js_sdk.py:
// node check.mjs URL CHECK. Exits with 0, or with 1 and the reason on standard error.
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

// The client wants Node 22; this is all that it misses in Node 20.
Promise.withResolvers ??= () => {
    let resolve, reject;
    const promise = new Promise((yes, no) => { [resolve, reject] = [yes, no]; });
    return { promise, resolve, reject };
};

const [url, check, modules] = process.argv.slice(2);
const sdk = await import(pathToFileURL(`${modules}/node_modules/matrix-js-sdk/lib/index.js`).href);
const { ClientEvent, createClient, EventType, MsgType, Preset, RelationType, RoomEvent, RoomMemberEvent } = sdk;
const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, getChild: () => silent };
const password = "password-for-tests";
const running = [];

/** A new user, registered by the client itself, with its sync loop running. */
async function person(name, { start = true } = {}) {
    const localpart = `${name}_${check}`;
    const stranger = createClient({ baseUrl: url, logger: silent });
    const session = await stranger.registerRequest({
        username: localpart, password, auth: { type: "m.login.dummy" }, inhibit_login: false,
    });
    const client = createClient({
        baseUrl: url, userId: session.user_id, deviceId: session.device_id, accessToken: session.access_token, logger: silent,
    });
    if (start) {
        const ready = until(client, ClientEvent.Sync, (state) => state === "PREPARED");
        await client.startClient({ initialSyncLimit: 10, pollTimeout: 10_000 });
        running.push(client);
        await ready;
    }
    return client;
}

/** Waits for an event of the client that this accepts, and gives its arguments. */
function until(emitter, name, wanted) {
    return new Promise((resolve) => {
        const listener = (...happened) => {
            if (wanted(...happened)) {
                emitter.off(name, listener);
                resolve(happened);
            }
        };
        emitter.on(name, listener);
    });
}

const heard = (client, text) => until(client, RoomEvent.Timeline, (event) => event.getContent().body === text);

async function refused(errcode, promise) {
    const error = await promise.then(() => undefined, (raised) => raised);
    assert.equal(error?.errcode, errcode, `${error ?? "no error"}`);
}

const checks = {
    async a_password_opens_a_session() {
        const alice = await person("alice", { start: false });
        assert.equal((await alice.whoami()).user_id, alice.getUserId());
        const flows = (await alice.loginFlows()).flows.map((flow) => flow.type);
        assert.ok(flows.includes("m.login.password"));
        const login = { type: "m.login.password", identifier: { type: "m.id.user", user: alice.getUserId() } };
        const session = await createClient({ baseUrl: url, logger: silent }).loginRequest({ ...login, password });
        assert.equal(session.user_id, alice.getUserId());
        await refused("M_FORBIDDEN", createClient({ baseUrl: url, logger: silent }).loginRequest({ ...login, password: "no" }));
        await alice.logout();
        await refused("M_UNKNOWN_TOKEN", alice.whoami());
    },

    async two_people_talk() {
        const [alice, bob] = [await person("alice"), await person("bob")];
        const invited = until(bob, ClientEvent.Room, (room) => room.getMyMembership() === "invite");
        const { room_id: roomId } = await alice.createRoom({ name: "Tea", invite: [bob.getUserId()], preset: Preset.PrivateChat });
        const [room] = await invited;
        assert.deepEqual([room.roomId, room.name], [roomId, "Tea"]);
        await bob.joinRoom(roomId);
        const arrived = heard(bob, "hello");
        const { event_id: eventId } = await alice.sendTextMessage(roomId, "hello");
        const [event] = await arrived;
        assert.equal(event.getId(), eventId);
        assert.equal(event.getSender(), alice.getUserId());
        const answered = heard(alice, "hi");
        await bob.sendTextMessage(roomId, "hi");
        await answered;
        assert.equal(alice.getRoom(roomId).getJoinedMemberCount(), 2);
    },

    async edits_reactions_threads_and_redactions_are_understood() {
        const alice = await person("alice");
        const { room_id: roomId } = await alice.createRoom({});
        const { event_id: eventId } = await alice.sendTextMessage(roomId, "one");
        const edited = heard(alice, "* two");
        await alice.sendMessage(roomId, {
            msgtype: MsgType.Text, body: "* two", "m.new_content": { msgtype: MsgType.Text, body: "two" },
            "m.relates_to": { rel_type: RelationType.Replace, event_id: eventId },
        });
        await edited;
        assert.equal(alice.getRoom(roomId).findEventById(eventId).getContent().body, "two");
        const reaction = { "m.relates_to": { rel_type: RelationType.Annotation, event_id: eventId, key: "+" } };
        await alice.sendEvent(roomId, EventType.Reaction, reaction);
        await alice.sendEvent(roomId, EventType.RoomMessage, {
            msgtype: MsgType.Text, body: "in the thread",
            "m.relates_to": { rel_type: RelationType.Thread, event_id: eventId },
        });
        const { events } = await alice.relations(roomId, eventId, RelationType.Thread, null);
        assert.deepEqual(events.map((event) => event.getContent().body), ["in the thread"]);
        const gone = until(alice, RoomEvent.Redaction, (event) => event.getAssociatedId() === eventId);
        await alice.redactEvent(roomId, eventId, undefined, { reason: "typo" });
        await gone;
        assert.ok(alice.getRoom(roomId).findEventById(eventId).isRedacted());
    },

    async history_is_read_in_pages() {
        const alice = await person("alice", { start: false });
        const { room_id: roomId } = await alice.createRoom({});
        for (let number = 0; number < 25; number++) {
            await alice.sendTextMessage(roomId, `${number}`);
        }
        const ready = until(alice, ClientEvent.Sync, (state) => state === "PREPARED");
        await alice.startClient({ initialSyncLimit: 5 });
        running.push(alice);
        await ready;
        const room = alice.getRoom(roomId);
        const texts = () => room.getLiveTimeline().getEvents().map((event) => event.getContent().body).filter(Boolean);
        assert.deepEqual(texts(), ["20", "21", "22", "23", "24"]);
        while (await alice.scrollback(room, 10).then(() => room.oldState.paginationToken)) { /* until the beginning */ }
        assert.equal(texts().length, 25);
        assert.equal(room.getLiveTimeline().getEvents()[0].getType(), EventType.RoomCreate);
    },

    async typing_receipts_and_names_are_seen() {
        const [alice, bob] = [await person("alice"), await person("bob")];
        const { room_id: roomId } = await alice.createRoom({ preset: Preset.PublicChat });
        await bob.joinRoom(roomId);
        const arrived = heard(bob, "hello");
        await alice.sendTextMessage(roomId, "hello");
        const [event] = await arrived;
        const typing = until(alice, RoomMemberEvent.Typing, (_, member) => member.userId === bob.getUserId() && member.typing);
        await bob.sendTyping(roomId, true, 5_000);
        await typing;
        const read = until(alice, RoomEvent.Receipt, (receipt) => JSON.stringify(receipt.getContent()).includes(event.getId()));
        await bob.sendReadReceipt(event);
        await read;
        const renamed = until(alice, RoomMemberEvent.Name, (_, member) => member.name === "Bob");
        await bob.setDisplayName("Bob");
        await renamed;
    },

    async files_go_up_and_come_down() {
        const alice = await person("alice", { start: false });
        const { content_uri: uri } = await alice.uploadContent("hello", { type: "text/plain", name: "a.txt" });
        const address = alice.mxcUrlToHttp(uri, undefined, undefined, undefined, true, true, true);
        const response = await fetch(address, { headers: { Authorization: `Bearer ${alice.getAccessToken()}` } });
        assert.equal(await response.text(), "hello");
        assert.equal((await fetch(address)).status, 401);
        assert.equal((await alice.getMediaConfig(true))["m.upload.size"], 20 * 1024 * 1024);
    },

    async a_space_shows_its_rooms() {
        const alice = await person("alice", { start: false });
        const { room_id: space } = await alice.createRoom({ name: "Home", creation_content: { type: "m.space" } });
        const { room_id: roomId } = await alice.createRoom({ name: "Kitchen", room_alias_name: `kitchen_${check}` });
        await alice.sendStateEvent(space, EventType.SpaceChild, { via: ["matrix.test"] }, roomId);
        const { rooms } = await alice.getRoomHierarchy(space);
        assert.deepEqual(rooms.map((room) => room.name), ["Home", "Kitchen"]);
        assert.equal((await alice.getRoomIdForAlias(`#kitchen_${check}:matrix.test`)).room_id, roomId);
        await refused("M_ROOM_IN_USE", alice.createRoom({ room_alias_name: `kitchen_${check}` }));
    },

    async an_ended_session_is_noticed() {
        const alice = await person("alice");
        const noticed = until(alice, "Session.logged_out", () => true);
        await fetch(`${url}/_fake/users/${encodeURIComponent(alice.getUserId())}/log-out`, { method: "POST" });
        await noticed;
    },

    async a_restart_of_the_server_is_survived() {
        const alice = await person("alice");
        const { room_id: roomId } = await alice.createRoom({});
        await fetch(`${url}/_fake/restart`, { method: "POST" });
        const arrived = heard(alice, "after");
        await alice.sendTextMessage(roomId, "after");
        await arrived;
    },
};

if (check === "--list") {
    console.log(Object.keys(checks).join("\n"));
} else {
    const late = setTimeout(() => { console.error("no end within 30 s"); process.exit(1); }, 30_000);
    try {
        await checks[check]();
    } catch (error) {
        console.error(error);
        process.exitCode = 1;
    }
    running.forEach((client) => client.stopClient());
    clearTimeout(late);
    process.exit();
}
