"""Mosquitto (2.0 or 2.1) as a child process, with a configuration of our own."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from mqtt_broker.credentials import mosquitto_entry
from mqtt_broker.errors import BrokerError, PortTaken
from mqtt_broker.running import RunningBroker, accepts, address_for_clients, on_a_port
from mqtt_broker.settings import BrokerSettings
from mqtt_client.endpoint import Endpoint

# Debian puts it where only root's PATH looks; Homebrew where a service's does not.
PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/sbin")
PATIENCE = 10.0  # seconds to begin to accept (11 ms on an idle machine), and to end
# Seconds after which it is told again to end: Mosquitto accepts a little before it is ready to
# be told, and a signal that comes in between is forgotten.
AGAIN = 0.5
# Waiting for one client.  Mosquitto drops silently what goes over, after 1,000
# messages unless told otherwise: too few for an aggregator of 1,000 devices.
QUEUED_BYTES = 256 * 1024 * 1024


def find_mosquitto() -> str | None:
    """The program's path, or None when it is not installed."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *PLACES])
    return shutil.which("mosquitto", path=path)


class Mosquitto(RunningBroker):
    """A Mosquitto that ends with `stop`, or when this process dies, however it dies."""

    def __init__(self, settings: BrokerSettings, directory: Path, password: str | None) -> None:
        program = find_mosquitto()
        if program is None:
            raise BrokerError("mosquitto is not installed (Debian, Ubuntu: apt install mosquitto)")
        self._program = program
        self._settings = settings
        self._config = directory / "mosquitto.conf"
        self._log = directory / "mosquitto.log"
        self._log_start = 0  # of this life's lines
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        self._secrets: Path | None = None
        try:
            if password is not None:
                self._secrets = _write_secrets(settings.username, password)
            port = on_a_port(settings, self._start)
        except BaseException:
            self.stop()
            raise
        host = address_for_clients(settings.host)
        username = settings.username or None
        super().__init__("mosquitto", Endpoint(host, port, username, password))

    @property
    def pid(self) -> int | None:
        """Mosquitto's process id; None once stopped."""
        return self._process.pid if self._process else None

    def check(self) -> None:
        """Ask the process, not the port: a busy broker may take its time to accept."""
        ended = self._process.poll() if self._process else None
        if ended is not None:
            raise BrokerError(
                f"mosquitto at {self.endpoint} ended with status {ended}. "
                f"{self._log} says: {self._said()}"
            )

    def restart(self) -> None:
        """Stop, and start on the same port.  Every connection breaks."""
        self._end()
        self._start(self.endpoint.port)

    def stop(self) -> None:
        """End the process and forget the password; may be called again."""
        self._end()
        if self._secrets is not None:
            shutil.rmtree(self._secrets, ignore_errors=True)
            self._secrets = None

    def _start(self, port: int) -> None:
        self._config.write_text(self._configuration(port), encoding="utf-8")
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [self._program, "-c", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us: we end it, after those who use it
            )
        self._watch = _end_with_us(self._process.pid)
        deadline = time.monotonic() + PATIENCE
        while not accepts(self._settings.host, port):
            ended = self._process.poll()
            if ended is not None or time.monotonic() > deadline:
                self._end()
                how = "does not accept" if ended is None else f"ended with status {ended}"
                where = f"mosquitto on {self._settings.host} port {port}"
                said = self._said()
                kind = PortTaken if "in use" in said else BrokerError
                raise kind(f"{where} {how}. {self._log} says: {said}")
            time.sleep(0.005)

    def _end(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.kill()
            watch.communicate()
        process, self._process = self._process, None
        if process is None:
            return
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(AGAIN)
                return
        process.kill()
        process.wait()

    def _said(self) -> str:
        lines = self._log.read_bytes()[self._log_start :].decode(errors="replace").split("\n")
        return " | ".join(line for line in lines if line)[-600:] or "nothing"

    def _configuration(self, port: int) -> str:
        lines = [
            f"listener {port} {self._settings.host}",
            f"allow_anonymous {'false' if self._secrets else 'true'}",
            *([f"password_file {self._secrets / 'passwords'}"] if self._secrets else []),
            f"max_packet_size {self._settings.max_packet}",
            "max_queued_messages 0",  # bytes are counted instead
            f"max_queued_bytes {QUEUED_BYTES}",
            "max_inflight_messages 200",
            "set_tcp_nodelay true",
            "persistence false",
            "sys_interval 1",
            "connection_messages false",
            "log_dest stderr",
            "log_timestamp_format %Y-%m-%dT%H:%M:%S",
        ]
        return "\n".join(lines) + "\n"


def _write_secrets(username: str, password: str) -> Path:
    """A directory with the password file, both readable to Mosquitto alone.

    Started as root, Mosquitto becomes the user `mosquitto` before it reads
    the file, which it then could not do in a run directory below /root.
    """
    directory = Path(tempfile.mkdtemp(prefix="microfed-broker-"))  # 0700
    file = directory / "passwords"
    file.touch(0o600)
    file.write_text(mosquitto_entry(username, password, secrets.token_bytes(12)), encoding="utf-8")
    if os.geteuid() == 0:
        owner = _dropped_to()
        os.chown(file, owner, -1)
        os.chown(directory, owner, -1)
    return directory


def _dropped_to() -> int:
    for name in ("mosquitto", "nobody"):  # as Mosquitto chooses
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    return 0


def _end_with_us(pid: int) -> subprocess.Popen[bytes]:
    """Watch from a shell whose input closes when this process dies, even by SIGKILL.

    prctl(PR_SET_PDEATHSIG) would not do: it is cleared when root is dropped.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; kill "$0"', str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
