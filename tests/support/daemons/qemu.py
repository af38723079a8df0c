"""A small machine of its own, with systemd, cgroup v2 and a newer Docker, in qemu; it boots in a minute or two.

How cgroups are mounted where the tests run cannot be changed for them, and an engine in a container is no engine on a
host. Everything is emulated: KVM is not there on many machines that build, and not sound on others.
"""

import platform
import shutil
import subprocess
from pathlib import Path

from support.daemons import debian, dockerd
from support.daemons.processes import bound_to_us, find
from support.progress import say

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
PATIENCE = 900  # seconds; without KVM everything takes ten times as long
UNIT = """\
[Unit]
Description=What the tests want to be done
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
    """Say what keeps us from starting such a machine here, if anything does."""
    if platform.machine() != "x86_64":
        return f"the machine would be an x86_64, and this is {platform.machine()}"
    absent = [name for name in ("qemu-system-x86_64", "mke2fs", "debugfs", "debootstrap") if find(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else dockerd.missing()


def run(directory: Path, scratch: Path) -> Path:
    """Boot with `directory` as a second disk, run the script `run` in it as root, and return that disk's image.

    What the script prints is in its file `output`, what the machine says in `journal`. Raises AssertionError with the
    console's last lines if the machine does not end by itself.
    """
    recipe = " ".join((SUITE, *PACKAGES, *debian.DISPENSABLE, SIZE, *FILES.values()))
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
    say("booting the machine in qemu: about four minutes, in which every instruction is emulated")
    console = scratch / "console"
    with console.open("wb") as file:
        qemu = subprocess.Popen(bound_to_us(command), stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        try:
            code = qemu.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            qemu.kill()
            qemu.wait()
    assert code == 0, console.read_text(errors="replace")[-4000:]
    return disk


def content(disk: Path, name: str) -> str:
    """Return what a file on the second disk says, "" if there is none."""
    debugfs = find("debugfs")
    assert debugfs is not None
    done = subprocess.run([debugfs, "-R", f"cat /{name}", str(disk)], capture_output=True, timeout=60, check=True)
    return done.stdout.decode(errors="replace")


def _make(directory: Path) -> None:
    directory.mkdir()
    with debian.bootstrapped(directory, SUITE, PACKAGES) as tree:
        for pattern in debian.DISPENSABLE:
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
