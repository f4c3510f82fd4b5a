package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/gateway"
)

// Status is the node at a glance.
func (n *Node) Status(context.Context) (control.Status, error) {
	name := n.name()
	n.mu.Lock()
	listeners := slices.Clone(n.listeners)
	n.mu.Unlock()
	for _, at := range n.swarm.TorrentDoor().Addresses {
		listeners = append(listeners, control.Listener{App: "share", Protocol: "bittorrent", Address: at.String()})
	}
	doors, listeners := n.doorStatus(listeners)
	for _, app := range n.cfg.Apps {
		for _, port := range app.Ports {
			if port.Overlay != 0 {
				listeners = append(listeners, control.Listener{App: app.Name, Protocol: port.Protocol, Address: fmt.Sprintf("overlay:%d", port.Overlay)})
			}
		}
	}
	sockets := n.overlay.Sockets()
	suspended, since := 0, time.Time{}
	for _, s := range sockets {
		if !s.Suspended.IsZero() {
			if suspended++; suspended == 1 || s.Suspended.Before(since) {
				since = s.Suspended
			}
		}
	}
	return control.Status{
		ID:        n.id,
		Host:      name.Host,
		Group:     name.Group,
		Name:      name.String(),
		Listeners: listeners,
		Members:   n.members(),
		Sockets:   len(sockets),
		Version:   n.cfg.Version,
		Started:   n.started,
		Data:      n.dir.Path(),
		Dashboard: n.dashboard(),
		Site:      n.siteOf(name.Host, n.id),
		Reach:     n.reach(),
		Suspended: suspended, SuspendedSince: since,
		Relaying: n.relaying(), Doors: doors,
	}, nil
}

func (n *Node) dashboard() string {
	port := n.port(control.AppGateway, control.ProtocolHTTP)
	if port == 0 {
		return ""
	}
	return fmt.Sprintf("http://localhost:%d/", port)
}

// siteOf is where a browser on this host reads a member's site.
func (n *Node) siteOf(host string, id kith.ID) string {
	port := n.port(control.AppGateway, control.ProtocolHTTP)
	if port == 0 {
		return ""
	}
	return gateway.SiteURL(kith.Name{Host: host, Group: n.name().Group}, id, port)
}

// members are the hosts of the group: this one first, then the others by name,
// then those that are out.
func (n *Node) members() []control.Member {
	roster := n.group().Roster()
	presences := n.mesh.Presences()
	var list []control.Member
	for _, m := range roster.Members() {
		p := presences[m.ID]
		member := control.Member{
			Host: m.Host, ID: m.ID, Admin: m.Admin, Site: n.siteOf(m.Host, m.ID),
			State: control.Offline, Path: control.PathNone, LastSeen: p.Seen, NAT: n.group().Whereabouts(m.ID).NAT,
			Moved: n.names.moved(nameKey{roster.Genesis(), m.Host}, m.ID),
		}
		if m.ID == n.id {
			member.State, member.Path, member.LastSeen = control.Online, control.PathSelf, time.Now()
			member.NAT = n.overlay.Reach().NAT
			if n.shutOut() != "" {
				member.State = control.Revoked
			}
			list = slices.Insert(list, 0, member)
			continue
		}
		if p.Online {
			member.State = control.Online
		}
		if p.Carrier != "" {
			member.Path, member.Carrier = p.Path, p.Carrier
			member.Via, member.Since, member.Why = n.viaOf(p), p.Since, p.Why
			if p.Address.IsValid() {
				member.Address = p.Address.String()
			}
			member.RTT = millis(p.RTT)
			member.Sent, member.Received = p.Sent, p.Received
		}
		list = append(list, member)
	}
	for _, r := range roster.Removed() {
		list = append(list, control.Member{Host: r.Host, ID: r.ID, State: control.Revoked, Path: control.PathNone})
	}
	return list
}

// Sockets are the overlay sockets that are open, the oldest first.
func (n *Node) Sockets(context.Context) ([]control.Socket, error) {
	roster := n.group().Roster()
	sockets := []control.Socket{}
	for _, s := range n.overlay.Sockets() {
		peer := s.Peer.Short()
		if m, ok := roster.Member(s.Peer); ok {
			peer = m.Host
		}
		by := n.portApp(s.Port)
		if s.Program && !s.Inbound || by == "" {
			by = "program"
		}
		sockets = append(sockets, control.Socket{
			Peer: peer, Port: s.Port, Inbound: s.Inbound, By: by,
			Opened: s.Opened, Sent: s.Sent, Received: s.Received, Suspended: s.Suspended,
		})
	}
	return sockets, nil
}

// measure registers the node's own metrics.
func (n *Node) measure() {
	n.metrics.Gauge("kith_node_members", "Members of the group.", func() float64 {
		return float64(len(n.group().Roster().Members()))
	})
	n.metrics.Gauge("kith_node_members_online", "Members that are online, this node included.", func() float64 {
		return float64(n.mesh.Online())
	})
	n.metrics.Gauge("kith_node_sockets", "Open overlay sockets.", func() float64 {
		return float64(len(n.overlay.Sockets()))
	})
	n.metrics.Gauge("kith_node_uptime_seconds", "Time since the node started.", func() float64 {
		return time.Since(n.started).Seconds()
	})
}
