-- Key documents of identity providers and issuers of trusts, as they were when last fetched: for an
-- isolate that begins while the place cannot be reached.
CREATE TABLE key_document (
    jwks_uri TEXT PRIMARY KEY,     -- where it was fetched: a place that an operator named
    document BLOB NOT NULL,        -- what came, a JWK set with at least one key that is used; public, not sealed
    fetched_at INTEGER NOT NULL,   -- ms since the Unix epoch, by the isolate that fetched it
    used_at INTEGER NOT NULL       -- ms since the Unix epoch: last kept or asked for; of too many the lowest goes
) WITHOUT ROWID;
CREATE INDEX key_document_by_use ON key_document (used_at);
