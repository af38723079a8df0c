"""The Docker Engine's API, on real engines and on the fake one."""
