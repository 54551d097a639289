-- A command may come of a log-out at the identity provider, too.
ALTER TABLE pending RENAME TO pending_of_users;
CREATE TABLE pending (
    version INTEGER PRIMARY KEY,       -- ascending, the clock's ms or one more; a subject applies newer ones only
    subject BLOB NOT NULL,             -- SubjectKey
    user BLOB,                         -- UserId whose change it is; NULL: a log-out
    logout BLOB,                       -- SHA-256 of the logout token's issuer and jti; NULL: a user's change
    command BLOB NOT NULL              -- directory::command::SubjectCommand in the wire envelope
);
INSERT INTO pending (version, subject, user, command) SELECT version, subject, user, command FROM pending_of_users;
DROP TABLE pending_of_users;
-- Whoever has logged in, or is provisioned, or both.
CREATE TABLE registry (
    folded_value TEXT PRIMARY KEY,     -- value in lower case: what subject keys are made of
    value TEXT NOT NULL,               -- what identifies them, as it was last written; not sealed
    subject BLOB NOT NULL,             -- SubjectKey
    disabled INTEGER NOT NULL,         -- 1: in held_subject
    name TEXT,                         -- as was last said; NULL: never said; not sealed
    folded_name TEXT,                  -- the same in lower case
    preferred_username TEXT,           -- as the last log-in said; NULL: not said; not sealed
    email TEXT,                        -- as was last said; NULL: never said; not sealed
    folded_email TEXT,                 -- the same in lower case
    group_names TEXT NOT NULL,         -- JSON list of what the last log-in named; not sealed
    last_login_at INTEGER,             -- ms since the Unix epoch; NULL: never, or too long ago
    scim_user BLOB,                    -- UserId; NULL: not provisioned
    scim_active INTEGER                -- 1: active there; NULL: not provisioned
) WITHOUT ROWID;
CREATE UNIQUE INDEX registry_by_subject ON registry (subject);
CREATE INDEX registry_by_state ON registry (disabled, folded_value);
CREATE INDEX registry_by_name ON registry (folded_name, folded_value);
CREATE INDEX registry_by_email ON registry (folded_email, folded_value);
-- Users from before there was a registry, until they are in it: their subjects' keys are not made here.
CREATE TABLE unregistered (
    user BLOB PRIMARY KEY              -- UserId
) WITHOUT ROWID;
INSERT INTO unregistered (user) SELECT id FROM user;
-- Whom the provider means by a sub: the subjects that logged in with it.
CREATE TABLE known_sub (
    sub BLOB NOT NULL,                 -- SHA-256 of the provider's sub
    subject BLOB NOT NULL,             -- SubjectKey
    until INTEGER NOT NULL,            -- ms since the Unix epoch; after it no session is left of those log-ins
    PRIMARY KEY (sub, subject)
) WITHOUT ROWID;
-- The same for its sessions.
CREATE TABLE known_sid (
    sid BLOB NOT NULL,                 -- SHA-256 of the provider's sid
    subject BLOB NOT NULL,             -- SubjectKey
    until INTEGER NOT NULL,            -- ms since the Unix epoch; after it no session is left of those log-ins
    PRIMARY KEY (sid, subject)
) WITHOUT ROWID;
-- Whom the provider has logged out everywhere: a log-in that set out before comes too late.
CREATE TABLE ended_sub (
    sub BLOB PRIMARY KEY,              -- SHA-256 of the provider's sub
    at INTEGER NOT NULL,               -- ms since the Unix epoch: when it was last
    until INTEGER NOT NULL             -- ms since the Unix epoch; after it the row can go
) WITHOUT ROWID;
-- Sessions that the provider has ended: no log-in with them is good any more.
CREATE TABLE ended_sid (
    sid BLOB PRIMARY KEY,              -- SHA-256 of the provider's sid
    until INTEGER NOT NULL             -- ms since the Unix epoch; after it the row can go
) WITHOUT ROWID;
-- Logout tokens that were carried out.
CREATE TABLE used_logout (
    replay BLOB PRIMARY KEY,           -- SHA-256 of issuer and jti
    until INTEGER NOT NULL             -- ms since the Unix epoch; after it the row can go
) WITHOUT ROWID;
CREATE TABLE sweep (
    id INTEGER PRIMARY KEY,            -- always 1
    swept_at INTEGER NOT NULL          -- ms since the Unix epoch: when what is over was last deleted
);
