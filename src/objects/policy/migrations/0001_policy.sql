CREATE TABLE policy (
    id INTEGER PRIMARY KEY,          -- always 1
    version INTEGER NOT NULL         -- of all that is below; the clock's ms or one more, never goes back
);
-- What is over for everyone at once.
CREATE TABLE wide_revocation (
    scope BLOB PRIMARY KEY,          -- core's policy::WideScope in the wire envelope
    not_before INTEGER NOT NULL,     -- ms since the Unix epoch: what began until then is over
    ends_at INTEGER NOT NULL         -- ms since the Unix epoch: from then on nothing is left to cover
) WITHOUT ROWID;
CREATE TABLE client (
    client_id TEXT PRIMARY KEY,
    is_dynamic INTEGER NOT NULL,     -- 1: it registered itself
    document TEXT NOT NULL           -- core's client::Client as JSON; secrets as digests only
) WITHOUT ROWID;
CREATE TABLE trust (
    id TEXT PRIMARY KEY,
    document TEXT NOT NULL           -- core's policy::trust::Trust as JSON; not sealed
) WITHOUT ROWID;
