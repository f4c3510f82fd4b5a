package web

import (
	"context"
	"fmt"
	"time"

	"kith.alt/kith"
)

// expose makes port target of this computer reachable at overlay port port,
// and below name on the site unless that is "".
func (w *web) expose(ctx context.Context, target, port uint16, name string) (Exposed, error) {
	if port == 0 {
		port = target
	}
	if err := w.checkExposed(target, port, name); err != nil {
		return Exposed{}, err
	}
	now := time.Now()
	err := w.board.change(ctx, func(c *content) error {
		if name != "" {
			if s := c.site("/" + name); s != nil {
				return fmt.Errorf("folder %s is published at /%s; choose another name, or: kith unpublish /%s: %w", s.Dir, name, name, kith.Exists)
			}
			if e := c.named(name); e != nil && e.Port != port {
				return fmt.Errorf("/%s is where exposed port %d stands; choose another name, or: kith unexpose %d: %w", name, e.Port, e.Port, kith.Exists)
			}
		}
		if c.port(port) == nil && len(c.exposed) >= maxExposed {
			return fmt.Errorf("%d ports are exposed; unexpose one first: %w", maxExposed, kith.Quota)
		}
		return w.ports.open(ctx, port, target) // before it is stored: the port may be taken
	}, "INSERT INTO web_exposed (port, target, name, exposed) VALUES (?, ?, ?, ?) ON CONFLICT (port) DO UPDATE SET target = excluded.target, name = excluded.name, exposed = excluded.exposed",
		port, target, name, now.Unix())
	if err != nil {
		w.reopen()
		return Exposed{}, err
	}
	w.ports.service(target).probe(ctx)
	e := w.exposed(Exposed{Port: port, Target: target, Name: name, Since: time.Unix(now.Unix(), 0)})
	w.host.Event(fmt.Sprintf("You exposed port %d of this computer as port %d of %s.", target, port, w.host.Name().Host))
	return e, nil
}

// unexpose closes an overlay port.
func (w *web) unexpose(ctx context.Context, port uint16) (Exposed, error) {
	var e Exposed
	err := w.board.change(ctx, func(c *content) error {
		found := c.port(port)
		if found == nil {
			return fmt.Errorf("port %d is not exposed; kith sites shows what is: %w", port, kith.NotFound)
		}
		e = w.exposed(*found)
		return nil
	}, "DELETE FROM web_exposed WHERE port = ?", port)
	if err != nil {
		return Exposed{}, err
	}
	w.reopen()
	e.State, e.OK = "closed", false
	w.host.Event(fmt.Sprintf("You closed port %d to the group.", e.Port))
	return e, nil
}

// reopen makes the open ports those on the board.
func (w *web) reopen() {
	if c := w.board.content(); c != nil {
		w.ports.keep(c.exposed)
	}
}

// exposed fills in the state and addresses of an exposed port.
func (w *web) exposed(e Exposed) Exposed {
	e.Address = fmt.Sprintf("%s:%d", w.host.Name(), e.Port)
	if e.Name != "" {
		e.URL = w.url("/" + e.Name)
	}
	if problem := w.ports.problem(e.Port); problem != "" {
		e.State = problem
	} else {
		e.State, e.OK = "open", true
	}
	return e
}

func (w *web) checkExposed(target, port uint16, name string) error {
	switch {
	case target == 0:
		return fmt.Errorf("port 0 is no port; name one from 1 to 65535: %w", kith.Invalid)
	case w.host.PrivatePort(target):
		return fmt.Errorf("port %d is kith's own, for you alone; name the port of another program: %w", target, kith.Denied)
	case port < kith.FirstProgramPort:
		return fmt.Errorf("overlay ports below %d belong to kith itself; choose another with --to, such as --to %d: %w", kith.FirstProgramPort, 8000+int(port), kith.Denied)
	case port == kith.ChatPort:
		return fmt.Errorf("overlay port %d belongs to kith's chat; choose another with --to: %w", kith.ChatPort, kith.Denied)
	case name != "":
		return kith.CheckLabel(name)
	}
	return nil
}
