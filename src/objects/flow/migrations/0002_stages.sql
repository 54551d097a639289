-- `flow.flow` is now core's oauth::flow::Stage in the wire envelope. What was on its way before begins again.
DELETE FROM flow;
