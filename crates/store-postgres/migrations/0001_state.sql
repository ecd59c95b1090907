-- One row per agent: what is known to be true on the homeserver for it. Texts are ordered byte by byte.
CREATE TABLE binding (
    agent_id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    agent_name      TEXT NOT NULL,
    user_id         TEXT NOT NULL UNIQUE,
    room_alias      TEXT NOT NULL,
    lifecycle       TEXT NOT NULL, -- JSON
    user_registered BOOLEAN NOT NULL,
    display_name    TEXT,
    avatar          TEXT NOT NULL, -- JSON
    room_id         TEXT UNIQUE,
    room            TEXT NOT NULL, -- JSON
    invitations     TEXT NOT NULL, -- JSON object: user id -> invited | joined | left | failed
    last_error      TEXT,
    created_at      TEXT NOT NULL, -- RFC 3339
    updated_at      TEXT NOT NULL
);

-- The space that holds the rooms; at most one row.
CREATE TABLE space (
    id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    record TEXT NOT NULL -- JSON
);

-- How far reconciling came; at most one row.
CREATE TABLE progress (
    id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    record TEXT NOT NULL -- JSON
);

-- Who may work. The row stays when a lease is given back, because its tokens only rise.
CREATE TABLE lease (
    name       TEXT NOT NULL PRIMARY KEY,
    last_token BIGINT NOT NULL,
    holder     TEXT,
    expires_at TEXT COLLATE "C", -- RFC 3339 with nine digits behind the point, so that texts compare as times do
    CHECK ((holder IS NULL) = (expires_at IS NULL))
);

-- Accounts that were logged in to. Secrets are sealed.
CREATE TABLE account (
    user_id         TEXT NOT NULL PRIMARY KEY,
    device_id       TEXT NOT NULL,
    sealed_token    BYTEA,
    sealed_password BYTEA,
    logged_in_at    TEXT -- RFC 3339
);
