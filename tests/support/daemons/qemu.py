"""A virtual machine in qemu with systemd, cgroup v2 and a newer Docker; it boots in a minute or two.

The tests cannot change how their own machine mounts cgroups, and an engine in a container differs from one on a host.
Everything is emulated: many build machines have no KVM, and on others it is unreliable.
"""

import platform
import shutil
import subprocess
from pathlib import Path

from support.daemons import debian, dockerd
from support.daemons.processes import end_with_parent, find
from support.progress import report

SUITE = "trixie"
PACKAGES = (
    "busybox-static",
    "ca-certificates",
    "dbus",
    "docker-cli",
    "docker.io",
    "initramfs-tools",
    "iptables",
    "kmod",
    "linux-image-cloud-amd64",
    "python3",
    "systemd",
    "systemd-sysv",
    "udev",
)
SIZE = "3G"
TIMEOUT_SECONDS = 900  # without KVM everything takes ten times as long
UNIT = """\
[Unit]
Description=Script of the tests
Wants=docker.service
After=docker.service
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
ExecStart=sh -c 'mount /dev/vdb /mnt; cd /mnt; sh ./run 2>&1 | tee output >/dev/console; \\
    journalctl --no-pager >journal; cd /; umount /mnt'
[Install]
WantedBy=multi-user.target
"""
FILES = {
    "etc/docker/daemon.json": '{"iptables": false, "ip6tables": false}',
    "etc/hostname": "machine",
    "etc/machine-id": "0123456789abcdef0123456789abcdef",
    "etc/systemd/system/inside.service": UNIT,
}


def missing() -> str | None:
    """Return why such a machine cannot be started here, or None."""
    if platform.machine() != "x86_64":
        return f"the machine needs x86_64, this is {platform.machine()}"
    absent = [name for name in ("qemu-system-x86_64", "mke2fs", "debugfs", "debootstrap") if find(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else dockerd.missing()


def run(directory: Path, scratch: Path) -> Path:
    """Boot with `directory` as a second disk, run the script `run` in it as root, and return that disk's image.

    The disk then has the output of the script in the file `output` and the journal of the machine in `journal`.

    Raises:
        AssertionError: The machine did not power off by itself; the message has the last lines of its console.
    """
    recipe = " ".join((SUITE, *PACKAGES, *debian.EXCLUDED, SIZE, *FILES.values()))
    system = debian.cached(f"machine-{debian.key(recipe)}", "the disk of a machine for qemu", _make)
    disk = scratch / "second.img"
    debian.quietly(["mke2fs", "-q", "-t", "ext4", "-d", str(directory), str(disk), "512M"])
    drives = (f"file={system}/disk.img,format=raw,if=virtio,snapshot=on", f"file={disk},format=raw,if=virtio")
    command = [
        *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-m", "2048", "-smp", "2"),
        *("-nographic", "-no-reboot", "-net", "none"),
        *("-kernel", f"{system}/vmlinuz", "-initrd", f"{system}/initrd.img"),
        *("-append", "console=ttyS0 root=/dev/vda rw panic=1 quiet systemd.show_status=1"),
        *(word for drive in drives for word in ("-drive", drive)),
    ]
    report("booting the machine in qemu: about four minutes, in which every instruction is emulated")
    console = scratch / "console"
    with console.open("wb") as file:
        qemu = subprocess.Popen(end_with_parent(command), stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        try:
            code = qemu.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            qemu.kill()
            qemu.wait()
    assert code == 0, console.read_text(errors="replace")[-4000:]
    return disk


def content(disk: Path, name: str) -> str:
    """Return the content of a file on the second disk, "" if it does not exist."""
    debugfs = find("debugfs")
    assert debugfs is not None
    done = subprocess.run([debugfs, "-R", f"cat /{name}", str(disk)], capture_output=True, timeout=60, check=True)
    return done.stdout.decode(errors="replace")


def _make(directory: Path) -> None:
    directory.mkdir()
    with debian.bootstrapped(directory, SUITE, PACKAGES) as tree:
        for pattern in debian.EXCLUDED:
            for path in tree.glob(pattern.removeprefix("./")):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for name, content in FILES.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(content)
        wanted = tree / "etc/systemd/system/multi-user.target.wants"
        (wanted / "inside.service").symlink_to("../inside.service")
        for name in ("vmlinuz", "initrd.img"):
            newest = max((tree / "boot").glob(f"{name}-*"))
            shutil.copy(newest, directory / name)
        debian.quietly(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(directory / "disk.img"), SIZE])
