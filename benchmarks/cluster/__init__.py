"""What an autoscaled sweep does over time, on a cluster of fake nodes: real Ray processes on this machine."""
