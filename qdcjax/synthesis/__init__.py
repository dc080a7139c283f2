"""Making data: propose, score, describe, accept; archives and selection."""
