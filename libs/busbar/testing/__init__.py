"""What tests share: a real nats-server, and pytest fixtures (`busbar.testing.fixtures`). Not for production code."""
