//go:build !linux && !darwin

package local

import "net"

// requireSameUser trusts the mode of the socket's file: the system does not
// tell who is at the far end.
func requireSameUser(net.Conn) error { return nil }
