"""Worker processes on a Ray: started, replaced, given work, and told apart from those that never came up."""
