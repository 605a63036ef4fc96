"""Recordings of the allocator's decisions, and their replay (OPS-3)."""
