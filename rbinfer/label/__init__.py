"""A page on which a person labels cutouts: what to show first, and every answer on disk at once."""
