"""The Deephaven server inside this process: its JVM, its address and its key.

A JVM starts once per process and ends with it, so there is one `DeephavenServer` a process. Importing this module
starts nothing.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import re
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from server.access_key import load_or_create_key
from server.errors import PortInUse, ServerError
from server.java import find_java, java_home_slip
from server.shutdown import require_no_stop
from server.tls import check_tls_files

__all__ = [
    "ANONYMOUS",
    "AUTH_TYPE",
    "DEFAULT_PORT",
    "DeephavenServer",
    "heap_bytes",
    "heap_room",
    "is_loopback",
    "machine_memory",
]

_log = logging.getLogger(__name__)

DEFAULT_PORT = 10000
AUTH_TYPE = "io.deephaven.authentication.psk.PskAuthenticationHandler"
ANONYMOUS = "io.deephaven.auth.AnonymousAuthenticationHandler"

# Each throttle holds a change back by up to a second unless it is set; with growing snapshots ticking listeners fail.
_PROPERTIES = {
    "PeriodicUpdateGraph.targetCycleDurationMillis": "100",
    "barrage.minUpdateInterval": "100",
    "BarrageMessageProducer.subscriptionGrowthEnabled": "false",
    "deephaven.quiet": "true",
    # The web IDE shows times in New York's unless it is told otherwise, and may be told what this list names.
    "timeZone": "UTC",
    "client.configuration.list": "java.version,deephaven.version,barrage.version,groovy.version,python.version,"
    "http.session.durationMs,file.separator,web.storage.layout.directory,web.storage.notebook.directory,web.webgl,"
    "web.webgl.editable,web.flattenViewports,timeZone",
    # How long the end of the process waits for connected clients; ten seconds unless it is set.
    "shutdown.timeoutMs": "1000",
}
_QUIET_OPTIONS = ("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow")
_LISTEN_HINTS = {
    errno.EACCES: "; a port below 1024 is the administrator's: choose another with --port",
    errno.EADDRNOTAVAIL: "; it is no address of this machine, of which 0.0.0.0 means all",
}
_JAVA_ADVICE = (
    "Deephaven needs a JDK 17 or newer with javac: on Debian `apt-get install openjdk-17-jdk-headless`; "
    "JAVA_HOME names another"
)


def is_loopback(host: str) -> bool:
    """Tell whether only programs of this machine can reach an address.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
        (True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def heap_bytes(size: str) -> int:
    """Return how many bytes a size of a heap is.

    Raises:
        ServerError: It is none.

    Example:
        >>> heap_bytes("512m")
        536870912
    """
    if not re.fullmatch(r"[1-9][0-9]*[kmgKMG]", size):
        raise ServerError(f"heap {size!r} is not a size: write 2g or 512m")
    return int(size[:-1]) << {"k": 10, "m": 20, "g": 30}[size[-1].lower()]


def machine_memory() -> int:
    """Return how many bytes of memory this machine has, swap space included."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError):
        swap = re.search(r"SwapTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
        memory += 0 if swap is None else int(swap[1]) << 10
    return memory


def heap_room() -> tuple[int, int]:
    """Return how many bytes the JVM's heap has at most, and how many of them nothing lives in; it must run."""
    import jpy

    runtime = jpy.get_type("java.lang.Runtime").getRuntime()
    runtime.gc()
    largest = int(runtime.maxMemory())
    return largest, largest - int(runtime.totalMemory()) + int(runtime.freeMemory())


class DeephavenServer:
    """Deephaven in this process, for holders of a pre-shared key only.

    Args:
        host: The address to listen on; everyone who can reach it needs the key.
        port: The port, 0 for any free one.
        heap: The JVM's largest heap, as `2g` or `512m`; a quarter of the memory by default.
        key_file: Where the key is kept; this user's own file by default.
        anonymous: Let everyone in who can reach the address, without a key; on loopback addresses only.
        tls_cert: A PEM file with the server's certificate, and those that lead to its root; the server then speaks TLS
            only.
        tls_key: A PEM file with the certificate's private key, not encrypted.

    Raises:
        ServerError: An argument cannot be.

    Example:
        >>> DeephavenServer(port=0).host
        '127.0.0.1'
    """

    _running: DeephavenServer | None = None

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        heap: str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        anonymous: bool = False,
        tls_cert: str | os.PathLike[str] | None = None,
        tls_key: str | os.PathLike[str] | None = None,
    ) -> None:
        if not 0 <= port <= 65535:
            raise ServerError(f"port {port} is not between 0 and 65535")
        # What cannot be reserved ends the process inside the JVM, and leaves what it had started.
        if heap is not None and heap_bytes(heap) > machine_memory():
            raise ServerError(
                f"heap {heap} is more than the {machine_memory() / 2**30:.1f} GiB of memory that this machine has:"
                " choose a smaller one"
            )
        if anonymous and not is_loopback(host):
            raise ServerError(
                f"without a key the server would let everyone on the network run code on this machine: "
                f"{host} is no loopback address; leave out anonymous or listen on 127.0.0.1"
            )
        if not host:
            raise ServerError("the host is empty, which would listen on all addresses: write 0.0.0.0 for that")
        if (tls_cert is None) != (tls_key is None):
            raise ServerError("TLS needs both files, the certificate and its private key")
        self.host = host
        self.port = port
        self.key = ""
        self.anonymous = anonymous
        self.tls = tls_cert is not None
        # Deephaven copies what goes through sys.stdout into every browser's console; what may show the key goes here.
        self.terminal: TextIO = sys.stdout
        self._heap = heap
        self._key_file = None if key_file is None else Path(key_file).expanduser()
        self._tls_files = None if tls_cert is None or tls_key is None else (Path(tls_cert), Path(tls_key))

    @property
    def url(self) -> str:
        """The address of the web IDE, without the key."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{self.port}/"

    @property
    def login_url(self) -> str:
        """The address that opens the web IDE for whoever has it, since it carries the key, if there is one."""
        return self.url if self.anonymous else f"{self.url}?psk={self.key}"

    def check(self) -> None:
        """Find out what keeps the server from starting, as far as that shows without Java, and read or make the key.

        Raises:
            ServerError: As `start`.
        """
        if DeephavenServer._running is not None:
            raise ServerError(f"this process runs a Deephaven server already, at {DeephavenServer._running.url}")
        if not self.anonymous:
            self.key = load_or_create_key(self._key_file)
        if self._tls_files is not None:
            check_tls_files(*self._tls_files)
        _check_port(self.host, self.port)

    def start(self, stop: threading.Event | None = None) -> DeephavenServer:
        """Start the JVM and the server; call it in the main thread.

        Args:
            stop: Ends the start after the step that it is at, once set.

        Returns:
            This server, with `port` and `key` set.

        Raises:
            StartStopped: `stop` was set.
            ServerError: This process has a server already, or Java is missing or not a JDK.
            PortInUse: Another program has the port.
            KeyFileError: The key file cannot be trusted.
            TlsFileError: The certificate or its key cannot be used.

        Example:
            >>> server = DeephavenServer(port=0).start()
        """
        self.check()
        self._start_jvm()
        require_no_stop(stop)
        self._start_server()
        DeephavenServer._running = self
        return self

    def _start_jvm(self) -> None:
        try:
            import deephaven_server
            from deephaven_server.start_jvm import start_jvm
        except ModuleNotFoundError as error:
            raise ServerError(f"{error}: pip install -r requirements-server.txt") from error

        vm_options = Path(deephaven_server.__file__).parent / "jars" / "dh-default.vmoptions"
        # Python keeps the signals (-Xrs). Deephaven's own defaults add a file of compiler directives that is empty of
        # directives and announces itself on standard output. An option that Java 17 knows and a later one does not, or
        # the other way round, is passed over; the last two keep Java 25 from warning of what Deephaven does.
        arguments = ["-Xrs", "-XX:+UnlockDiagnosticVMOptions", "-XX:+IgnoreUnrecognizedVMOptions"]
        arguments += [f"-XX:VMOptionsFile={vm_options}", *_QUIET_OPTIONS]
        properties = _PROPERTIES | {"AuthHandlers": ANONYMOUS if self.anonymous else AUTH_TYPE}
        if self._tls_files is not None:
            certificate, key = self._tls_files
            properties |= {
                "ssl.identity.type": "privatekey",
                "ssl.identity.certChainPath": str(certificate.resolve()),
                "ssl.identity.privateKeyPath": str(key.resolve()),
            }
        extra = [f"-D{name}={value}" for name, value in properties.items()]
        home = find_java()
        slip = java_home_slip(home)
        if home is None:
            raise ServerError(f"no Java was found{f'; {slip}' if slip else ''}. {_JAVA_ADVICE}")
        if slip:
            _log.warning("%s: the server runs in %s", slip, home)
        try:
            jvm_args = extra + ([f"-Xmx{self._heap}"] if self._heap else [])
            start_jvm(jvm_args, default_jvm_args=arguments, java_home=str(home))
        except (ImportError, RuntimeError, ValueError, OSError) as error:
            raise ServerError(f"the JVM of {home} does not start ({error}). {_JAVA_ADVICE}") from error

        import jpy

        version = str(jpy.get_type("java.lang.System").getProperty("java.specification.version"))
        if not version.isdecimal() or int(version) < 17:
            raise ServerError(f"the Java in {home} is version {version}. {_JAVA_ADVICE}")
        if jpy.get_type("javax.tools.ToolProvider").getSystemJavaCompiler() is None:
            raise ServerError(f"the Java in {home} is a JRE, without a compiler. {_JAVA_ADVICE}")

    def _start_server(self) -> None:
        import jpy
        from deephaven_server import Server

        system = jpy.get_type("java.lang.System")
        # Read by the constructor and gone before start() records every system property in a table.
        if not self.anonymous:
            system.setProperty("authentication.psk", self.key)
        try:
            server = Server(host=self.host, port=self.port)
        finally:
            system.clearProperty("authentication.psk")
        # The handler logs the key on start, into the console of the web IDE.
        _silence(AUTH_TYPE)
        try:
            server.start()
        except RuntimeError as error:
            if "BindException" in str(error):
                raise PortInUse(self.host, self.port) from error
            raise
        self.port = server.port


def _check_port(host: str, port: int) -> None:
    # Long before the JVM, which takes seconds to find out the same.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(host, port) from error
            hint = _LISTEN_HINTS.get(error.errno or 0, "")
            raise ServerError(f"cannot listen on {host}:{port}: {error.strerror}{hint}") from error


def _silence(logger_name: str) -> None:
    import jpy

    logger: Any = jpy.get_type("org.slf4j.LoggerFactory").getLogger(logger_name)
    level = jpy.get_type("ch.qos.logback.classic.Level").OFF
    jpy.cast(logger, jpy.get_type("ch.qos.logback.classic.Logger")).setLevel(level)
