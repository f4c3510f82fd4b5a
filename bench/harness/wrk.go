package harness

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Load is what wrk asks of a server.
type Load struct {
	Wrk         string // the program
	URL         string
	Host        string // the Host header, "" for the URL's
	Connections int
	Lasts       time.Duration
}

// A Rate is what wrk measured.
type Rate struct {
	PerSecond float64 // requests
	P99       time.Duration
}

var (
	wrkRate   = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	wrkP99    = regexp.MustCompile(`99%\s+([0-9.]+[a-z]+)`)
	wrkErrors = regexp.MustCompile(`(?m)^\s*(Non-2xx.*|Socket errors.*)$`)
)

// Run has wrk fetch one file over and over. Answers that are no success are an
// error: their rate means nothing.
func (l Load) Run(ctx context.Context) (Rate, error) {
	args := []string{"--latency", "--threads", "1", "--connections", strconv.Itoa(l.Connections), "--duration", l.Lasts.String()}
	if l.Host != "" {
		args = append(args, "--header", "Host: "+l.Host)
	}
	out, err := exec.CommandContext(ctx, l.Wrk, append(args, l.URL)...).Output()
	if err != nil {
		return Rate{}, fmt.Errorf("wrk: %w", err)
	}
	if bad := wrkErrors.FindString(string(out)); bad != "" {
		return Rate{}, fmt.Errorf("wrk: %s", strings.TrimSpace(bad))
	}
	rate, p99 := wrkRate.FindSubmatch(out), wrkP99.FindSubmatch(out)
	if rate == nil || p99 == nil {
		return Rate{}, fmt.Errorf("wrk printed\n%s", out)
	}
	var r Rate
	if r.PerSecond, err = strconv.ParseFloat(string(rate[1]), 64); err != nil {
		return Rate{}, err
	}
	r.P99, err = time.ParseDuration(string(p99[1]))
	return r, err
}
