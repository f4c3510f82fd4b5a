package web

import (
	"fmt"

	"kith.alt/kith"
)

type metrics struct {
	requests       [6]*kith.Counter // by the first digit of the status
	sent, received *kith.Counter
	forwarded      *kith.Counter
	refused        *kith.Counter
}

func newMetrics(all *kith.Metrics) *metrics {
	m := &metrics{
		sent:      all.Counter("kith_web_sent_bytes_total", "Bytes sent to members by site and exposed ports."),
		received:  all.Counter("kith_web_received_bytes_total", "Bytes received from members by site and exposed ports."),
		forwarded: all.Counter("kith_web_forwarded_connections_total", "Connections forwarded to exposed ports."),
		refused:   all.Counter("kith_web_refused_connections_total", "Connections beyond the limits, closed at once."),
	}
	for class := 1; class < len(m.requests); class++ {
		m.requests[class] = all.Counter("kith_web_requests_total", "Requests to the site.", "status", fmt.Sprintf("%dxx", class))
	}
	return m
}

func (m *metrics) request(status int) {
	if class := status / 100; class >= 1 && class < len(m.requests) {
		m.requests[class].Add(1)
	}
}
