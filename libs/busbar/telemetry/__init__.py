"""Logs (readable or JSON) and a tiny health endpoint."""
