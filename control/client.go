package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"kith.alt/kith"
)

// ErrNotRunning is the error of calls to a node that does not run; its kind is
// Unreachable.
var ErrNotRunning error = notRunning{}

type notRunning struct{}

func (notRunning) Error() string { return "no node runs" }
func (notRunning) Unwrap() error { return kith.Unreachable }

// Client speaks to the node that runs on a data directory, from another
// process or the same. It implements [Node]: a call made with it does what the
// node's own method does, and fails with the same text and kind; errors of Dial
// name the address as it was asked for. Connections that it dials and accepts
// implement kith.HalfCloser and, where the network verified the peer,
// kith.Identified. It is safe for concurrent use.
type Client struct {
	dir  string
	http *http.Client
}

var _ Node = (*Client)(nil)

// NewClient makes a client of the node on the data directory dir. It opens
// nothing; the caller closes it.
func NewClient(dir string) *Client {
	return &Client{dir: dir, http: &http.Client{Transport: &http.Transport{
		DialContext:  func(ctx context.Context, _, _ string) (net.Conn, error) { return connect(ctx, dir) },
		MaxIdleConns: 2, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		DisableCompression: true,
	}}}
}

// Dial makes a client as [NewClient] does, and fails with [ErrNotRunning] where
// no node runs on dir.
func Dial(ctx context.Context, dir string) (*Client, error) {
	conn, err := connect(ctx, dir)
	if err != nil {
		return nil, err
	}
	conn.Close()
	return NewClient(dir), nil
}

// Close closes the connections that wait for a next call. Sockets and
// listeners live on.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// API sends in, as JSON, to an application's API and reads the answer into out;
// nil is no body. path is below /api/<app>.
func (c *Client) API(ctx context.Context, app, method, path string, in, out any) error {
	return c.do(ctx, method, "/api/"+app+path, in, out)
}

// call asks the node.
func (c *Client) call(ctx context.Context, name string, in, out any) error {
	return c.do(ctx, http.MethodPost, prefix+name, in, out)
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return kith.ReadError(resp)
	}
	if out == nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the node's answer: %w", err)
	case len(text) > maxResponse:
		return fmt.Errorf("the node's answer has more than %d bytes: %w", maxResponse, kith.Quota)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read the node's answer: %w", err)
	}
	return nil
}

// send returns the node's answer, whatever it is. The caller closes its body.
func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	req, err := newRequest(ctx, method, path, in)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err == nil {
		return resp, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if wrapped := new(url.Error); errors.As(err, &wrapped) { // "Post http://kith/v1/...:" says nothing to people
		err = wrapped.Err
	}
	return nil, err
}

func newRequest(ctx context.Context, method, path string, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://kith"+path, body)
	if err != nil {
		return nil, fmt.Errorf("request: %w: %w", err, kith.Invalid)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// Status is [Node.Status].
func (c *Client) Status(ctx context.Context) (out Status, err error) {
	return out, c.call(ctx, "status", nil, &out)
}

// Doctor is [Node.Doctor].
func (c *Client) Doctor(ctx context.Context) (out []Finding, err error) {
	return out, c.call(ctx, "doctor", nil, &out)
}

// Events is [Node.Events].
func (c *Client) Events(ctx context.Context) (out []Event, err error) {
	return out, c.call(ctx, "events", nil, &out)
}

// Sockets is [Node.Sockets].
func (c *Client) Sockets(ctx context.Context) (out []Socket, err error) {
	return out, c.call(ctx, "sockets", nil, &out)
}

// Ping is [Node.Ping].
func (c *Client) Ping(ctx context.Context, host string) (out Ping, err error) {
	return out, c.call(ctx, "ping", hostRequest{Host: host}, &out)
}

// Trace is [Node.Trace].
func (c *Client) Trace(ctx context.Context, host string) (out Trace, err error) {
	return out, c.call(ctx, "trace", hostRequest{Host: host}, &out)
}

// Diagnose is [Node.Diagnose].
func (c *Client) Diagnose(ctx context.Context, host string) (out []Finding, err error) {
	return out, c.call(ctx, "diagnose", hostRequest{Host: host}, &out)
}

// Configure is [Node.Configure].
func (c *Client) Configure(ctx context.Context, settings Settings) error {
	return c.call(ctx, "configure", settings, nil)
}

// Stop is [Node.Stop].
func (c *Client) Stop(ctx context.Context) error { return c.call(ctx, "stop", nil, nil) }

// Invite is [Node.Invite].
func (c *Client) Invite(ctx context.Context, request InviteRequest) (out Invitation, err error) {
	return out, c.call(ctx, "invite", request, &out)
}

// Join is [Node.Join].
func (c *Client) Join(ctx context.Context, ticket string) error {
	return c.call(ctx, "join", joinRequest{ticket}, nil)
}

// Trust is [Node.Trust].
func (c *Client) Trust(ctx context.Context, host string) error {
	return c.call(ctx, "trust", hostRequest{Host: host}, nil)
}

// Revoke is [Node.Revoke].
func (c *Client) Revoke(ctx context.Context, host string) error {
	return c.call(ctx, "revoke", hostRequest{Host: host}, nil)
}

// SetAdmin is [Node.SetAdmin].
func (c *Client) SetAdmin(ctx context.Context, host string, admin bool) error {
	return c.call(ctx, "admin", hostRequest{Host: host, Admin: admin}, nil)
}

// Leave is [Node.Leave].
func (c *Client) Leave(ctx context.Context) error { return c.call(ctx, "leave", nil, nil) }

// Rename is [Node.Rename].
func (c *Client) Rename(ctx context.Context, request RenameRequest) error {
	return c.call(ctx, "rename", request, nil)
}

// Accounts is [Node.Accounts].
func (c *Client) Accounts(ctx context.Context) (out []Account, err error) {
	return out, c.call(ctx, "accounts", nil, &out)
}

// AddAccount is [Node.AddAccount].
func (c *Client) AddAccount(ctx context.Context, name string) error {
	return c.call(ctx, "account/add", accountRequest{Account: name}, nil)
}

// AddAppPassword is [Node.AddAppPassword].
func (c *Client) AddAppPassword(ctx context.Context, account, label string) (out AppPassword, err error) {
	return out, c.call(ctx, "app-password/add", accountRequest{Account: account, Label: label}, &out)
}

// RemoveAppPassword is [Node.RemoveAppPassword].
func (c *Client) RemoveAppPassword(ctx context.Context, account, id string) error {
	return c.call(ctx, "app-password/remove", accountRequest{Account: account, AppPassword: id}, nil)
}

// SetPassword is [Node.SetPassword].
func (c *Client) SetPassword(ctx context.Context, account, password string) error {
	return c.call(ctx, "password", accountRequest{Account: account, Password: password}, nil)
}

// SignInLink is [Node.SignInLink].
func (c *Client) SignInLink(ctx context.Context, account string) (string, error) {
	var out linkAnswer
	err := c.call(ctx, "sign-in", accountRequest{Account: account}, &out)
	return out.Link, err
}

// Open is [Node.Open].
func (c *Client) Open(ctx context.Context, app, to string) error {
	return c.call(ctx, "open", openRequest{app, to}, nil)
}

// Certificate is [Node.Certificate].
func (c *Client) Certificate(ctx context.Context) (out Certificate, err error) {
	return out, c.call(ctx, "certificate", nil, &out)
}
