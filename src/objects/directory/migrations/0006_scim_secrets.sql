-- What the provider may prove itself by at the connection's SCIM endpoint. A few rows at most.
CREATE TABLE scim_secret (
    digest BLOB PRIMARY KEY,           -- SHA-256 of the secret
    created INTEGER NOT NULL,          -- ms since the Unix epoch
    good_until INTEGER,                -- ms since the Unix epoch; NULL: until it is replaced or removed
    last_used INTEGER                  -- ms since the Unix epoch, the beginning of an hour; NULL: never
) WITHOUT ROWID;
