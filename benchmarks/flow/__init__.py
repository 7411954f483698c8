"""How fast velocity networks train and make tiles."""
