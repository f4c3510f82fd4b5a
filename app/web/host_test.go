package web

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"kith.alt/kith/kithtest/apptest"
)

// A fixture is the web application, running on maple, as oak and the owner of
// maple see it.
type fixture struct {
	*apptest.Host
	client *http.Client // of oak, to any address: it reaches maple
	stop   func()
}

// start runs the application.
func start(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{Host: apptest.NewHost(t, App())}
	f.stop = f.Serve(t)
	f.client = &http.Client{
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return f.dial(ctx, 80) }},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	t.Cleanup(f.client.CloseIdleConnections)
	return f
}

// dial is what oak does to reach a port of maple.
func (f *fixture) dial(ctx context.Context, port uint16) (net.Conn, error) {
	return f.Oak.Dial(ctx, f.Address(port))
}

// get asks for a path of the site, from oak.
func (f *fixture) get(t testing.TB, path string, header ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://maple.home.kith.alt"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := f.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// must runs a command that has to succeed.
func (f *fixture) must(t testing.TB, dir, verb string, args ...string) string {
	t.Helper()
	out, _, err := f.Run(t.Context(), dir, verb, args...)
	if err != nil {
		t.Fatalf("kith %s %q: %v", verb, args, err)
	}
	return out
}
