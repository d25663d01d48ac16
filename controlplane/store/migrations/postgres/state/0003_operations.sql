-- +goose Up
-- What persons decided about templates.
CREATE TABLE operation_overrides (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service TEXT    NOT NULL,
    body    TEXT    NOT NULL,
    author  TEXT    NOT NULL,
    time    BIGINT NOT NULL
);

-- The API that a service is declared to have.
CREATE TABLE declared_apis (
    service TEXT PRIMARY KEY,
    name    TEXT    NOT NULL, -- of the file it came from
    body    BYTEA    NOT NULL,
    author  TEXT    NOT NULL,
    time    BIGINT NOT NULL
);

-- The API that a service was observed to have, whenever that changed.
CREATE TABLE observed_apis (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service  TEXT    NOT NULL,
    revision BIGINT NOT NULL,
    reason   TEXT    NOT NULL, -- 'daily', or who asked
    body     BYTEA    NOT NULL, -- OpenAPI, deflated
    time     BIGINT NOT NULL,
    size     BIGINT NOT NULL,
    UNIQUE (service, revision)
);
CREATE INDEX observed_apis_age ON observed_apis (time, size);

-- +goose Down
DROP TABLE observed_apis;
DROP TABLE declared_apis;
DROP TABLE operation_overrides;
