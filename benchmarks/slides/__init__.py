"""Cutting a slide into tiles, against a plain loop of OpenSlide's reads and PNG writes."""
