-- One row per agent: what is known to be true on the homeserver for it.
CREATE TABLE binding (
    agent_id        TEXT    NOT NULL PRIMARY KEY,
    agent_name      TEXT    NOT NULL,
    user_id         TEXT    NOT NULL UNIQUE,
    room_alias      TEXT    NOT NULL,
    user_registered INTEGER NOT NULL,
    display_name    TEXT,
    room_id         TEXT    UNIQUE,
    room_name       TEXT,
    room_topic      TEXT,
    parent_id       TEXT,
    space_id        TEXT,
    invitations     TEXT    NOT NULL, -- JSON object: user id -> invited | joined | left | failed
    last_error      TEXT,
    created_at      TEXT    NOT NULL, -- RFC 3339
    updated_at      TEXT    NOT NULL
) STRICT;

-- The space that holds the rooms; at most one row.
CREATE TABLE space (
    only       INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    room_id    TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    created_at TEXT    NOT NULL
) STRICT;
