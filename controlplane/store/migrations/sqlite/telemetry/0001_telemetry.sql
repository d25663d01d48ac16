-- +goose Up
CREATE TABLE events (
    cursor   INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT    NOT NULL UNIQUE,
    time     INTEGER NOT NULL,
    route    TEXT    NOT NULL,
    policy   TEXT    NOT NULL,
    decision TEXT    NOT NULL,
    client   TEXT    NOT NULL,
    method   TEXT    NOT NULL,
    host     TEXT    NOT NULL,
    path     TEXT    NOT NULL,
    body     TEXT    NOT NULL,
    size     INTEGER NOT NULL
);
CREATE INDEX events_age ON events (time, size);
CREATE INDEX events_route ON events (route, time);

CREATE TABLE event_rules (
    rule  INTEGER NOT NULL,
    event TEXT    NOT NULL,
    PRIMARY KEY (rule, event)
);
CREATE INDEX event_rules_event ON event_rules (event);

CREATE TABLE exchanges (
    id     TEXT PRIMARY KEY,
    time   INTEGER NOT NULL,
    route  TEXT    NOT NULL,
    client TEXT    NOT NULL,
    method TEXT    NOT NULL,
    host   TEXT    NOT NULL,
    path   TEXT    NOT NULL,
    body   TEXT    NOT NULL,
    size   INTEGER NOT NULL
);
CREATE INDEX exchanges_age ON exchanges (time, size);

CREATE TABLE coverage (
    source     TEXT PRIMARY KEY,
    received   INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    lost       INTEGER NOT NULL,
    garbage    INTEGER NOT NULL,
    since      INTEGER NOT NULL,
    last       INTEGER NOT NULL
);

-- Running totals of spool writers, so that a loss told twice is added once.
CREATE TABLE coverage_writers (
    source TEXT    NOT NULL,
    writer TEXT    NOT NULL,
    lost   INTEGER NOT NULL,
    time   INTEGER NOT NULL,
    PRIMARY KEY (source, writer)
);

-- +goose Down
DROP TABLE coverage_writers;
DROP TABLE coverage;
DROP TABLE exchanges;
DROP TABLE event_rules;
DROP TABLE events;
