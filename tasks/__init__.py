"""Task families, their splits, and the environments that simulate them.

Importing this package imports nothing else: neither a simulator, nor gymnasium, nor the lists of the splits.
"""
