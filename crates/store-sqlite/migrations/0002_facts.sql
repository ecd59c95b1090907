-- What is known of a room, of a picture and of an agent's being there becomes JSON. What the rooms of before are like was
-- never read back from them, so none is verified.
CREATE TABLE binding_new (
    agent_id        TEXT    NOT NULL PRIMARY KEY,
    agent_name      TEXT    NOT NULL,
    user_id         TEXT    NOT NULL UNIQUE,
    room_alias      TEXT    NOT NULL,
    lifecycle       TEXT    NOT NULL, -- JSON
    user_registered INTEGER NOT NULL,
    display_name    TEXT,
    avatar          TEXT    NOT NULL, -- JSON
    room_id         TEXT    UNIQUE,
    room            TEXT    NOT NULL, -- JSON
    invitations     TEXT    NOT NULL, -- JSON object: user id -> invited | joined | left | failed
    last_error      TEXT,
    created_at      TEXT    NOT NULL, -- RFC 3339
    updated_at      TEXT    NOT NULL
) STRICT;

INSERT INTO binding_new
SELECT agent_id, agent_name, user_id, room_alias, '{"state":"active"}', user_registered, display_name, '{}', room_id,
       json_object('verified', json('false'), 'name', room_name, 'topic', room_topic, 'parent_id', parent_id,
                   'space_id', space_id),
       invitations, last_error, created_at, updated_at
FROM binding;

DROP TABLE binding;
ALTER TABLE binding_new RENAME TO binding;

CREATE TABLE space_new (
    only   INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    record TEXT    NOT NULL -- JSON
) STRICT;

INSERT INTO space_new
SELECT only,
       json_object('room_id', room_id, 'verified', json('false'), 'name', name, 'topic', NULL, 'alias_set', json('false'),
                   'marked', json('false'), 'bot_name', NULL, 'invitations', json('{}'), 'created_at', created_at)
FROM space;

DROP TABLE space;
ALTER TABLE space_new RENAME TO space;

-- How far reconciling came; at most one row.
CREATE TABLE progress (
    only   INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    record TEXT    NOT NULL -- JSON
) STRICT;

-- Who may work. The row stays when a lease is given back, because its tokens only rise.
CREATE TABLE lease (
    name       TEXT    NOT NULL PRIMARY KEY,
    last_token INTEGER NOT NULL,
    holder     TEXT,
    expires_at TEXT, -- RFC 3339 with nine digits behind the point, so that texts compare as times do
    CHECK ((holder IS NULL) = (expires_at IS NULL))
) STRICT;

-- Accounts that were logged in to. Secrets are sealed.
CREATE TABLE account (
    user_id         TEXT NOT NULL PRIMARY KEY,
    device_id       TEXT NOT NULL,
    sealed_token    BLOB,
    sealed_password BLOB,
    logged_in_at    TEXT -- RFC 3339
) STRICT;
