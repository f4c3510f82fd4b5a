package portmap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/huin/goupnp/soap"

	"kith.alt/kith"
)

// A device is a router that speaks UPnP, on loopback.
type device struct {
	kind      string // of its service
	external  string
	control   string // URL of the service
	base      string // URLBase
	location  string // of the description; "" where it is
	taken     string // this outside port is somebody else's
	permanent bool   // knows no leases
	refuses   int    // every mapping, with this error
	redirects string // description and service, to here

	t        *testing.T
	server   *httptest.Server
	mu       sync.Mutex
	mappings map[string]string // protocol and outside port: inside address and port, lease
}

func startDevice(t *testing.T, change func(*device)) (*device, wire) {
	t.Helper()
	d := &device{t: t, kind: connectionServices[1], external: "203.0.113.9", control: "/control", mappings: make(map[string]string)}
	d.server = httptest.NewServer(d)
	t.Cleanup(d.server.Close)
	d.location = d.server.URL + "/description.xml"
	change(d)
	ssdp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ssdp.Close() })
	go d.answerSSDP(ssdp)
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close() // neither PCP nor NAT-PMP
	w := systemWire()
	w.group = netip.AddrPort{}
	w.ssdp = ssdp.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	w.pcp = closed.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	return d, w
}

func (d *device) answerSSDP(conn net.PacketConn) {
	for buf := make([]byte, 2048); ; {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if bytes.HasPrefix(buf[:n], []byte("M-SEARCH * HTTP/1.1\r\n")) && bytes.Contains(buf[:n], []byte("InternetGatewayDevice:1")) {
			fmt.Fprintf(packetWriter{conn, from}, "HTTP/1.1 200 OK\r\nST: x\r\nUSN: y\r\nLOCATION: %s\r\n\r\n", d.location)
		}
	}
}

type packetWriter struct {
	conn net.PacketConn
	to   net.Addr
}

func (w packetWriter) Write(p []byte) (int, error) { return w.conn.WriteTo(p, w.to) }

const description = `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">%s<device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList><device><deviceList><device>
<serviceList><service><serviceType>%s</serviceType><controlURL>%s</controlURL></service></serviceList>
</device></deviceList></device></deviceList></device></root>`

const envelope = `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>%s</s:Body></s:Envelope>`

func (d *device) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.redirects != "" {
		http.Redirect(w, r, d.redirects, http.StatusTemporaryRedirect)
		return
	}
	if r.URL.Path == "/description.xml" {
		fmt.Fprintf(w, description, d.base, d.kind, d.control)
		return
	}
	body, _ := io.ReadAll(r.Body)
	arg := func(name string) string {
		if m := regexp.MustCompile("<" + name + ">([^<]*)</" + name + ">").FindSubmatch(body); m != nil {
			return string(m[1])
		}
		return ""
	}
	action, ok := strings.CutPrefix(strings.Trim(r.Header["Soapaction"][0], `"`), d.kind+"#")
	if !ok {
		d.t.Errorf("action %q", r.Header["Soapaction"])
	}
	outside := arg("NewProtocol") + " " + arg("NewExternalPort")
	var out string
	switch refuse := d.refuses; action {
	case "GetExternalIPAddress":
		out = "<NewExternalIPAddress>" + d.external + "</NewExternalIPAddress>"
	case "AddPortMapping":
		if arg("NewExternalPort") == d.taken {
			refuse = conflictInMapping
		}
		if d.permanent && arg("NewLeaseDuration") != "0" {
			refuse = onlyPermanentLeases
		}
		if refuse != 0 {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, envelope, fmt.Sprintf(`<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>%d</errorCode></UPnPError></detail></s:Fault>`, refuse))
			return
		}
		d.mappings[outside] = arg("NewInternalClient") + ":" + arg("NewInternalPort") + " " + arg("NewLeaseDuration")
	case "DeletePortMapping":
		delete(d.mappings, outside)
	default:
		d.t.Errorf("action %q", action)
	}
	fmt.Fprintf(w, envelope, fmt.Sprintf(`<u:%sResponse xmlns:u="%s">%s</u:%sResponse>`, action, d.kind, out, action))
}

