-- Every event that came in, once. The order of arrival is that of seq.
CREATE TABLE inbox (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id    TEXT    NOT NULL UNIQUE,
    room_id     TEXT    NOT NULL,
    sender      TEXT    NOT NULL,
    event       TEXT    NOT NULL, -- JSON
    received_at TEXT    NOT NULL, -- RFC 3339 with nine digits behind the point, so that texts compare as times do
    verdict     TEXT              -- what was decided about it
) STRICT;

CREATE INDEX inbox_undecided ON inbox (seq) WHERE verdict IS NULL;

-- What came in and makes no sense.
CREATE TABLE set_aside (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    raw         TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    received_at TEXT    NOT NULL -- as in the inbox
) STRICT;

-- How far each source of events was read.
CREATE TABLE cursor (
    source   TEXT NOT NULL PRIMARY KEY,
    position TEXT NOT NULL
) STRICT;

-- What is owed for an event, and how far that is.
CREATE TABLE delivery (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id   TEXT    NOT NULL,
    agent_id   TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    lane       TEXT    NOT NULL,
    room_id    TEXT    NOT NULL,
    is_open    INTEGER NOT NULL,
    record     TEXT    NOT NULL, -- JSON
    created_at TEXT    NOT NULL, -- RFC 3339
    updated_at TEXT    NOT NULL,
    UNIQUE (event_id, agent_id, attempt)
) STRICT;

CREATE INDEX delivery_open ON delivery (id) WHERE is_open = 1;

-- Small records that belong to conversations.
CREATE TABLE record (
    kind   TEXT NOT NULL,
    key    TEXT NOT NULL,
    record TEXT NOT NULL, -- JSON
    PRIMARY KEY (kind, key)
) STRICT;
