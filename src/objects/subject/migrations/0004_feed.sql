-- Replies from before they name their receipt: who asks again is answered anew.
DELETE FROM idempotent_reply;
