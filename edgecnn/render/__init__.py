"""How results look: tables in a terminal, HTML pages."""
