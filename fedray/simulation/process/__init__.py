"""The worker process: it runs lots of clients, sums their replies, and keeps the memory that they freed."""
