"""The plugin process sends its request once, however fast the agent answers."""

import socket

from calico.cni import plugin


class Fast(socket.socket):
    """A socket whose far end answers and closes before `sendmsg` has even returned."""

    peer = None

    def sendmsg(self, *arguments):
        sent = super().sendmsg(*arguments)
        self.peer.recv(sent)
        self.peer.sendall(b"00000002R1")
        self.peer.close()
        return sent


def test_an_agent_that_closes_at_once_is_heard():
    ours, peer = socket.socketpair()
    with Fast(fileno=ours.detach()) as fast:
        fast.peer = peer
        plugin.send(fast, b"request", "")
        assert plugin.receive(fast) == b"R1"
