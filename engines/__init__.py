"""Networks will live here: definitions, weights and their runners. Empty so far."""
