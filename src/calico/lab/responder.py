"""What runs in a pod of a lab: it answers with the pod's name.

    responder.py NAME tcp/80 udp/53 ...

TCP: the name and a line feed on connecting, then everything back that is sent. UDP: the name, a
blank, and what was sent. IPv4 and IPv6. (Echo requests are the kernel's to answer.)

Standard library only, and started without `site`: one of these runs in every pod.
"""

import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence

BACKLOG = 512
LONGEST = 65_536
LONGEST_HOST_NAME = 64


def open_port(word: str, family: socket.AddressFamily) -> socket.socket:
    """Open the socket for one "tcp/80"."""
    protocol, port = word.split("/")
    one = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("", int(port)))
    one.setblocking(False)
    if one.type == socket.SOCK_STREAM:
        one.listen(BACKLOG)
    return one


class Responder:
    """Every socket of one pod, served from one loop."""

    def __init__(self, name: str, words: Sequence[str]) -> None:
        self.name = name.encode()
        self.poll = select.epoll()
        self.served: dict[int, tuple[socket.socket, Callable[[socket.socket], None]]] = {}
        for word in words:
            for family in (socket.AF_INET, socket.AF_INET6):
                one = open_port(word, family)
                self.serve(one, self.accept if one.type == socket.SOCK_STREAM else self.answer)

    def serve(self, one: socket.socket, respond: Callable[[socket.socket], None]) -> None:
        """Call `respond` whenever there is something on this socket."""
        self.served[one.fileno()] = (one, respond)
        self.poll.register(one.fileno(), select.EPOLLIN)

    def accept(self, listener: socket.socket) -> None:
        """Greet a new connection."""
        connection, _ = listener.accept()
        connection.setblocking(False)
        self.serve(connection, self.echo)
        connection.sendall(self.name + b"\n")

    def answer(self, one: socket.socket) -> None:
        """Answer a datagram."""
        data, sender = one.recvfrom(LONGEST)
        one.sendto(self.name + b" " + data, sender)

    def echo(self, connection: socket.socket) -> None:
        """Send back what came; forget the connection when it ends."""
        try:
            data = connection.recv(LONGEST)
            connection.sendall(data)
        except BlockingIOError:
            return
        except OSError:  # reset: the other side has gone
            data = b""
        if not data:
            self.poll.unregister(connection.fileno())
            del self.served[connection.fileno()]
            connection.close()

    def turn(self) -> None:
        """Serve all that is ready."""
        for descriptor, _ in self.poll.poll():
            one, respond = self.served[descriptor]
            try:
                respond(one)
            except OSError:  # whoever asked is gone, or has closed the way back
                continue


def main(name: str, *words: str) -> None:
    """Answer until killed."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    socket.sethostname(name.replace("/", ".")[:LONGEST_HOST_NAME])
    responder = Responder(name, words)
    while True:
        responder.turn()


if __name__ == "__main__":
    main(*sys.argv[1:])
