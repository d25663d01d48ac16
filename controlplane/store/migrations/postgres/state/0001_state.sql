-- +goose Up
CREATE TABLE resources (
    kind      TEXT    NOT NULL,
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    origin    TEXT    NOT NULL,
    manifest  BYTEA   NOT NULL,
    revision  BIGINT NOT NULL,
    author    TEXT    NOT NULL,
    time      BIGINT NOT NULL, -- ns since 1970, as everywhere
    PRIMARY KEY (kind, namespace, name)
);

CREATE TABLE revisions (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind      TEXT    NOT NULL,
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    revision  BIGINT NOT NULL,
    origin    TEXT    NOT NULL,
    manifest  BYTEA   NOT NULL,
    deleted   BOOLEAN NOT NULL,
    action    TEXT    NOT NULL,
    author    TEXT    NOT NULL,
    time      BIGINT NOT NULL,
    size      BIGINT NOT NULL,
    UNIQUE (kind, namespace, name, revision)
);
CREATE INDEX revisions_age ON revisions (time, size);

CREATE TABLE audit (
    seq      BIGINT PRIMARY KEY,
    time     BIGINT NOT NULL,
    author   TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    resource TEXT    NOT NULL,
    revision BIGINT NOT NULL,
    before   TEXT    NOT NULL,
    after    TEXT    NOT NULL,
    note     TEXT    NOT NULL,
    previous TEXT    NOT NULL,
    hash     TEXT    NOT NULL,
    size     BIGINT NOT NULL
);
CREATE INDEX audit_resource ON audit (resource, seq);

-- Where the audit chain begins (what was pruned ends there) and where it ends.
CREATE TABLE audit_ends (
    name TEXT PRIMARY KEY, -- 'start', 'head'
    seq  BIGINT NOT NULL,
    hash TEXT    NOT NULL
);

CREATE TABLE tokens (
    id        TEXT PRIMARY KEY,
    name      TEXT    NOT NULL,
    role      TEXT    NOT NULL,
    hash      TEXT    NOT NULL UNIQUE,
    created   BIGINT NOT NULL,
    last_used BIGINT NOT NULL,
    revoked   BIGINT NOT NULL
);

CREATE TABLE proposals (
    id               TEXT PRIMARY KEY,
    kind             TEXT    NOT NULL,
    target_kind      TEXT    NOT NULL,
    target_namespace TEXT    NOT NULL,
    target_name      TEXT    NOT NULL,
    base_revision    BIGINT NOT NULL,
    status           TEXT    NOT NULL,
    body             TEXT    NOT NULL,
    author           TEXT    NOT NULL,
    created          BIGINT NOT NULL,
    updated          BIGINT NOT NULL,
    decided_by       TEXT    NOT NULL,
    size             BIGINT NOT NULL
);

CREATE TABLE installation_keys (
    name  TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);

-- +goose Down
DROP TABLE installation_keys;
DROP TABLE proposals;
DROP TABLE tokens;
DROP TABLE audit_ends;
DROP TABLE audit;
DROP TABLE revisions;
DROP TABLE resources;
