# Sends a line to an upper-casing server and prints the answer:
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


def dial(host, port, proxy):
    """Opens a socket to a port of a member, through kith's SOCKS5 proxy."""
    conn = socket.create_connection(("127.0.0.1", proxy))
    conn.sendall(b"\x05\x01\x00")  # version 5, one method offered: no login
    if read(conn, 2) != b"\x05\x00":
        raise OSError("the proxy wants a login")
    name = host.encode("ascii")
    # version 5, connect, reserved, a name follows: its length, it, the port
    conn.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + port.to_bytes(2, "big"))
    _, status, _, kind = read(conn, 4)
    size = {1: 4, 3: None, 4: 16}[kind]  # IPv4, name, IPv6
    if size is None:
        size = read(conn, 1)[0]
    read(conn, size + 2)  # the address that the proxy used, of no interest here
    if status != 0:
        reasons = {2: "not allowed", 3: "no path", 4: "no such host or no path", 5: "nobody listens there"}
        raise OSError("%s port %d: %s" % (host, port, reasons.get(status, "error %d" % status)))
    return conn


host, port = sys.argv[1], int(sys.argv[2])
proxy = int(sys.argv[3]) if len(sys.argv) > 3 else 1080
with dial(host, port, proxy) as conn:
    sentence = input("Input lowercase sentence: ")
    conn.sendall(sentence.encode() + b"\n")
    answer = conn.makefile("r", encoding="utf-8", newline="\n").readline()
    print("From Server:", answer, end="")
