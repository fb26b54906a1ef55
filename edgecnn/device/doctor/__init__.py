"""`edgecnn doctor`: runtimes, cameras, delegates and golden frames of this machine."""
