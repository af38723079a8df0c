"""Pure arithmetic: what counts as measured, what a reading is, and the usage between two readings."""
