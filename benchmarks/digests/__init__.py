"""What it costs to know that whatever is read is what was written, and to call patients by pseudonyms."""
