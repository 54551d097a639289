-- What the connection's directory says of the person; no row until it says something.
CREATE TABLE provisioned (
    id INTEGER PRIMARY KEY,              -- always 1
    version INTEGER NOT NULL,            -- the directory's; what is not newer changes nothing
    names BLOB NOT NULL                  -- groups and roles, two lists in the wire envelope; not sealed
);
