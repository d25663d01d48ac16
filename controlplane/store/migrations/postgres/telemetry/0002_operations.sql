-- +goose Up
-- What was learned of a service's operations, in parts that add up.
CREATE TABLE operation_parts (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service TEXT    NOT NULL,
    body    BYTEA    NOT NULL,
    time    BIGINT NOT NULL,
    size    BIGINT NOT NULL
);
CREATE INDEX operation_parts_age ON operation_parts (time, size);

-- +goose Down
DROP TABLE operation_parts;
