-- Sessions and codes from before refresh tokens have another form. Whoever had one logs in again.
DELETE FROM session;
DELETE FROM code;
CREATE TABLE family (
    session BLOB PRIMARY KEY,            -- SessionId whose refresh tokens these are
    family BLOB NOT NULL                 -- core's session::Family in the wire envelope; digests only
) WITHOUT ROWID;
CREATE TABLE used_once (
    digest BLOB PRIMARY KEY,             -- SHA-256 of what makes a proof or an assertion unique
    until INTEGER NOT NULL               -- ms since the Unix epoch; after it the row can go
) WITHOUT ROWID;
CREATE TABLE consent (
    client_id TEXT PRIMARY KEY,          -- whom the person allowed
    scope TEXT NOT NULL,                 -- what, space separated
    allowed_at INTEGER NOT NULL          -- ms since the Unix epoch
) WITHOUT ROWID;
-- Ends of sessions that the client has not confirmed (OIDC Back-Channel Logout).
CREATE TABLE announcement (
    id INTEGER PRIMARY KEY,              -- ascending
    session BLOB NOT NULL,               -- SessionId that ended
    client_id TEXT NOT NULL,             -- whom to tell
    ended_at INTEGER NOT NULL,           -- ms since the Unix epoch
    attempts INTEGER NOT NULL,           -- so far
    next_at INTEGER NOT NULL             -- ms since the Unix epoch; not before it
);
