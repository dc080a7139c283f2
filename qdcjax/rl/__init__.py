"""Returns, advantages and the losses of policies and values."""
