"""Show results: tables in a terminal, HTML pages."""
