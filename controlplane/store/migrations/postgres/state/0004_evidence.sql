-- +goose Up
-- What findings about APIs rest on beside operations: keyed hashes and counts.
CREATE TABLE api_evidence (
    id   BIGINT PRIMARY KEY, -- 1
    body BYTEA NOT NULL,
    time BIGINT NOT NULL
);
-- +goose Down
DROP TABLE api_evidence;
