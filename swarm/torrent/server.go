package torrent

import (
	"context"
	"net"
)

// A Server serves clients of BitTorrent.
type Server struct {
	cfg Config
}

// New makes a server. It opens nothing.
func New(cfg Config) *Server { return &Server{cfg: cfg} }

// Serve serves the clients that a listener accepts until ctx ends, and closes
// it. It returns nil after ctx has ended.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error { return nil }

// AnnounceURL returns the tracker's URL at an address of a listener.
func AnnounceURL(address net.Addr) string { return "http://" + address.String() + "/announce" }
