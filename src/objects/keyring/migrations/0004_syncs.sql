-- What is known of connections' keys at API Shield, a row per connection that ever sent some.
CREATE TABLE jwks_sync (
    connection TEXT PRIMARY KEY,   -- its id
    state BLOB NOT NULL            -- core's connection::sync::SyncState in the wire envelope; public keys, not sealed
) WITHOUT ROWID;
