"""The files in which this machine's kernel counts what a container uses: cgroup v1 and v2, and /proc."""
