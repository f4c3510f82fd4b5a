package kith

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Metrics is a node's registry of counters and gauges. Names are
// kith_<owner>_<what>_<unit or total>, as Prometheus names them. It is safe
// for concurrent use; the zero value is ready.
type Metrics struct {
	mu      sync.Mutex
	metrics map[string]*metric // by name with labels
}

type metric struct {
	family, kind, help string
	value              func() float64
	counter            *Counter
}

// A Counter only grows.
type Counter struct{ n atomic.Uint64 }

// Add adds n to the counter.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Value returns what was added so far.
func (c *Counter) Value() uint64 { return c.n.Load() }

// Counter returns the counter of that name and labels, made on first use.
// Labels are key and value in turn.
func (m *Metrics) Counter(name, help string, labels ...string) *Counter {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := name + labelText(labels)
	if old, ok := m.metrics[key]; ok && old.counter != nil {
		return old.counter
	}
	c := new(Counter)
	m.put(key, &metric{family: name, kind: "counter", help: help, counter: c,
		value: func() float64 { return float64(c.Value()) }})
	return c
}

// Gauge has value called at each collection. A later call of the same name
// and labels takes the place of an earlier one.
func (m *Metrics) Gauge(name, help string, value func() float64, labels ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(name+labelText(labels), &metric{family: name, kind: "gauge", help: help, value: value})
}

func (m *Metrics) put(key string, v *metric) {
	if m.metrics == nil {
		m.metrics = make(map[string]*metric)
	}
	m.metrics[key] = v
}

// Write writes all metrics in the Prometheus text format, version 0.0.4.
func (m *Metrics) Write(w io.Writer) error {
	m.mu.Lock()
	keys := slices.SortedFunc(maps.Keys(m.metrics), func(a, b string) int {
		// A family's lines stand together, whatever its labels sort like.
		return cmp.Or(cmp.Compare(m.metrics[a].family, m.metrics[b].family), cmp.Compare(a, b))
	})
	metrics := make([]*metric, len(keys))
	for i, key := range keys {
		metrics[i] = m.metrics[key]
	}
	m.mu.Unlock()

	family := ""
	for i, v := range metrics {
		if v.family != family {
			family = v.family
			if _, err := fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", family, v.help, family, v.kind); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(w, "%s %v\n", keys[i], v.value()); err != nil {
			return err
		}
	}
	return nil
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func labelText(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	var b strings.Builder
	for i := 0; i+1 < len(labels); i += 2 {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		b.WriteByte(sep)
		fmt.Fprintf(&b, `%s="%s"`, labels[i], labelEscaper.Replace(labels[i+1]))
	}
	b.WriteByte('}')
	return b.String()
}
