CREATE TABLE flow (
    id INTEGER PRIMARY KEY,        -- always 1: an object keeps one flow
    expires_at INTEGER NOT NULL,   -- ms since the Unix epoch
    flow BLOB NOT NULL             -- core's oauth::Flow in the wire envelope; not sealed
);
