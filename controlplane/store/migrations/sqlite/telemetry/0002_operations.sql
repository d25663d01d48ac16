-- +goose Up
-- What was learned of a service's operations, in parts that add up.
CREATE TABLE operation_parts (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    service TEXT    NOT NULL,
    body    BLOB    NOT NULL,
    time    INTEGER NOT NULL,
    size    INTEGER NOT NULL
);
CREATE INDEX operation_parts_age ON operation_parts (time, size);

-- +goose Down
DROP TABLE operation_parts;
