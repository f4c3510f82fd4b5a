package cli

import (
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"

	"kith.alt/kith"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/terminal"
)

// reachFlags are the flags by which a host's owner says how others come to it.
// They may be changed while kith runs.
func reachFlags(set *flag.FlagSet, s *control.Settings) {
	set.Func("public", "others can dial this host at `IP[:PORT]`, where a router passes on UDP and TCP to it; several with commas, or none", func(text string) error {
		list := []string{}
		if text != "none" {
			list = strings.Split(text, ",")
		}
		for _, address := range list {
			if _, err := config.ParsePublic(address, 0); err != nil {
				return err
			}
		}
		s.Public = &list
		return nil
	})
	set.Func("introduce", "`dht`: find members that cannot be found otherwise through the BitTorrent DHT, which strangers see; off: do not", func(text string) error {
		if text != "dht" && text != "off" {
			return fmt.Errorf("%q is neither dht nor off: %w", text, kith.Invalid)
		}
		on := text == "dht"
		s.Introduce = &on
		return nil
	})
	set.BoolFunc("no-port-mapping", "do not ask the router to pass on what comes for kith", func(text string) error {
		on := text == "false"
		s.PortMapping = &on
		return nil
	})
}

// dhtFlag names the nodes of a DHT of one's own.
func dhtFlag(set *flag.FlagSet, nodes *[]string) {
	set.Func("dht-bootstrap", "take part in the DHT by the nodes `HOST:PORT,...`, for one of your own", func(text string) error {
		list := strings.Split(text, ",")
		for _, node := range list {
			if err := config.CheckDHTNode(node); err != nil {
				return err
			}
		}
		*nodes = list
		return nil
	})
}

// writeReach says how others come to this host, in rows of a table.
func writeReach(w *tabwriter.Writer, r control.Reach) {
	fmt.Fprintf(w, "Reach\t%s\n", reachText(r))
	if len(r.Outside) > 0 {
		fmt.Fprintf(w, "Seen at\t%s\n", strings.Join(r.Outside, ", "))
	}
	if r.NAT != "" && r.NAT != control.NATOpen {
		fmt.Fprintf(w, "Router\t%s\n", natText(r.NAT))
	}
	switch {
	case len(r.Mappings) > 0:
		var list []string
		for _, m := range r.Mappings {
			list = append(list, fmt.Sprintf("%s %s by %s", m.Protocol, m.Address, m.By))
		}
		fmt.Fprintf(w, "Mapped\t%s\n", strings.Join(list, ", "))
	case !r.PortMapping:
		fmt.Fprintf(w, "Mapped\tnothing: the router is not asked\n")
	}
	if len(r.Relays) > 0 {
		fmt.Fprintf(w, "Through\t%s\n", strings.Join(r.Relays, ", "))
	}
	if r.Introduce {
		fmt.Fprintf(w, "Introduced\tthrough the BitTorrent DHT, where nothing else helps\n")
	}
}

// reachText says whether members on other networks can dial this host.
func reachText(r control.Reach) string {
	switch {
	case r.By == control.ByPublic:
		return "others can dial it at " + strings.Join(r.Public, ", ") + ", as you said"
	case r.By == control.ByMapping:
		return "others can dial it: the router passes on what comes"
	case r.Open:
		return "others can dial it: somebody has"
	case len(r.Addresses) == 0:
		return "loopback only, until somebody is invited"
	}
	return "from its own network; from others as far as members bring the two together"
}

// natText says what a member's router does.
func natText(nat string) string {
	switch nat {
	case control.NATCone:
		return "passable by arrangement (cone)"
	case control.NATSymmetric:
		return "another address for each peer (symmetric)"
	case control.NATBlocked:
		return "lets no UDP out (blocked)"
	case control.NATOpen:
		return "lets others in (open)"
	}
	return nat
}

// writeRelaying says what this host relays for others, in a row of a table.
func writeRelaying(w *tabwriter.Writer, r control.Relaying) {
	if r.Limits.Off {
		fmt.Fprintf(w, "Relays\tnothing for others\n")
		return
	}
	fmt.Fprintf(w, "Relays\t%s now, %s of %s today\n", count(r.Streams, "connection"), terminal.Size(r.Today), terminal.Size(r.Limits.BytesPerDay))
}

// inviteNote says from where a newcomer can come with a ticket, and what helps
// where that is not from everywhere.
func (e *env) inviteNote(i control.Invitation) string {
	const near = "People on your own network can use it as it is. "
	var ways []string
	switch {
	case i.Open:
		return ""
	case len(i.Through) > 0:
		return near + "From elsewhere, " + strings.Join(i.Through, " or ") + " lets the newcomer through, as long as it is awake.\n"
	case i.Introduce:
		return near + "From elsewhere, the two meet through the BitTorrent DHT, which may take some minutes.\n"
	}
	ways = append(ways,
		"a forwarded port: have your router pass on kith's UDP and TCP port to this computer, then\n    "+e.Line("invite", "--public", "ADDRESS"),
		"the BitTorrent DHT, where strangers see that both take part in it:\n    "+e.Line("invite", "--introduce", "dht"),
		"a member that can be reached from everywhere: it lets newcomers through by itself")
	return near + "Elsewhere this computer is not known to be reachable.\nOne of these helps:\n- " + strings.Join(ways, "\n- ") + "\n"
}
