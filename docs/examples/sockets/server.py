# Answers every line in capital letters, on port 7000 of this computer or the
# port it is given: python3 server.py [PORT]
import socketserver
import sys


class UpperCase(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


port = int(sys.argv[1]) if len(sys.argv) > 1 else 7000
with Server(("127.0.0.1", port), UpperCase) as server:
    print("The server is ready to receive on port", server.server_address[1], flush=True)
    server.serve_forever()
