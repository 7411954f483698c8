"""What passes between driver and workers, and all that has to know how Flower's classes are made inside."""
