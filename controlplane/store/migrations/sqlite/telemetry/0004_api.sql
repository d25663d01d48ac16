-- +goose Up
-- Whether API protection found something, for reading only such events.
ALTER TABLE events ADD COLUMN api INTEGER NOT NULL DEFAULT 0;
CREATE INDEX events_api ON events (time) WHERE api;
-- +goose Down
DROP INDEX events_api;
ALTER TABLE events DROP COLUMN api;
