"""Pictures of a training run and of what a network has learned; they need the package matplotlib."""
