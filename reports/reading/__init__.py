"""From folders on disk to `Results`: records and what is attached to them, with a problem for what is left out."""
