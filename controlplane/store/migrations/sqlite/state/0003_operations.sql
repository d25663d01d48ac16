-- +goose Up
-- What persons decided about templates.
CREATE TABLE operation_overrides (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    service TEXT    NOT NULL,
    body    TEXT    NOT NULL,
    author  TEXT    NOT NULL,
    time    INTEGER NOT NULL
);

-- The API that a service is declared to have.
CREATE TABLE declared_apis (
    service TEXT PRIMARY KEY,
    name    TEXT    NOT NULL, -- of the file it came from
    body    BLOB    NOT NULL,
    author  TEXT    NOT NULL,
    time    INTEGER NOT NULL
);

-- The API that a service was observed to have, whenever that changed.
CREATE TABLE observed_apis (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    service  TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    reason   TEXT    NOT NULL, -- 'daily', or who asked
    body     BLOB    NOT NULL, -- OpenAPI, deflated
    time     INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    UNIQUE (service, revision)
);
CREATE INDEX observed_apis_age ON observed_apis (time, size);

-- +goose Down
DROP TABLE observed_apis;
DROP TABLE declared_apis;
DROP TABLE operation_overrides;
