"""Real clusters on this one machine, as contexts: Slurm with two nodes, SSH servers, and Ray nodes."""

import contextlib
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from factories.servers import free_port

START_SECONDS = 60
SLURM_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")

# Two nodes on one machine, told apart by port. `normal` gives way to `urgent`, whose jobs preempt its own.
_SLURM_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU,CR_LLN
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
KillWait=30
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=2
{nodes}
PartitionName=normal Nodes=ALL Default=YES PriorityTier=1 MaxTime=INFINITE State=UP
PartitionName=urgent Nodes=ALL PriorityTier=10 MaxTime=INFINITE State=UP
"""
_NODE = "NodeName={name} NodeAddr=127.0.0.1 NodeHostname={host} Port={port} CPUs=2 RealMemory=16000 State=UNKNOWN"


def _found(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def slurm_missing() -> str | None:
    """Return why no Slurm can be started here, for `pytest.skip`, or None."""
    missing = [program for program in SLURM_PROGRAMS if _found(program) is None]
    if missing:
        return f"needs Slurm's {', '.join(missing)} (Debian: slurm-wlm and munge)"
    return None if os.geteuid() == 0 else "needs root, which Slurm's daemons run jobs as"


class Slurm:
    """A Slurm cluster of two nodes, n1 and n2, of two cores each; `SLURM_CONF` in `environment` names it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="study-slurm-", dir="/tmp"))
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf")}
        self._daemons: list[subprocess.Popen] = []

    def __enter__(self) -> "Slurm":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(subprocess.SubprocessError):  # jobs, which a test that has failed may have left
            self.ask("scancel", "--user=root")
            time.sleep(1)
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, *words: str) -> str:
        """Run one of Slurm's commands and return what it says."""
        environment = os.environ | self.environment
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout

    def _start(self) -> None:
        host = socket.gethostname().partition(".")[0]
        nodes = "\n".join(_NODE.format(name=name, host=host, port=free_port()) for name in ("n1", "n2"))
        settings = {"host": host, "folder": self.folder, "port": free_port(), "nodes": nodes}
        (self.folder / "slurm.conf").write_text(_SLURM_CONF.format(**settings))
        for name in ("state", "spool-n1", "spool-n2"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        files = [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "log", "pid", "seed")]
        self._run("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *files)
        self._run("slurmctld", "-D")
        for name in ("n1", "n2"):
            self._run("slurmd", "-D", "-N", name)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if time.monotonic() > deadline or any(daemon.poll() is not None for daemon in self._daemons):
                logs = "\n".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))
                raise RuntimeError(f"Slurm does not start:\n{logs}")
            time.sleep(0.2)

    def _run(self, program: str, *words: str) -> None:
        with (self.folder / f"{program}.out").open("ab") as log:
            self._daemons.append(
                subprocess.Popen(
                    [str(_found(program)), *words], env=os.environ | self.environment, stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log, start_new_session=True,
                )
            )  # fmt: skip

    def _is_ready(self) -> bool:
        with contextlib.suppress(subprocess.SubprocessError):
            return self.ask("sinfo", "--noheader", "--format=%T", "--partition=normal").split() == ["idle"]
        return False


# --- SSH --------------------------------------------------------------------------------------------

_SSHD_CONF = """\
Port {port}
ListenAddress {address}
HostKey {folder}/key
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
"""
_HOST = "Host {name}\n HostName {address}\n Port {port}\n User {user}\n"
# Each host has processes, and a name, of its own.
_ISOLATED = ["unshare", "--pid", "--fork", "--mount-proc", "--uts", "--kill-child", "sh", "-c"]
_PASSED = ("UV_", "SSL_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy", "REQUESTS_")


def ssh_missing() -> str | None:
    """Return why no SSH servers can be started here, for `pytest.skip`, or None."""
    if _found("sshd") is None or _found("ip") is None:
        return "needs sshd and ip (Debian: openssh-server and iproute2)"
    if os.geteuid() != 0 or subprocess.run([*_ISOLATED, "true"], capture_output=True).returncode:
        return "needs root, to give each host processes of its own (unshare)"
    return None


