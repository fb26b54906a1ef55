"""`edgecnn demo`: the whole path, from lab images to audit, on digits that packages contain."""
