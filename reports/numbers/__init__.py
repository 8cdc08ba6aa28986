"""From records to numbers: intervals, aggregates, scores, and the tables and series that figures are drawn from."""
