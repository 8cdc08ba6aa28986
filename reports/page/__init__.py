"""The one page, `report.html`: its sections, its summary in words, the template and its script."""
