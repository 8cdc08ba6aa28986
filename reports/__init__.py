"""Records -> numbers -> intervals -> tables and figures -> one page. Reads `suite.results.records` only."""
