-- Which lines an address may be of (crates/core/src/audit/addresses.rs). Written with the segment, so that a commit costs no row more than before.
ALTER TABLE segment ADD COLUMN addresses BLOB;
-- addresses: a keyed fingerprint of each line's address, a byte each, in the order of the lines; NULL where they are not known: each line is opened that may have it
