CREATE TABLE user (
    id BLOB PRIMARY KEY,               -- UserId, 16 random bytes
    user_name TEXT NOT NULL,           -- as the provider wrote it
    folded_name TEXT NOT NULL UNIQUE,  -- the same in lower case: userName is case-insensitive
    external_id TEXT,                  -- the provider's own id; NULL: none
    active INTEGER NOT NULL,           -- 1: may log in
    attributes TEXT NOT NULL,          -- JSON object of every other attribute; not sealed
    created INTEGER NOT NULL,          -- ms since the Unix epoch
    modified INTEGER NOT NULL          -- ms since the Unix epoch
) WITHOUT ROWID;
-- Every subject that a user's names ever stood for, unless the name is someone else's now.
CREATE TABLE linked_subject (
    user BLOB NOT NULL,                -- UserId
    subject BLOB NOT NULL,             -- SubjectKey
    PRIMARY KEY (user, subject)
) WITHOUT ROWID;
-- Subjects that this directory has disabled and not reactivated.
CREATE TABLE held_subject (
    subject BLOB PRIMARY KEY           -- SubjectKey
) WITHOUT ROWID;
-- Commands that a subject has not confirmed. They are sent until it has.
CREATE TABLE pending (
    version INTEGER PRIMARY KEY,       -- ascending, the clock's ms or one more; a subject applies newer ones only
    subject BLOB NOT NULL,             -- SubjectKey
    user BLOB NOT NULL,                -- UserId whose change it is
    command BLOB NOT NULL              -- directory::command::SubjectCommand in the wire envelope
);
CREATE TABLE directory (
    id INTEGER PRIMARY KEY,            -- always 1
    next_version INTEGER NOT NULL      -- of the next pending command; never goes back
);
