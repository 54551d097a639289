-- Sessions and codes from before they say what the identity provider calls them. Whoever had one logs in
-- again.
DELETE FROM session;
DELETE FROM code;
DELETE FROM family;
