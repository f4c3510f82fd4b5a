package loopback

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// errNoOwner says that no program holds the socket any longer.
var errNoOwner = errors.New("the connecting socket has no owner")

// An ownerFunc returns the user ID that owns the socket at local which is
// connected to remote, both on this host. It does not wait.
type ownerFunc func(local, remote netip.AddrPort) (uid int, err error)

// SameUser returns a listener that accepts from inner and at once closes the
// connections of other users of this computer. Where the system does not tell
// who connects it returns inner itself, and says so in the log. Closing it
// closes inner.
func SameUser(inner net.Listener, log *slog.Logger) net.Listener {
	owner := systemOwner()
	if owner == nil {
		log.Info("this system does not tell which user connects: other users of this computer are not kept out",
			"listener", inner.Addr().String())
		return inner
	}
	return &listener{Listener: inner, owner: owner, user: os.Geteuid(), log: log}
}

type listener struct {
	net.Listener
	owner  ownerFunc
	user   int
	log    *slog.Logger
	warned atomic.Int64 // Unix time of the last warning
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.admits(conn) {
			return conn, nil
		}
		conn.Close()
	}
}

func (l *listener) admits(conn net.Conn) bool {
	far, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return true
	}
	near, ok := conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		return true
	}
	uid, err := l.owner(addrPort(far), addrPort(near))
	if err == nil && uid == l.user {
		return true
	}
	l.warn(far, uid, err)
	return false
}

// warn logs a refusal, at most one a minute: whoever is refused must not fill
// the log.
func (l *listener) warn(far *net.TCPAddr, uid int, err error) {
	now, last := time.Now().Unix(), l.warned.Load()
	if now-last < 60 || !l.warned.CompareAndSwap(last, now) {
		return
	}
	if err != nil {
		l.log.Debug("refused a connection whose user cannot be told", "addr", far.String(), "listener", l.Addr().String(), "err", err)
		return
	}
	l.log.Warn("refused a connection of another user of this computer", "uid", uid, "addr", far.String(), "listener", l.Addr().String())
}

// addrPort unmaps: an IPv6 listener sees IPv4 callers as ::ffff:a.b.c.d.
func addrPort(a *net.TCPAddr) netip.AddrPort {
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
