"""A round on its way through the workers: messages in lots, replies and means back, states on two nodes."""
