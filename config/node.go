package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kith.alt/kith"
)

// version is the layout of the data directory that this program writes.
const version = 1

// Node is the stored configuration of a node, config.json.
type Node struct {
	Version int `json:"version"` // of the directory's layout; set when stored

	PortBase       int            `json:"port_base"` // the base of the loopback ports; 0: the default ports; AnyPort
	Ports          map[string]int `json:"ports"`     // loopback ports since the first start, by service
	OverlayPort    int            `json:"overlay_port"`
	SharedLoopback bool           `json:"shared_loopback"` // other users of this computer may use the loopback ports
	Account        string         `json:"account"`         // the first account

	// Open says for which client programs of other computers applications are open, by
	// their names, as package door reads it.
	Open map[string]string `json:"open,omitempty"`

	Public        []string `json:"public"`          // IP or IP:PORT where a router passes on what comes for the overlay's port
	Introduce     bool     `json:"introduce"`       // members are sought in the BitTorrent DHT, too
	DHTNodes      []string `json:"dht_nodes"`       // HOST:PORT by which to take part in it; none: those that everybody uses
	NoPortMapping bool     `json:"no_port_mapping"` // the router is not asked to pass anything on
	SuspendFor    Duration `json:"suspend_for"`     // that sockets wait for a path; 0: the default
	Relay         Relay    `json:"relay"`

	unknown map[string]json.RawMessage // a later version's keys
}

// Node returns a copy of the configuration.
func (d *Dir) Node() Node {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.node.clone()
}

// Update has change alter the configuration and stores it. When change or the
// disk fails, nothing has changed. change must not call the Dir.
func (d *Dir) Update(change func(*Node) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := d.node.clone()
	if err := change(&next); err != nil {
		return err
	}
	next.Version = version
	text, err := next.text()
	if err != nil {
		return fmt.Errorf("store configuration: %w", err)
	}
	// Most starts change nothing, and then nothing waits for the disk.
	if stored, err := os.ReadFile(d.File(configFile)); err != nil || !bytes.Equal(stored, text) {
		if err := d.write(configFile, text); err != nil {
			return err
		}
	}
	d.node = next
	return nil
}

// Read returns the configuration stored in the data directory at path, on
// which a node may run. What was never stored is the zero configuration.
func Read(path string) (Node, error) {
	file := filepath.Join(path, configFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Node{Version: version}, nil
	} else if err != nil {
		return Node{}, fmt.Errorf("read configuration: %w", err)
	}
	n, err := parseNode(text)
	if err != nil {
		return Node{}, fmt.Errorf("configuration %s: %w", file, err)
	}
	return n, nil
}

// parseNode reads what Node.text writes.
func parseNode(text []byte) (Node, error) {
	var n Node
	if err := json.Unmarshal(text, &n); err != nil {
		return Node{}, fmt.Errorf("%w: %w", err, kith.Invalid)
	}
	switch {
	case n.Version < 1:
		return Node{}, fmt.Errorf("no version: %w", kith.Invalid)
	case n.Version > version:
		return Node{}, fmt.Errorf("the data directory has layout %d and this kith knows %d, install a newer kith: %w",
			n.Version, version, kith.Invalid)
	}
	if err := n.check(); err != nil {
		return Node{}, err
	}
	known, err := n.fields()
	if err != nil {
		return Node{}, err
	}
	if err := json.Unmarshal(text, &n.unknown); err != nil {
		return Node{}, fmt.Errorf("%w: %w", err, kith.Invalid)
	}
	maps.DeleteFunc(n.unknown, func(key string, _ json.RawMessage) bool {
		for name := range known {
			if strings.EqualFold(key, name) { // as package json matches
				return true
			}
		}
		return false
	})
	return n, nil
}

// text is the configuration in JSON, with the keys of later versions.
func (n Node) text() ([]byte, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	fields, err := n.fields()
	if err != nil {
		return nil, err
	}
	maps.Copy(fields, n.unknown)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "\t")
	err = enc.Encode(fields) // in the order of the keys
	return b.Bytes(), err
}

// fields are the keys that this version knows, with their values.
func (n Node) fields() (map[string]json.RawMessage, error) {
	text, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	err = json.Unmarshal(text, &fields)
	return fields, err
}

func (n Node) check() error {
	if n.PortBase != 0 && n.PortBase != AnyPort {
		if err := CheckPortBase(n.PortBase); err != nil {
			return err
		}
	}
	if n.OverlayPort < 0 || n.OverlayPort > maxPort {
		return fmt.Errorf("overlay port %d is not from 0 to %d: %w", n.OverlayPort, maxPort, kith.Invalid)
	}
	for service, port := range n.Ports {
		if port < 1 || port > maxPort {
			return fmt.Errorf("port %d of %s is not from 1 to %d: %w", port, service, maxPort, kith.Invalid)
		}
	}
	if n.Account != "" {
		if err := kith.CheckLabel(n.Account); err != nil {
			return err
		}
	}
	return n.checkReach()
}

func (n Node) clone() Node {
	n.Ports = maps.Clone(n.Ports)
	n.Open = maps.Clone(n.Open)
	n.Public = slices.Clone(n.Public)
	n.DHTNodes = slices.Clone(n.DHTNodes)
	n.unknown = maps.Clone(n.unknown)
	return n
}
