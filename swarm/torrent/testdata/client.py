"""A client on libtorrent: client.py FILE.torrent|MAGNET DIRECTORY

Takes what is not in the directory, prints "complete", and gives until its
standard input ends.
"""
import sys
import libtorrent as lt

source, directory = sys.argv[1:3]
session = lt.session({
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_outgoing_utp": False,  # it is tried first, for some seconds
    "alert_mask": sum(getattr(lt.alert.category_t, c + "_notification") for c in ("error", "peer", "status", "storage", "tracker")),
})
if source.startswith("magnet:"):
    add = lt.parse_magnet_uri(source)
else:
    add = lt.add_torrent_params()
    add.ti = lt.torrent_info(source)
add.save_path = directory
handle = session.add_torrent(add)


def alerts(until):
    """Prints what happens until something has."""
    while not until([]):
        session.wait_for_alert(200)
        seen = session.pop_alerts()
        for alert in seen:
            print(alert, file=sys.stderr)
        if handle.status().errc.value() != 0:
            sys.exit(handle.status().errc.message())
        if until(seen):
            return


alerts(lambda seen: handle.status().is_seeding)
handle.flush_cache()  # hashes are checked before what arrived is written
alerts(lambda seen: any(isinstance(alert, lt.cache_flushed_alert) for alert in seen))
print("complete", flush=True)
sys.stdin.read()
