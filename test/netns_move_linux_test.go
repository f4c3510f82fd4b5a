package test

import (
	"syscall"
	"testing"
	"time"

	"kith.alt/kith/control"
)

// TestMoves has a download between two homes go on over one socket, whatever
// happens to the hosts, their routers and the paths between them.
func TestMoves(t *testing.T) {
	t.Parallel()
	together(t, map[string]func(*testing.T){
		"address":             moveAddress,
		"router":              moveRouter,
		"interface":           moveInterface,
		"both":                moveBoth,
		"to the LAN":          moveTogether,
		"relay dies":          relayDies,
		"path cut":            pathCut,
		"suspended":           suspended,
		"forgetting":          routersForget,
		"relayed, forgetting": routersForgetRelay,
		"loss":                loss,
	})
}

// newDownload makes a pair with a download from one host to the other.
func newDownload(t *testing.T, kind nat, path string, public ...string) *pair {
	t.Helper()
	p := newPair(t, kind, path, public...)
	p.download = startDownload(p.maple, p.oak)
	return p
}

// moveAddress gives the sender, then the receiver, another address on its local
// network. To each member the routers then use another port, as those of before
// are taken until they are forgotten: what the path is meanwhile is open.
func moveAddress(t *testing.T) {
	p := newDownload(t, portRestricted, control.PathDirect, "birch")
	p.a.renumber(p.maple.computer, "eth0")
	p.download.goesOn("maple has a new address")
	p.b.renumber(p.oak.computer, "eth0")
	p.download.goesOn("oak has a new address")
	p.a.forget()
	p.b.forget()
	p.reach(control.PathDirect)
	p.download.finish()
}

// moveRouter gives the routers other addresses on the Internet, which hosts
// learn of only from what others tell them.
func moveRouter(t *testing.T) {
	p := newDownload(t, portRestricted, control.PathDirect, "birch")
	p.world.renumber(p.a.computer)
	p.download.goesOn("maple's router has a new address")
	p.world.renumber(p.b.computer)
	p.download.goesOn("oak's router has a new address")
	p.reach(control.PathDirect)
	p.download.finish()
}

// moveInterface takes the cable out and goes on by Wi-Fi, and back.
func moveInterface(t *testing.T) {
	p := newDownload(t, portRestricted, control.PathDirect, "birch")
	p.oak.ip("link", "set", "eth0", "down")
	p.b.attach(p.oak.computer, "wlan0")
	p.download.goesOn("oak changes from cable to Wi-Fi")
	p.oak.ip("link", "set", "wlan0", "down")
	p.oak.ip("link", "set", "eth0", "up")
	p.oak.ip("route", "replace", "default", "via", p.b.local(1), "dev", "eth0")
	p.download.goesOn("oak changes back")
	p.reach(control.PathDirect)
	p.download.finish()
}

// moveBoth moves both hosts to other homes at once. The third member is all
// that they find each other by.
func moveBoth(t *testing.T) {
	p := newDownload(t, portRestricted, control.PathDirect, "birch")
	c, d := p.lab.home("c", p.world, portRestricted), p.lab.home("d", p.world, portRestricted)
	p.maple.move(c)
	p.oak.move(d)
	p.download.goesOn("both have moved")
	p.reach(control.PathDirect)
	p.download.finish()
}

// moveTogether brings the host that received from afar home to the sender: the
// download goes on over the local network.
func moveTogether(t *testing.T) {
	p := newDownload(t, portRestricted, control.PathDirect, "birch")
	p.oak.move(p.a)
	p.download.goesOn("oak comes to maple")
	p.reach(control.PathLAN)
	p.download.finish()
}

// relayDies kills the member that relays, without a warning: another takes
// over.
func relayDies(t *testing.T) {
	p := newDownload(t, symmetric, control.PathRelayed, "birch", "elm")
	via := p.oak.reaches(p.maple, control.PathRelayed).Via
	for _, relay := range p.public {
		if relay.name == via {
			relay.node.kill()
		}
	}
	p.download.goesOn("the relay " + via + " has died")
	if now := p.oak.reaches(p.maple, control.PathRelayed).Via; now == via || now == "" {
		t.Errorf("relayed via %q after %q has died", now, via)
	}
	p.download.finish()
}

// pathCut cuts the direct path and heals it: the download goes by the relay
// meanwhile, and comes back.
func pathCut(t *testing.T) {
	p := newDownload(t, portRestricted, control.PathDirect, "birch")
	p.world.cut(p.a.computer, p.b.computer)
	p.download.goesOn("the direct path is cut")
	p.reach(control.PathRelayed)
	p.world.heal(p.a.computer, p.b.computer)
	p.reach(control.PathDirect)
	p.download.goesOn("the direct path is back")
	p.download.finish()
}

// suspended stops the receiver's process for 20 s, as a computer that sleeps
// does.
func suspended(t *testing.T) {
	p := newDownload(t, portRestricted, control.PathDirect, "birch")
	p.oak.node.signal(syscall.SIGSTOP)
	<-time.After(20 * time.Second)
	p.oak.node.signal(syscall.SIGCONT)
	p.download.goesOn("oak wakes up")
	p.reach(control.PathDirect)
	p.download.finish()
}

func routersForget(t *testing.T)      { forgetting(t, portRestricted, control.PathDirect) }
func routersForgetRelay(t *testing.T) { forgetting(t, symmetric, control.PathRelayed) }

// forgetting has one router, then both, lose their mappings.
func forgetting(t *testing.T, kind nat, path string) {
	p := newDownload(t, kind, path, "birch")
	p.a.forget()
	p.download.goesOn("maple's router has forgotten")
	p.a.forget()
	p.b.forget()
	p.download.goesOn("both routers have forgotten")
	p.reach(path)
	p.download.finish()
}

// loss has a download cross an Internet that loses every fiftieth packet.
func loss(t *testing.T) {
	p := newDownload(t, portRestricted, control.PathDirect, "birch")
	p.world.lose(0.02)
	p.download.goesOn("packets are lost")
	p.world.lose(0)
	p.download.finish()
}
