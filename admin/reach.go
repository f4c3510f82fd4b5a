package admin

import (
	"strings"

	"kith.alt/kith/control"
)

// natInWords says what the router before a host does.
func natInWords(nat string) string {
	switch nat {
	case control.NATOpen:
		return "lets others in"
	case control.NATCone:
		return "passable by arrangement"
	case control.NATSymmetric:
		return "hard to pass: shows each peer another address"
	case control.NATBlocked:
		return "lets no UDP out"
	}
	return nat
}

// routerInWords is natInWords in a word or two.
func routerInWords(nat string) string {
	switch nat {
	case control.NATOpen:
		return "open"
	case control.NATCone:
		return "passable"
	case control.NATSymmetric:
		return "hard to pass"
	case control.NATBlocked:
		return "no UDP"
	}
	return nat
}

// reachInWords says whether hosts on other networks can dial this one.
func reachInWords(r control.Reach) string {
	switch {
	case r.By == control.ByPublic:
		return "others can dial it, as you said"
	case r.By == control.ByMapping:
		return "others can dial it: the router passes on what comes"
	case r.Open:
		return "others can dial it: somebody has"
	case len(r.Addresses) == 0:
		return "not before somebody is invited"
	}
	return "as far as members bring the two together"
}

// mappedBy names the protocols by their usual names.
func mappedBy(m control.Mapping) string {
	by := map[string]string{"pcp": "PCP", "nat-pmp": "NAT-PMP", "upnp": "UPnP"}[m.By]
	return strings.ToUpper(m.Protocol) + " " + m.Address + ", by " + by
}
