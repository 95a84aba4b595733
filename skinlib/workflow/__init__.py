"""What executes notebooks and trains runs; no notebook imports it."""
