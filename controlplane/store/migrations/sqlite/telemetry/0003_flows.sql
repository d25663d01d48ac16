-- +goose Up
-- Ends of flows: workloads with the labels they had, or addresses.
CREATE TABLE flow_ends (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    hash      TEXT    NOT NULL UNIQUE, -- of the four below
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    labels    TEXT    NOT NULL, -- JSON
    address   TEXT    NOT NULL,
    last      INTEGER NOT NULL, -- roughly
    size      INTEGER NOT NULL
);
CREATE INDEX flow_ends_age ON flow_ends (last, size);

-- Flows folded: by hour, ends, service, the end that judged, and verdict.
CREATE TABLE edges (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    hour     INTEGER NOT NULL,
    src      INTEGER NOT NULL,
    dst      INTEGER NOT NULL,
    protocol INTEGER NOT NULL,
    port     INTEGER NOT NULL,
    way      INTEGER NOT NULL, -- 0 judged at dst, 1 at src
    verdict  INTEGER NOT NULL,
    rule     TEXT    NOT NULL, -- the newest that decided
    reason   TEXT    NOT NULL,
    flows    INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    packets  INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    process  TEXT    NOT NULL, -- the newest that is known
    size     INTEGER NOT NULL,
    UNIQUE (src, dst, protocol, port, way, verdict, hour)
);
CREATE INDEX edges_age ON edges (last, size);
CREATE INDEX edges_dst ON edges (dst);

-- What was reported, as it came.
CREATE TABLE flows (
    cursor   INTEGER PRIMARY KEY AUTOINCREMENT,
    host     TEXT    NOT NULL,
    src      INTEGER NOT NULL,
    dst      INTEGER NOT NULL,
    protocol INTEGER NOT NULL,
    port     INTEGER NOT NULL,
    way      INTEGER NOT NULL,
    verdict  INTEGER NOT NULL,
    rule     TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    flows    INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    packets  INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    pid      INTEGER NOT NULL,
    process  TEXT    NOT NULL,
    cgroup   TEXT    NOT NULL,
    size     INTEGER NOT NULL
);
CREATE INDEX flows_age ON flows (last, size);

-- How far each queue of each host has come: what is repeated adds nothing.
CREATE TABLE flow_queues (
    host  TEXT    NOT NULL,
    queue TEXT    NOT NULL,
    seq   INTEGER NOT NULL,
    time  INTEGER NOT NULL,
    PRIMARY KEY (host, queue)
);

-- +goose Down
DROP TABLE flow_queues;
DROP TABLE flows;
DROP TABLE edges;
DROP TABLE flow_ends;
