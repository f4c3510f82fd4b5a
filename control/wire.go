package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"kith.alt/kith"
)

// What crosses the socket, in version 1: POST /v1/<method> with a JSON object,
// answered with JSON. Fields may be added; unknown ones are ignored.
const (
	prefix   = "/v1/"
	protocol = "kith-socket" // in Upgrade: raw bytes follow
	header   = "Kith-Socket" // the JSON of an endpoint, in the answer to an upgrade

	maxRequest  = 1 << 20  // bytes of a request's body
	maxResponse = 16 << 20 // bytes of an answer that a client reads
	maxHeader   = 16 << 10
	patience    = 10 * time.Second // for a header, a body, or an upgrade's last step
	fetchTime   = 10 * time.Second // an accepted socket waits so long to be fetched
	backlog     = 128              // accepted sockets of a listener that nobody fetched or took yet

	brokenTime = time.Minute // how long the reason of a broken socket is kept
	maxBroken  = 4096        // reasons kept
)

type hostRequest struct {
	Host  string `json:"host"`
	Admin bool   `json:"admin,omitempty"`
}

type joinRequest struct {
	Ticket string `json:"ticket"`
}

type accountRequest struct {
	Account     string `json:"account"`
	Label       string `json:"label,omitempty"`
	AppPassword string `json:"app_password,omitempty"` // its ID
	Password    string `json:"password,omitempty"`
}

type linkAnswer struct {
	Link string `json:"link"`
}

type addressRequest struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

func (a addressRequest) address() kith.Address { return kith.Address{Host: a.Host, Port: a.Port} }

// tokenRequest fetches an accepted socket, or asks how a socket ended; it is
// also the line that announces an accepted one to the program that listens.
type tokenRequest struct {
	Token string `json:"token"`
}

// An endpoint describes the socket behind an upgraded connection.
type endpoint struct {
	Local  string     `json:"local"`
	Remote string     `json:"remote,omitempty"`
	Peer   *kith.Peer `json:"peer,omitempty"`  // nil: the network verified nobody
	Token  string     `json:"token,omitempty"` // asks how the socket ended
}

func endpointOf(conn net.Conn) endpoint {
	e := endpoint{Local: addressText(conn.LocalAddr()), Remote: addressText(conn.RemoteAddr())}
	if peer, ok := kith.PeerOf(conn); ok {
		e.Peer = &peer
	}
	return e
}

func addressText(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// parseAddr makes an address of what addressText wrote. What is not HOST:PORT
// stays as the text of the host.
func parseAddr(text string) kith.Address {
	if address, err := kith.ParseAddress(text); err == nil {
		return address
	}
	return kith.Address{Host: text}
}

// A failure is an error on the wire.
type failure struct {
	Text string    `json:"error"`
	Kind kith.Kind `json:"kind,omitempty"`
}

// Error returns the text, which ends with the kind's as it did at home.
func (f *failure) Error() string { return f.Text }

func (f *failure) Unwrap() error {
	if f.Kind == "" {
		return nil
	}
	return f.Kind
}

// statuses gives each kind its HTTP status. Where two kinds share one, the
// first is what the status means when an answer names no kind.
var statuses = []struct {
	status int
	kind   kith.Kind
}{
	{http.StatusBadRequest, kith.Invalid},
	{http.StatusNotFound, kith.NotFound},
	{http.StatusConflict, kith.Exists},
	{http.StatusConflict, kith.InUse},
	{http.StatusForbidden, kith.Denied},
	{http.StatusForbidden, kith.NotMember},
	{http.StatusGone, kith.Expired},
	{http.StatusTooManyRequests, kith.Quota},
	{http.StatusRequestEntityTooLarge, kith.Quota},
	{http.StatusBadGateway, kith.Refused},
	{http.StatusGatewayTimeout, kith.Unreachable},
	{http.StatusServiceUnavailable, kith.Temporary},
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // the caller is gone when this fails
}

func writeError(w http.ResponseWriter, err error) {
	f := failure{Text: err.Error()}
	status := http.StatusInternalServerError
	if errors.As(err, &f.Kind) {
		for _, s := range statuses {
			if s.kind == f.Kind {
				status = s.status
				break
			}
		}
	}
	writeJSON(w, status, f)
}

// readError makes an error of an answer that is not a success: of what
// writeError wrote, or of an application's plain text.
func readError(resp *http.Response) error {
	const most = 64 << 10
	text, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	f := new(failure)
	if json.Unmarshal(text, f) == nil && f.Text != "" {
		return f
	}
	f = &failure{Text: strings.TrimSpace(string(text))}
	for _, s := range statuses {
		if s.status == resp.StatusCode {
			f.Kind = s.kind
			break
		}
	}
	if f.Text == "" {
		f.Text = "the node answered " + resp.Status
	}
	return f
}

// decode reads a request's JSON object; an empty body is the zero value.
func decode(r *http.Request, in any) error {
	dec := json.NewDecoder(r.Body)
	if err := dec.Decode(in); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("request is not the JSON expected (%w): %w", err, kith.Invalid)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("request has more than one JSON value: %w", kith.Invalid)
	}
	return nil
}
