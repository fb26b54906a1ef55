"""Files of other tools as bundles: `edgecnn import`."""
