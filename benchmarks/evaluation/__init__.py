"""What the evaluation sees, and what it costs."""
