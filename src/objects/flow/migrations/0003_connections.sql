-- A stage from before it says which connection it is of has another form. Whoever was on their way starts
-- again.
DELETE FROM flow;