class Loopback:
    """The network of hosts that are told apart by port: all have this machine's own address."""

    address = "127.0.0.1"

    def add(self, name: str) -> tuple[str, list[str]]:
        """Return a new host's address, and the words that start its programs."""
        return self.address, []

    def open(self, port: int) -> None:
        """Let the hosts reach a port of this machine."""

    def close(self) -> None:
        """Take the network down."""


class Subnet(Loopback):
    """A network of hosts with addresses of their own, in which this machine has the address `address`."""

    def __init__(self) -> None:
        chance = secrets.SystemRandom()
        self._name = f"st{secrets.token_hex(4)}"
        self._prefix = f"10.{chance.randrange(100, 250)}.{chance.randrange(250)}"
        self.address = f"{self._prefix}.1"
        self._hosts: list[str] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._ip("link", "add", self._name, "type", "bridge")
        self._ip("address", "add", f"{self.address}/24", "dev", self._name)
        self._ip("link", "set", self._name, "up")

    def add(self, name: str) -> tuple[str, list[str]]:
        space, cable = f"{self._name}-{name}", f"{self._name}.{len(self._hosts)}"
        self._ip("netns", "add", space)
        self._hosts.append(space)
        address = f"{self._prefix}.{len(self._hosts) + 1}"
        self._ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
        self._ip("link", "set", cable, "master", self._name, "up")
        self._ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            self._ip("-n", space, "link", "set", device, "up")
        return address, [str(_found("ip")), "netns", "exec", space]

    def open(self, port: int) -> None:
        """Let the hosts reach a port of this machine's own address, where its servers listen."""
        self._sockets.append(door := socket.create_server((self.address, port)))
        self._run(self._let_in, door, port)

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):  # it is closed already
                one.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it
        for thread in self._threads:
            thread.join()
        for space in self._hosts:
            self._ip("netns", "delete", space)
        self._ip("link", "delete", self._name)

    def _run(self, task: Callable[..., None], *given: object) -> None:
        self._threads.append(threading.Thread(target=task, args=given))
        self._threads[-1].start()

    def _let_in(self, door: socket.socket, port: int) -> None:
        with door, contextlib.suppress(OSError):  # `close` ends it
            while True:
                visitor = door.accept()[0]
                self._sockets.append(visitor)
                self._run(_pass_on, visitor, port)

    def _ip(self, *words: str) -> None:
        subprocess.run([str(_found("ip")), *words], check=True, capture_output=True)


def _pass_on(visitor: socket.socket, port: int) -> None:
    with visitor, socket.create_connection((Loopback.address, port)) as server:
        back = threading.Thread(target=_copy, args=(server, visitor))
        back.start()
        _copy(visitor, server)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class SshHosts:
    """SSH servers that stand for machines of these names; `config` is the file with which ssh reaches them.

    `home` is on each of them a folder of its own, `path` is where they find programs, and `network` how they are
    reached.
    """

    def __init__(self, folder: Path, names: tuple[str, ...], path: str, network: Loopback):
        self._folder, self._names, self._path = folder, names, path
        self.config, self.home, self.network = folder / "config", folder / "home", network
        self._servers: list[subprocess.Popen] = []

    def __enter__(self) -> "SshHosts":
        key = self._folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd demands it
        usual = f"IdentityFile {key}\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n"
        entries = []
        self.home.mkdir()
        passed = {key: value for key, value in os.environ.items() if key.startswith(_PASSED)} | {"PATH": self._path}
        profile = self._folder / "profile.d"
        profile.mkdir()
        lines = [f"export {key}={shlex.quote(value)}" for key, value in passed.items()]
        (profile / "environment.sh").write_text("\n".join(lines))
        for name in self._names:
            (self._folder / name).mkdir()
            port = free_port()
            address, inside = self.network.add(name)
            conf = self._folder / f"{name}.conf"
            conf.write_text(_SSHD_CONF.format(port=port, address=address, folder=self._folder))
            mounts = f"mount --bind {self._folder / name} {self.home} && mount --bind {profile} /etc/profile.d"
            script = f"hostname {name} && {mounts} && exec {_found('sshd')} -D -e -f {conf}"
            with (self._folder / f"{name}.log").open("ab") as log:
                self._servers.append(subprocess.Popen([*inside, *_ISOLATED, script], stdout=log, stderr=log))
            entries.append(_HOST.format(name=name, address=address, port=port, user="root"))
        self.config.write_text("".join(entries) + f"Host *\n{usual}")
        deadline = time.monotonic() + START_SECONDS
        for name in self._names:
            while subprocess.run(["ssh", "-F", self.config, name, "true"], capture_output=True).returncode:
                assert time.monotonic() < deadline, (self._folder / f"{name}.log").read_text()
                time.sleep(0.2)
        return self

    def __exit__(self, *exception: object) -> None:
        for server in self._servers:
            server.kill()  # and with it all that the host runs
            server.wait()


