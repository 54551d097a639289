-- Sessions and codes from before they say what the identity provider calls them. Whoever had one logs in
-- again.
DELETE FROM session;
DELETE FROM code;
DELETE FROM family;
-- ms since the Unix epoch; NULL: never let in again after a deactivation
ALTER TABLE subject ADD COLUMN reactivated_at INTEGER;
-- ms since the Unix epoch; NULL: no session at the provider was ended
ALTER TABLE subject ADD COLUMN upstream_ended_at INTEGER;
-- Sessions at the identity provider that it has ended.
CREATE TABLE ended_upstream (
    sid BLOB PRIMARY KEY,                -- SHA-256 of the provider's sid
    until INTEGER NOT NULL               -- ms since the Unix epoch; after it the row can go
) WITHOUT ROWID;
