"""Endpoints: where a server listens and clients connect, and who may.

`unix:PATH` is a socket of mode 0600. `tcp:HOST:PORT` outside loopback is refused unless both sides show
certificates. (That is decided by the addresses that HOST stands for, not by its name.)
"""

import os
import socket
import ssl
import stat
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

import trio
from attrs import frozen

from protocol.errors import VmapsimError

BACKLOG = 128
"""Connections that wait to be accepted."""

Stream: TypeAlias = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class BadEndpoint(VmapsimError):
    """An endpoint or a certificate is not what it has to be."""

    def __init__(self, where: str, found: str, allowed: str) -> None:
        super().__init__(f"{where}: found {found}; allowed: {allowed}")


@frozen
class Endpoint:
    """`unix:PATH` (`host` is empty) or `tcp:HOST:PORT` (`path` is)."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"tcp:{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@frozen
class Certificates:
    """What one side shows, and by which authority the other side's must be signed: three PEM files."""

    certificate: Path
    key: Path
    authority: Path


def parse_endpoint(text: str, where: str) -> Endpoint:
    """Read an endpoint; `where` names it in the error. Raises `BadEndpoint`."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest and "\0" not in rest:
        if len(os.fsencode(rest)) > 107:
            raise BadEndpoint(where, f"a path of {len(os.fsencode(rest))} bytes", "at most 107 in a socket's path")
        return Endpoint(path=rest)
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and host and port.isdecimal() and len(port) <= 5 and int(port) <= 65535:
        known = _ascii(host.removeprefix("[").removesuffix("]"))
        if not known:
            raise BadEndpoint(where, repr(text), "a host's name, labels of 1 to 63 bytes, or its address")
        return Endpoint(host=known, port=int(port))
    raise BadEndpoint(where, repr(text), "unix:PATH or tcp:HOST:PORT")


def _ascii(host: str) -> str:
    """Give a host's name as resolvers take it; empty for one that they raise for, rather than know none."""
    try:
        name = host.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    return "" if "\0" in name else name


async def listen(endpoint: Endpoint, certificates: Certificates | None) -> list[trio.abc.Listener[Stream]]:
    """Listen at `endpoint`; a stale Unix socket there is replaced, one in use is not.

    Raises `BadEndpoint`.
    """
    context = None if certificates is None else server_context(certificates)
    try:
        if endpoint.path:
            return [trio.SocketListener(_bind_unix(endpoint.path))]
        await _refuse_strangers(endpoint, context)
        plain = await trio.open_tcp_listeners(endpoint.port, host=endpoint.host, backlog=BACKLOG)
    except OSError as error:
        raise BadEndpoint(str(endpoint), (error.strerror or str(error)).lower(), "a free place to listen") from None
    if context is None:
        return list(plain)
    return [trio.SSLListener(listener, context) for listener in plain]


async def connect(endpoint: Endpoint, certificates: Certificates | None) -> Stream:
    """Connect to a server at `endpoint`.

    Raises OSError when none is there, `trio.BrokenResourceError` when it leaves meanwhile, `BadEndpoint` when it
    may not be: outside loopback without TLS, or with a certificate that the authority has not signed. (Whether the
    server takes ours is not known before the first read: with TLS 1.3 it looks after the client is done.)
    """
    if endpoint.path:
        return await trio.open_unix_socket(endpoint.path)
    context = None if certificates is None else client_context(certificates)
    await _refuse_strangers(endpoint, context)
    stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
    if context is None:
        return stream
    secured = trio.SSLStream(stream, context, server_hostname=endpoint.host)
    try:
        await secured.do_handshake()
    except BaseException as error:
        await trio.aclose_forcefully(secured)
        if is_refusal(error):
            raise refused(endpoint, error) from None
        raise
    return secured


def is_refusal(error: BaseException) -> bool:
    """Tell whether TLS itself, of either side, ended a connection: it would end the next one, too."""
    cause = error.__cause__
    return isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLSyscallError)


def refused(endpoint: Endpoint, error: BaseException) -> BadEndpoint:
    """Make the error that says why there is no TLS with `endpoint`."""
    return BadEndpoint(
        str(endpoint), reason_of(error), "certificates on both sides that the other side's authority signed"
    )


def reason_of(error: BaseException) -> str:
    """Say in words why a connection broke: trio keeps the reason as the cause of its own error."""
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {cause.verify_message}"
    if isinstance(cause, ssl.SSLEOFError):
        return "closed without a word of TLS"
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return cause.reason.lower().replace("_", " ")
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return str(cause) or repr(cause)


def address_of(listener: trio.abc.Listener[Stream], endpoint: Endpoint) -> str:
    """Give where a listener can be reached: with its real port, where any was asked for."""
    if endpoint.path:
        return str(endpoint)
    plain = listener.transport_listener if isinstance(listener, trio.SSLListener) else listener
    assert isinstance(plain, trio.SocketListener), "not a listener of this module's"
    host, port = plain.socket.getsockname()[:2]
    return str(Endpoint(host=host, port=port))


def server_context(certificates: Certificates) -> ssl.SSLContext:
    """Make the server's side of TLS: who connects must show a certificate of the authority's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    return _loaded(context, certificates)


def client_context(certificates: Certificates) -> ssl.SSLContext:
    """Make the client's side of TLS: the server must show a certificate for its host, of the authority's."""
    return _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificates)


def _loaded(context: ssl.SSLContext, certificates: Certificates) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    path = certificates.certificate
    try:
        context.load_cert_chain(path, certificates.key)
        path = certificates.authority
        context.load_verify_locations(path)
    except OSError as error:  # of which ssl.SSLError is one
        raise BadEndpoint(str(path), (error.strerror or str(error)).lower(), "a PEM file, and its key") from None
    return context


async def _refuse_strangers(endpoint: Endpoint, context: ssl.SSLContext | None) -> None:
    """Raise `BadEndpoint` when anybody on a network could get in: a host outside loopback, without TLS."""
    if context is not None:
        return
    found = await trio.socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    addresses = [str(address[0]).partition("%")[0] for *_, address in found]
    outside = [address for address in addresses if not ip_address(address).is_loopback]
    if outside:
        raise BadEndpoint(
            str(endpoint), f"{outside[0]}, outside loopback, without TLS", "loopback, or certificates on both sides"
        )


def _bind_unix(path: str) -> trio.socket.SocketType:
    """Make a listening socket that only its owner can connect to, from its first moment on."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        mask = os.umask(0o177)
        try:
            made.bind(path)
        finally:
            os.umask(mask)
        made.listen(BACKLOG)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return trio.socket.from_stdlib_socket(made)


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens at any more, and nothing else."""
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BadEndpoint(f"unix:{path}", "a file that is no socket", "a socket's path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
        else:
            raise BadEndpoint(f"unix:{path}", "a server that listens there", "a path of its own")
