-- By which rule users and log-ins meet. No row: no user was ever provisioned. Another rule would make other people of
-- them, so it is never changed.
CREATE TABLE matching (
    id INTEGER PRIMARY KEY,            -- always 1
    attribute TEXT NOT NULL,           -- user_name, primary_email or work_email: which one has the value
    folds_case INTEGER NOT NULL        -- 1: the value is the same in any case
);
INSERT INTO matching (id, attribute, folds_case) SELECT 1, 'user_name', 1 WHERE EXISTS (SELECT 1 FROM user);
-- The value that makes a user a person, in the form in which two are compared; one user's at a time. NULL: nobody.
ALTER TABLE user ADD COLUMN matched TEXT;
UPDATE user SET matched = folded_name;
CREATE UNIQUE INDEX user_by_matched ON user (matched);
-- A subject is one user's at a time.
CREATE UNIQUE INDEX linked_by_subject ON linked_subject (subject);
-- The registry goes by what subjects' keys are made of, which is not always in lower case.
ALTER TABLE registry RENAME COLUMN folded_value TO matched;
-- value in lower case, for searching
ALTER TABLE registry ADD COLUMN folded_value TEXT;
UPDATE registry SET folded_value = matched;
CREATE INDEX registry_by_value ON registry (folded_value, matched);
-- 1: holds a seat, from the first log-in until they are deprovisioned
ALTER TABLE registry ADD COLUMN seat INTEGER NOT NULL DEFAULT 0;
UPDATE registry SET seat = 1 WHERE last_login_at IS NOT NULL AND disabled = 0;
CREATE INDEX registry_by_seat ON registry (seat) WHERE seat = 1;
-- Commands of one subject, user or log-out, of however many there are.
CREATE INDEX pending_by_subject ON pending (subject, version);
CREATE INDEX pending_by_user ON pending (user) WHERE user IS NOT NULL;
CREATE INDEX pending_by_logout ON pending (logout) WHERE logout IS NOT NULL;
-- how often it was sent in vain
ALTER TABLE pending ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
-- ms since the Unix epoch; it is not sent again before
ALTER TABLE pending ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
-- What the change of a group means for many. Its commands are those of pending from version id on, so many as total says.
CREATE TABLE job (
    id INTEGER PRIMARY KEY,            -- version of its first command
    what TEXT NOT NULL,                -- members, renamed or deleted: what was changed
    grp BLOB NOT NULL,                 -- GroupId
    group_name TEXT NOT NULL,          -- its name before; not sealed
    cause TEXT,                        -- why sessions are ended, as in events; NULL: none are
    total INTEGER NOT NULL,            -- how many subjects are told
    created INTEGER NOT NULL,          -- ms since the Unix epoch
    finished INTEGER                   -- ms since the Unix epoch: when the last had committed it; NULL: not yet
);
CREATE INDEX job_by_finished ON job (finished, id);
