"""What is declared, and what it stands for: an experiment file, the grid that it expands to, and their specs."""
