"""The site file: model, loading with every error at once, fingerprint, and the compiled site that services run on."""