# --- Ray --------------------------------------------------------------------------------------------

# Each node has processes, and a name, of its own, which all die with it; and it dies with the tests.
_NODE_OF = ["setpriv", "--pdeathsig", "KILL", *_ISOLATED]
_RAY = shlex.join([sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block",
                   "--min-worker-port=0", "--max-worker-port=0",
                   "--object-store-memory=80000000"])  # fmt: skip
RAY_SECONDS = 240  # of a node to start: ten on a quiet machine


def ray_missing() -> str | None:
    """Return why no Ray can be started here, for `pytest.skip`, or None."""
    if find_spec("ray") is None:
        return "needs Ray, see CONTRIBUTING.md"
    if os.geteuid() != 0 or subprocess.run([*_NODE_OF, "true"], capture_output=True).returncode:
        return "needs root, to give each node processes of its own (unshare)"
    return None


class RayCluster:
    """A Ray cluster of nodes with one core each, all on this machine.

    `address` is its address on the nodes, `client` that for other machines. The first node, n0, has no core, so that
    workers are on the others. `add` and `kill` let nodes join and die.
    """

    def __init__(self, nodes: int):
        # Ray's sockets lie in its folder, and their paths must be short.
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self.address = f"127.0.0.1:{free_port()}"
        self.client = f"ray://127.0.0.1:{free_port()}"
        self._first = nodes
        self._nodes: list[subprocess.Popen] = []

    def __enter__(self) -> "RayCluster":
        try:
            port, outside = (address.rpartition(":")[2] for address in (self.address, self.client))
            head = ["--head", f"--port={port}", f"--ray-client-server-port={outside}", "--num-cpus=0"]
            head.append("--include-dashboard=false")
            self._start(*head, f"--temp-dir={self._folder}")
            for _ in range(self._first - 1):
                self.add()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for number in reversed(range(len(self._nodes))):
            self.kill(number)
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self) -> str:
        """Let a node of one core join, and return its name."""
        return self._start(f"--address={self.address}", "--num-cpus=1")

    def kill(self, number: int) -> None:
        """Kill a node and all that runs on it, as if its machine lost power."""
        self._nodes[number].kill()
        self._nodes[number].wait()

    def _start(self, *words: str) -> str:
        name = f"n{len(self._nodes)}"
        log = self._folder / f"{name}.log"
        patient = {"RAY_raylet_start_wait_time_s": str(RAY_SECONDS),
                   "RAY_DASHBOARD_STARTUP_TIMEOUT_S": str(RAY_SECONDS),
                   "RAY_agent_register_timeout_ms": str(1_000 * RAY_SECONDS)}  # fmt: skip
        environment = os.environ | patient | {"RAY_USAGE_STATS_ENABLED": "0"}
        with log.open("ab") as output:
            self._nodes.append(
                subprocess.Popen(
                    [*_NODE_OF, f"hostname {name} && exec {_RAY} {shlex.join(words)}"], env=environment,
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                )
            )  # fmt: skip
        deadline = time.monotonic() + RAY_SECONDS
        while "Ray runtime started" not in log.read_text():
            if time.monotonic() > deadline or self._nodes[-1].poll() is not None:
                raise RuntimeError(f"Ray does not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        return name
