"""What tests are built from: fakes, daemons, assertions and fixtures."""
