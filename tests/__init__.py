"""Tests mirror the source; a package, because an installed one is called tests too."""
