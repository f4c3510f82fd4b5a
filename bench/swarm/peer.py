# A peer of libtorrent (https://libtorrent.org). It prints "ready" when it has
# a session; then it waits for a line, adds torrents, and prints "complete" when it
# has all of them. It goes on seeding until its standard input ends.
#
# Arguments: the address to listen on, a directory, "super" or "plain", torrents.
import sys

import libtorrent as lt

address, directory, seeding, torrents = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
session = lt.session({
    "listen_interfaces": address + ":6881",
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_incoming_utp": False, "enable_outgoing_utp": False,
    "in_enc_policy": 2, "out_enc_policy": 2,  # no encryption
    "connections_limit": 2000, "connection_speed": 200, "torrent_connect_boost": 200,
    "alert_queue_size": 100000, "active_seeds": -1, "active_limit": -1,
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification,
})
print("ready", flush=True)
if not sys.stdin.readline():
    sys.exit()
for torrent in torrents:
    p = lt.add_torrent_params()
    p.ti = lt.torrent_info(torrent)
    p.save_path = directory
    p.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    p.max_connections = 200
    if seeding == "super":
        p.flags |= lt.torrent_flags.super_seeding
    session.add_torrent(p)
missing = len(torrents)
while missing > 0:
    session.wait_for_alert(500)
    for alert in session.pop_alerts():
        if isinstance(alert, lt.torrent_finished_alert):
            missing -= 1
        elif "error" in type(alert).__name__:
            print(alert, file=sys.stderr, flush=True)
print("complete", flush=True)
while sys.stdin.readline():
    pass
