"""Task embeddings: posteriors, propensities and recurrent contexts."""
