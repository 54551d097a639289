-- Bulk requests that are being carried out, or were when something stopped them.
CREATE TABLE bulk (
    id BLOB PRIMARY KEY,               -- BulkId, 16 random bytes
    begun INTEGER NOT NULL,            -- ms since the Unix epoch: they are gone on with in this order
    frame BLOB NOT NULL,               -- directory::bulk::Frame in the wire envelope
    body TEXT NOT NULL                 -- as it came; not sealed
);
-- How far each has come: a row of its own, for it is written with every operation.
CREATE TABLE bulk_progress (
    bulk BLOB PRIMARY KEY,             -- BulkId
    done INTEGER NOT NULL,             -- how many operations have been answered
    progress BLOB NOT NULL             -- scim::bulk::Progress in the wire envelope
) WITHOUT ROWID;
