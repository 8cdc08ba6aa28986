"""Task families, their splits, and the environments that simulate them."""
