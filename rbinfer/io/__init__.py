"""Everything that touches a file format."""
