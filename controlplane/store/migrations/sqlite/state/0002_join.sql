-- +goose Up
-- What a host joins with, once. Only the hash of the secret is kept.
CREATE TABLE join_tokens (
    id      TEXT PRIMARY KEY,
    host    TEXT    NOT NULL,
    hash    TEXT    NOT NULL UNIQUE,
    author  TEXT    NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used    INTEGER NOT NULL, -- 0: not yet
    revoked INTEGER NOT NULL
);

-- +goose Down
DROP TABLE join_tokens;
