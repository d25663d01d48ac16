-- +goose Up
-- What findings about APIs rest on beside operations: keyed hashes and counts.
CREATE TABLE api_evidence (
    id   INTEGER PRIMARY KEY, -- 1
    body BLOB NOT NULL,
    time INTEGER NOT NULL
);
-- +goose Down
DROP TABLE api_evidence;
