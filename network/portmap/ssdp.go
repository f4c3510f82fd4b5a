package portmap

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/huin/goupnp"
	"golang.org/x/net/ipv4"

	"kith.alt/kith"
)

const (
	httpPatience   = 3 * time.Second // for one answer
	maxDescription = 256 << 10       // bytes of an answer over HTTP
	maxLocations   = 4               // that one gateway may name
)

// search asks the network and the gateway for Internet gateway devices, and
// calls try with each place where this gateway says that its description lies,
// until try returns true or time is up (UPnP Device Architecture 1.1, 1.3).
func (w wire) search(ctx context.Context, local, gateway netip.Addr, try func(location string) bool) error {
	conn, err := w.listen(ctx, "udp", netip.AddrPortFrom(local, 0).String())
	if err != nil {
		return fmt.Errorf("%w: %w", err, kith.Unreachable)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	targets := []netip.AddrPort{netip.AddrPortFrom(gateway, w.ssdp)} // some answer the one, some the other
	if w.group.IsValid() && multicastFrom(conn, local) == nil {
		targets = append(targets, w.group)
	}
	seen := make(map[string]bool)
	buf := make([]byte, maxPacket)
	wait := patience
	for range packets {
		for _, to := range targets {
			for _, device := range []string{"urn:schemas-upnp-org:device:InternetGatewayDevice:1", "upnp:rootdevice"} {
				conn.WriteTo(question(device), net.UDPAddrFromAddrPort(to))
			}
		}
		conn.SetReadDeadline(time.Now().Add(wait))
		wait *= 2
		for {
			n, from, err := conn.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return fmt.Errorf("%w: %w", err, kith.Unreachable)
			}
			location := answer(buf[:n], gateway)
			if location == "" || from.(*net.UDPAddr).AddrPort().Addr().Unmap() != gateway || seen[location] || len(seen) == maxLocations {
				continue
			}
			if seen[location] = true; try(location) {
				return nil
			}
		}
	}
	return nil
}

// multicastFrom has conn send multicast by the interface that has an address.
func multicastFrom(conn net.PacketConn, address netip.Addr) error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			if ipnet, ok := a.(*net.IPNet); ok && ipnet.IP.Equal(address.AsSlice()) {
				return ipv4.NewPacketConn(conn).SetMulticastInterface(&i)
			}
		}
	}
	return fmt.Errorf("no interface has %s: %w", address, kith.NotFound)
}

func question(device string) []byte {
	return fmt.Appendf(nil, "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: %s\r\n\r\n", device)
}

// answer returns where an answer says that the description lies, "" when it is
// not with the gateway.
func answer(packet []byte, gateway netip.Addr) string {
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(packet)), nil)
	if err != nil {
		return ""
	}
	response.Body.Close()
	location, err := url.Parse(response.Header.Get("Location"))
	if err != nil || response.StatusCode != http.StatusOK || location.Scheme != "http" {
		return ""
	}
	if at, err := netip.ParseAddr(location.Hostname()); err != nil || at.Unmap() != gateway {
		return ""
	}
	return location.String()
}

// describe fetches the description of a device.
func describe(ctx context.Context, client *http.Client, location string) (*goupnp.RootDevice, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("description: %w: %w", err, kith.Unreachable)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("description: HTTP status %d: %w", response.StatusCode, kith.Unreachable)
	}
	return parseDescription(response.Body, location)
}

func parseDescription(r io.Reader, location string) (*goupnp.RootDevice, error) {
	root := new(goupnp.RootDevice)
	decoder := xml.NewDecoder(r)
	decoder.DefaultSpace = goupnp.DeviceXMLNamespace
	if err := decoder.Decode(root); err != nil { // which quotes what it is about
		return nil, fmt.Errorf("the description is not one: %w", kith.Unreachable)
	}
	if root.URLBaseStr == "" {
		root.URLBaseStr = location
	}
	base, err := url.Parse(root.URLBaseStr)
	if err != nil {
		return nil, fmt.Errorf("description: %w: %w", err, kith.Unreachable)
	}
	root.SetURLBase(base)
	return root, nil
}

// httpClient returns a client that connects to the gateway, whatever a URL
// says, or not at all; follows no redirects; and reads a bounded answer.
func httpClient(gateway netip.Addr) *http.Client {
	transport := &http.Transport{
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 16 << 10,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if at, err := netip.ParseAddrPort(address); err != nil || at.Addr().Unmap() != gateway {
				return nil, fmt.Errorf("%s is not the gateway: %w", address, kith.Denied)
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	return &http.Client{
		Transport:     bounded{transport},
		Timeout:       httpPatience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded cuts answers off after maxDescription.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxDescription), response.Body}
	return response, nil
}
