"""site-page: the local operator page. It shows; it decides nothing."""
