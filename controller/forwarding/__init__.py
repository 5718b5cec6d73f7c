"""How packets cross the fabric when nothing special is done about them: a feature per kind of forwarding."""
