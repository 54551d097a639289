-- The subject as a whole; no row until the first log-in, kill or directory change.
CREATE TABLE subject (
    id INTEGER PRIMARY KEY,              -- always 1
    key BLOB NOT NULL,                   -- SubjectKey, 16 bytes: the object's own name
    generation INTEGER NOT NULL,         -- counts kills of the whole subject
    disabled INTEGER NOT NULL,           -- 1: deactivated until reactivated
    directory_version INTEGER NOT NULL,  -- highest directory change applied; 0: none
    killed_at INTEGER                    -- ms since the Unix epoch; NULL: never killed as a whole
);
CREATE TABLE session (
    id BLOB PRIMARY KEY,                 -- SessionId, 16 bytes
    forget_at INTEGER NOT NULL,          -- ms since the Unix epoch; after it the row can go
    session BLOB NOT NULL                -- core's session::Session in the wire envelope; not sealed
) WITHOUT ROWID;
CREATE TABLE code (
    digest BLOB PRIMARY KEY,             -- SHA-256 of the code's secret part
    session BLOB NOT NULL,               -- SessionId it stands for
    expires_at INTEGER NOT NULL,         -- ms since the Unix epoch; after it the row can go
    code BLOB NOT NULL                   -- core's session::Code in the wire envelope; not sealed
) WITHOUT ROWID;
CREATE TABLE revoked_token (
    token BLOB PRIMARY KEY,              -- TokenId, 16 bytes
    until INTEGER NOT NULL               -- ms since the Unix epoch; after it the row can go
) WITHOUT ROWID;
CREATE TABLE idempotent_reply (
    key BLOB PRIMARY KEY,                -- SHA-256 of caller and Idempotency-Key
    fingerprint BLOB NOT NULL,           -- SHA-256 of the request it answered
    reply BLOB NOT NULL,                 -- core's session::revoke::Revoked in the wire envelope
    until INTEGER NOT NULL               -- ms since the Unix epoch; after it the row can go
) WITHOUT ROWID;
