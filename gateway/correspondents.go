package gateway

import (
	"container/list"
	"sync"

	"kith.alt/kith"
)

// correspondents are the processes to which an association has sent datagrams,
// with the names that its client used: the last maxCorrespondents.
type correspondents struct {
	mu     sync.Mutex
	byAddr map[kith.Address]*list.Element
	recent *list.List // of correspondent, the last used in front
}

type correspondent struct {
	address kith.Address
	name    string
}

func newCorrespondents() correspondents {
	return correspondents{byAddr: make(map[kith.Address]*list.Element), recent: list.New()}
}

func (c *correspondents) note(address kith.Address, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byAddr[address]; e != nil {
		e.Value = correspondent{address, name}
		c.recent.MoveToFront(e)
		return
	}
	if c.recent.Len() == maxCorrespondents {
		delete(c.byAddr, c.recent.Remove(c.recent.Back()).(correspondent).address)
	}
	c.byAddr[address] = c.recent.PushFront(correspondent{address, name})
}

func (c *correspondents) name(address kith.Address) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byAddr[address]
	if e == nil {
		return "", false
	}
	return e.Value.(correspondent).name, true
}
