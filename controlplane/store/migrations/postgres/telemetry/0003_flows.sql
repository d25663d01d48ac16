-- +goose Up
-- Ends of flows: workloads with the labels they had, or addresses.
CREATE TABLE flow_ends (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash      TEXT    NOT NULL UNIQUE, -- of the four below
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    labels    TEXT    NOT NULL, -- JSON
    address   TEXT    NOT NULL,
    last      BIGINT  NOT NULL, -- roughly
    size      BIGINT  NOT NULL
);
CREATE INDEX flow_ends_age ON flow_ends (last, size);

-- Flows folded: by hour, ends, service, the end that judged, and verdict.
CREATE TABLE edges (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hour     BIGINT  NOT NULL,
    src      BIGINT  NOT NULL,
    dst      BIGINT  NOT NULL,
    protocol BIGINT  NOT NULL,
    port     BIGINT  NOT NULL,
    way      BIGINT  NOT NULL, -- 0 judged at dst, 1 at src
    verdict  BIGINT  NOT NULL,
    rule     TEXT    NOT NULL, -- the newest that decided
    reason   TEXT    NOT NULL,
    flows    BIGINT  NOT NULL,
    answered BIGINT  NOT NULL,
    packets  BIGINT  NOT NULL,
    bytes    BIGINT  NOT NULL,
    first    BIGINT  NOT NULL,
    last     BIGINT  NOT NULL,
    process  TEXT    NOT NULL, -- the newest that is known
    size     BIGINT  NOT NULL,
    UNIQUE (src, dst, protocol, port, way, verdict, hour)
);
CREATE INDEX edges_age ON edges (last, size);
CREATE INDEX edges_dst ON edges (dst);

-- What was reported, as it came.
CREATE TABLE flows (
    cursor   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host     TEXT    NOT NULL,
    src      BIGINT  NOT NULL,
    dst      BIGINT  NOT NULL,
    protocol BIGINT  NOT NULL,
    port     BIGINT  NOT NULL,
    way      BIGINT  NOT NULL,
    verdict  BIGINT  NOT NULL,
    rule     TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    flows    BIGINT  NOT NULL,
    answered BIGINT  NOT NULL,
    packets  BIGINT  NOT NULL,
    bytes    BIGINT  NOT NULL,
    first    BIGINT  NOT NULL,
    last     BIGINT  NOT NULL,
    pid      BIGINT  NOT NULL,
    process  TEXT    NOT NULL,
    cgroup   TEXT    NOT NULL,
    size     BIGINT  NOT NULL
);
CREATE INDEX flows_age ON flows (last, size);

-- How far each queue of each host has come: what is repeated adds nothing.
CREATE TABLE flow_queues (
    host  TEXT    NOT NULL,
    queue TEXT    NOT NULL,
    seq   BIGINT  NOT NULL,
    time  BIGINT  NOT NULL,
    PRIMARY KEY (host, queue)
);

-- +goose Down
DROP TABLE flow_queues;
DROP TABLE flows;
DROP TABLE edges;
DROP TABLE flow_ends;
