"""From results folders on disk to `Results`: tables, what is attached to them, and a problem for what is left out."""
