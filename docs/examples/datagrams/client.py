# Sends a line to an upper-casing server in a datagram and prints the answer:
# python3 client.py HOST PORT [PROXY_PORT]
import socket
import sys


def read(conn, size):
    """Reads exactly size bytes."""
    data = b""
    while len(data) < size:
        part = conn.recv(size - len(data))
        if not part:
            raise OSError("the proxy closed the connection")
        data += part
    return data


def associate(proxy):
    """Has kith's SOCKS5 proxy relay datagrams, as long as conn is open."""
    conn = socket.create_connection(("127.0.0.1", proxy))
    conn.sendall(b"\x05\x01\x00")  # version 5, one method offered: no login
    if read(conn, 2) != b"\x05\x00":
        raise OSError("the proxy wants a login")
    # version 5, associate, reserved, from an IPv4 address and port not known yet
    conn.sendall(b"\x05\x03\x00\x01" + bytes(6))
    _, status, _, kind = read(conn, 4)
    if status != 0 or kind != 1:
        raise OSError("the proxy relays no datagrams: error %d" % status)
    address, port = socket.inet_ntoa(read(conn, 4)), int.from_bytes(read(conn, 2), "big")
    return conn, (address, port)


host, port = sys.argv[1], int(sys.argv[2])
proxy = int(sys.argv[3]) if len(sys.argv) > 3 else 1080
conn, relay = associate(proxy)
name = host.encode("ascii")
# reserved, not a fragment, a name follows: its length, it, the port
header = b"\x00\x00\x00\x03" + bytes([len(name)]) + name + port.to_bytes(2, "big")
with conn, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
    datagrams.settimeout(1)
    sentence = input("Input lowercase sentence: ")
    for attempt in range(10):
        datagrams.sendto(header + sentence.encode(), relay)
        try:
            answer, _ = datagrams.recvfrom(65535)
        except socket.timeout:
            continue  # lost on the way there or back: once more
        print("From Server:", answer[len(header):].decode())
        break
    else:
        sys.exit("no answer")
