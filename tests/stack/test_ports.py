import socket

import pytest

from embedded.errors import StackError
from embedded.ports import HOST, Ports, bind_error, free_port


def test_a_port_in_use_is_refused_and_the_message_names_its_option() -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(StackError, match=rf"^port {port} for the API: address already in use; .* --api-port "):
            Ports().reserve("the API", port, "--api-port")
    assert bind_error(port) is None


def test_two_parts_cannot_share_a_port() -> None:
    ports, port = Ports(), free_port()
    assert ports.reserve("the API", port, "--api-port") == port
    with pytest.raises(StackError, match=rf"^port {port} is asked for by the API and the demo mall: .* --mall-port$"):
        ports.reserve("the demo mall", port, "--mall-port")


def test_zero_takes_a_free_port_below_the_range_of_outgoing_connections() -> None:
    port = Ports().reserve("the API", 0, "--api-port")
    assert 1024 < port < 32768
    assert bind_error(port) is None
