-- Every event that came in, once. The order of arrival is that of seq. Events are text and no JSONB, which has no NUL.
CREATE TABLE inbox (
    seq         BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    TEXT NOT NULL UNIQUE,
    room_id     TEXT NOT NULL,
    sender      TEXT NOT NULL,
    event       TEXT NOT NULL, -- JSON
    received_at TEXT COLLATE "C" NOT NULL, -- RFC 3339 with nine digits behind the point: texts compare as times do
    verdict     TEXT -- what was decided about it
);

CREATE INDEX inbox_undecided ON inbox (seq) WHERE verdict IS NULL;

-- What came in and makes no sense.
CREATE TABLE set_aside (
    id          BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    raw         TEXT NOT NULL,
    reason      TEXT NOT NULL,
    received_at TEXT COLLATE "C" NOT NULL -- as in the inbox
);

-- How far each source of events was read.
CREATE TABLE cursor (
    source   TEXT NOT NULL PRIMARY KEY,
    position TEXT NOT NULL
);

-- What is owed for an event, and how far that is.
CREATE TABLE delivery (
    id         BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id   TEXT NOT NULL,
    agent_id   TEXT NOT NULL,
    attempt    BIGINT NOT NULL,
    lane       TEXT NOT NULL,
    room_id    TEXT NOT NULL,
    is_open    BOOLEAN NOT NULL,
    record     TEXT NOT NULL, -- JSON
    created_at TEXT NOT NULL, -- RFC 3339
    updated_at TEXT NOT NULL,
    UNIQUE (event_id, agent_id, attempt)
);

CREATE INDEX delivery_open ON delivery (id) WHERE is_open;

-- Small records that belong to conversations. Keys are ordered byte by byte.
CREATE TABLE record (
    kind   TEXT NOT NULL,
    key    TEXT COLLATE "C" NOT NULL,
    record TEXT NOT NULL, -- JSON
    PRIMARY KEY (kind, key)
);
