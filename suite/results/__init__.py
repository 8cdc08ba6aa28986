"""The results folder on disk: its layout, locks, records and state. Imports neither torch nor a simulator."""
