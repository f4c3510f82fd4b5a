package test

import (
	"syscall"
	"testing"
	"time"

	"kith.alt/kith/control"
	"kith.alt/kith/kithtest/netlab"
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
func newDownload(t *testing.T, kind netlab.NAT, path string, public ...string) *pair {
	t.Helper()
	p := newPair(t, kind, path, public...)
	p.download = startDownload(t, p.maple, p.oak)
	return p
}

// moveAddress gives the sender, then the receiver, another address on its local
// network. To each member the routers then use another port, as those of before
// are taken until they are forgotten: what the path is meanwhile is open.
func moveAddress(t *testing.T) {
	p := newDownload(t, netlab.PortRestricted, control.PathDirect, "birch")
	p.a.Renumber(p.maple.Computer, "eth0")
	p.download.goesOn("maple has a new address")
	p.b.Renumber(p.oak.Computer, "eth0")
	p.download.goesOn("oak has a new address")
	p.a.Forget()
	p.b.Forget()
	p.reach(control.PathDirect)
	p.download.finish()
}

// moveRouter gives the routers other addresses on the Internet, which hosts
// learn of only from what others tell them.
func moveRouter(t *testing.T) {
	p := newDownload(t, netlab.PortRestricted, control.PathDirect, "birch")
	p.world.Renumber(p.a.Computer)
	p.download.goesOn("maple's router has a new address")
	p.world.Renumber(p.b.Computer)
	p.download.goesOn("oak's router has a new address")
	p.reach(control.PathDirect)
	p.download.finish()
}

// moveInterface takes the cable out and goes on by Wi-Fi, and back.
func moveInterface(t *testing.T) {
	p := newDownload(t, netlab.PortRestricted, control.PathDirect, "birch")
	p.oak.IP("link", "set", "eth0", "down")
	p.b.Attach(p.oak.Computer, "wlan0")
	p.download.goesOn("oak changes from cable to Wi-Fi")
	p.oak.IP("link", "set", "wlan0", "down")
	p.oak.IP("link", "set", "eth0", "up")
	p.oak.IP("route", "replace", "default", "via", p.b.Local(1), "dev", "eth0")
	p.download.goesOn("oak changes back")
	p.reach(control.PathDirect)
	p.download.finish()
}

// moveBoth moves both hosts to other homes at once. The third member is all
// that they find each other by.
func moveBoth(t *testing.T) {
	p := newDownload(t, netlab.PortRestricted, control.PathDirect, "birch")
	c, d := p.lab.Home("c", p.world, netlab.PortRestricted), p.lab.Home("d", p.world, netlab.PortRestricted)
	p.maple.Move(c)
	p.oak.Move(d)
	p.download.goesOn("both have moved")
	p.reach(control.PathDirect)
	p.download.finish()
}

// moveTogether brings the host that received from afar home to the sender: the
// download goes on over the local network.
func moveTogether(t *testing.T) {
	p := newDownload(t, netlab.PortRestricted, control.PathDirect, "birch")
	p.oak.Move(p.a)
	p.download.goesOn("oak comes to maple")
	p.reach(control.PathLAN)
	p.download.finish()
}

// relayDies kills the member that relays, without a warning: another takes
// over.
func relayDies(t *testing.T) {
	p := newDownload(t, netlab.Symmetric, control.PathRelayed, "birch", "elm")
	via := p.oak.Reaches(p.maple, control.PathRelayed).Via
	for _, relay := range p.public {
		if relay.Name == via {
			relay.Node.Kill()
		}
	}
	p.download.goesOn("the relay " + via + " has died")
	if now := p.oak.Reaches(p.maple, control.PathRelayed).Via; now == via || now == "" {
		t.Errorf("relayed via %q after %q has died", now, via)
	}
	p.download.finish()
}

// pathCut cuts the direct path and heals it: the download goes by the relay
// meanwhile, and comes back.
func pathCut(t *testing.T) {
	p := newDownload(t, netlab.PortRestricted, control.PathDirect, "birch")
	p.world.Cut(p.a.Computer, p.b.Computer)
	p.download.goesOn("the direct path is cut")
	p.reach(control.PathRelayed)
	p.world.Heal(p.a.Computer, p.b.Computer)
	p.reach(control.PathDirect)
	p.download.goesOn("the direct path is back")
	p.download.finish()
}

// suspended stops the receiver's process for 20 s, as a computer that sleeps
// does.
func suspended(t *testing.T) {
	p := newDownload(t, netlab.PortRestricted, control.PathDirect, "birch")
	p.oak.Node.Signal(syscall.SIGSTOP)
	<-time.After(20 * time.Second)
	p.oak.Node.Signal(syscall.SIGCONT)
	p.download.goesOn("oak wakes up")
	p.reach(control.PathDirect)
	p.download.finish()
}

func routersForget(t *testing.T)      { forgetting(t, netlab.PortRestricted, control.PathDirect) }
func routersForgetRelay(t *testing.T) { forgetting(t, netlab.Symmetric, control.PathRelayed) }

// forgetting has one router, then both, lose their mappings.
func forgetting(t *testing.T, kind netlab.NAT, path string) {
	p := newDownload(t, kind, path, "birch")
	p.a.Forget()
	p.download.goesOn("maple's router has forgotten")
	p.a.Forget()
	p.b.Forget()
	p.download.goesOn("both routers have forgotten")
	p.reach(path)
	p.download.finish()
}

// loss has a download cross an Internet that loses every fiftieth packet.
func loss(t *testing.T) {
	p := newDownload(t, netlab.PortRestricted, control.PathDirect, "birch")
	p.world.Lose(0.02)
	p.download.goesOn("packets are lost")
	p.world.Lose(0)
	p.download.finish()
}