func TestUPnP(t *testing.T) {
	elsewhere := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a request elsewhere than to the gateway")
	}))
	l, err := net.Listen("tcp", "[::1]:0") // an address of this host, and not the gateway's
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.2:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	elsewhere.Listener.Close()
	elsewhere.Listener = l
	elsewhere.Start()
	defer elsewhere.Close()

	for _, test := range []struct {
		name   string
		change func(*device)
		port   string // outside: "any" but ours, "" none
		lease  string
		kind   kith.Kind
	}{
		{"WANIPConnection:1", func(d *device) {}, "4747", "7200", ""},
		{"WANIPConnection:2", func(d *device) { d.kind = connectionServices[0] }, "4747", "7200", ""},
		{"WANPPPConnection:1", func(d *device) { d.kind = connectionServices[2] }, "4747", "7200", ""},
		{"URLBase", func(d *device) { d.base = "<URLBase>" + d.server.URL + "/</URLBase>"; d.control = "control" }, "4747", "7200", ""},
		{"the port is taken", func(d *device) { d.taken = "4747" }, "any", "7200", ""},
		{"permanent leases only", func(d *device) { d.permanent = true }, "4747", "0", ""},
		{"private outside address", func(d *device) { d.external = "10.1.2.3" }, "4747", "7200", ""},
		{"refused", func(d *device) { d.refuses = 606 }, "", "", kith.Denied},
		{"every port is taken", func(d *device) { d.refuses = conflictInMapping }, "", "", kith.Denied},
		{"not connected", func(d *device) { d.external = "0.0.0.0" }, "", "", kith.Temporary},
		{"no outside address", func(d *device) { d.external = "" }, "", "", kith.Temporary},
		{"another service", func(d *device) { d.kind = "urn:schemas-upnp-org:service:Layer3Forwarding:1" }, "", "", kith.Unreachable},
		{"description elsewhere", func(d *device) { d.location = elsewhere.URL }, "", "", kith.Unreachable},
		{"service elsewhere", func(d *device) { d.control = elsewhere.URL + "/control" }, "", "", kith.Unreachable},
		{"base elsewhere", func(d *device) { d.base = "<URLBase>" + elsewhere.URL + "</URLBase>" }, "", "", kith.Unreachable},
		{"redirect elsewhere", func(d *device) { d.redirects = elsewhere.URL }, "", "", kith.Unreachable},
		{"description is not XML", func(d *device) { d.base = "<" }, "", "", kith.Unreachable},
		{"description does not end", func(d *device) { d.base = strings.Repeat("<x/>", maxDescription/4) }, "", "", kith.Unreachable},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d, w := startDevice(t, test.change)
			m := newMapper(w, at("127.0.0.1"))
			stop := serveMapped(t, m)
			all := m.Mapped()
			if (len(all) == 2) != (test.port != "") {
				t.Errorf("mapped %s, %v", describeAll(all), m.Failure())
			}
			if err := m.Failure(); (err == nil) != (test.kind == "") || err != nil && !errors.Is(err, test.kind) {
				t.Errorf("failure %v, want %q", err, test.kind)
			}
			for _, l := range all {
				outside := fmt.Sprint(l.External.Port())
				if l.By != "upnp" || l.External.Addr().String() != d.external || (test.port == "any") == (outside == "4747") {
					t.Errorf("mapped %s", describeAll(all))
				}
				d.mu.Lock()
				if got := d.mappings[strings.ToUpper(l.Protocol)+" "+outside]; got != "127.0.0.1:4747 "+test.lease {
					t.Errorf("the gateway has %q among %v", got, d.mappings)
				}
				d.mu.Unlock()
			}
			stop()
			d.mu.Lock()
			defer d.mu.Unlock()
			if len(d.mappings) != 0 {
				t.Errorf("after the end: %v", d.mappings)
			}
		})
	}
}

func TestAnswer(t *testing.T) {
	router := netip.MustParseAddr("192.168.1.1")
	for text, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nLocation: http://192.168.1.1:5000/d.xml\r\n\r\n": "http://192.168.1.1:5000/d.xml",
		"HTTP/1.1 200 OK\r\nlocation: http://[::ffff:192.168.1.1]/\r\n\r\n":  "http://[::ffff:192.168.1.1]/",
		"HTTP/1.1 200 OK\r\nLocation: http://192.168.1.2:5000/d.xml\r\n\r\n": "",
		"HTTP/1.1 200 OK\r\nLocation: http://router.example/d.xml\r\n\r\n":   "",
		"HTTP/1.1 200 OK\r\nLocation: https://192.168.1.1/d.xml\r\n\r\n":     "",
		"HTTP/1.1 404 Not Found\r\nLocation: http://192.168.1.1/\r\n\r\n":    "",
		"NOTIFY * HTTP/1.1\r\nLocation: http://192.168.1.1/\r\n\r\n":         "",
		"HTTP/1.1 200 OK\r\n\r\n": "",
		"":                        "",
	} {
		if got := answer([]byte(text), router); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	router := netip.MustParseAddr("192.168.1.1")
	f.Add([]byte("HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nLocation: http://192.168.1.1:5000/d.xml\r\n\r\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if location := answer(p, router); location != "" && !strings.Contains(location, "192.168.1.1") && !strings.Contains(location, "ffff:") {
			t.Errorf("%q is not with the gateway", location)
		}
	})
}

func FuzzDescription(f *testing.F) {
	f.Add(fmt.Appendf(nil, description, "", connectionServices[0], "/control"))
	f.Add(fmt.Appendf(nil, description, "<URLBase>http://192.168.1.1:5000</URLBase>", connectionServices[2], "control"))
	f.Fuzz(func(t *testing.T, p []byte) {
		root, err := parseDescription(bytes.NewReader(p), "http://192.168.1.1:5000/d.xml")
		if err == nil && len(connections(root)) > maxServices {
			t.Error("too many services")
		}
	})
}

// FuzzService has a gateway answer an action with anything.
func FuzzService(f *testing.F) {
	f.Add(200, fmt.Appendf(nil, envelope, "<u:x><NewExternalIPAddress>203.0.113.9</NewExternalIPAddress></u:x>"))
	f.Add(500, fmt.Appendf(nil, envelope, "<s:Fault><detail><UPnPError><errorCode>725</errorCode></UPnPError></detail></s:Fault>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		s := connectionService{connectionServices[0], soap.SOAPClient{HTTPClient: http.Client{Transport: canned{status, body}}}}
		s.soap.EndpointURL.Scheme, s.soap.EndpointURL.Host = "http", "192.168.1.1"
		if address, err := s.address(t.Context()); err == nil && (!address.IsValid() || address.Zone() != "") {
			t.Errorf("address %v", address)
		}
	})
}

type canned struct {
	status int
	body   []byte
}

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: c.status, ContentLength: -1, Body: io.NopCloser(bytes.NewReader(c.body)), Request: r}, nil
}
