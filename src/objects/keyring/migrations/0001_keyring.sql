CREATE TABLE signing_key (
    number INTEGER PRIMARY KEY,    -- ascending; the highest signs
    sealed BLOB NOT NULL,          -- nonce (24 bytes) and XChaCha20-Poly1305 of the 32-byte scalar; sealed
    created_at INTEGER NOT NULL    -- ms since the Unix epoch
);
