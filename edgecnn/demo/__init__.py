"""`edgecnn demo`: the whole path on digits that packages ship."""
