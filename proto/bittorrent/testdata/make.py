#!/usr/bin/python3
"""Makes the golden torrents beside it with libtorrent (python3-libtorrent).

Content: oak, a folder of files with odd sizes, and a.txt of it as one file. A
file's bytes are the SHA-256 sums of "SEED COUNTER", one after another.
"""
import hashlib, os, tempfile
import libtorrent as lt

here = os.path.dirname(os.path.abspath(__file__))
files = {"Z": 65536, "a.txt": 100000, "empty": 0, "sub/b.bin": 70000, "sub.txt": 16384, "z.end": 1}


def content(seed, size):
    return b"".join(hashlib.sha256(b"%d %d" % (seed, i)).digest() for i in range(size // 32 + 1))[:size]


def make(root, name, out, flags=0):
    storage = lt.file_storage()
    lt.add_files(storage, os.path.join(root, name))
    torrent = lt.create_torrent(storage, 65536, flags)
    torrent.add_tracker("http://127.0.0.1:6881/announce")
    torrent.set_priv(True)
    lt.set_piece_hashes(torrent, root)
    made = torrent.generate()
    made.pop(b"creation date", None)
    with open(os.path.join(here, out), "wb") as f:
        f.write(lt.bencode(made))


with tempfile.TemporaryDirectory() as root:
    for seed, (path, size) in enumerate(files.items()):
        path = os.path.join(root, "oak", path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content(seed, size))
    with open(os.path.join(root, "a.txt"), "wb") as f:
        f.write(content(1, files["a.txt"]))
    make(root, "oak", "folder.torrent")
    make(root, "a.txt", "file.torrent")
    make(root, "oak", "folder-v2.torrent", lt.create_torrent.v2_only)
    make(root, "a.txt", "file-v2.torrent", lt.create_torrent.v2_only)
    make(root, "oak", "folder-v1.torrent", lt.create_torrent.v1_only)
