"""collector-aggregator: one consistent, numbered picture of the site each second."""
