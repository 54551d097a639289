-- Documents of identity providers and issuers of trusts, as they were when last fetched: for an isolate
-- that begins while their place cannot be reached.
CREATE TABLE kept_document (
    kind INTEGER NOT NULL,         -- 0: a key set, 1: provider metadata
    name TEXT NOT NULL,            -- where a key set was fetched, or the metadata's issuer: what an operator named
    document BLOB NOT NULL,        -- what came, judged to be good; public, not sealed
    fetched_at INTEGER NOT NULL,   -- ms since the Unix epoch, by the isolate that fetched it
    used_at INTEGER NOT NULL,      -- ms since the Unix epoch: last kept or asked for; of too many the lowest goes
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE INDEX kept_document_by_use ON kept_document (kind, used_at);
