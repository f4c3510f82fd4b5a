package kith

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// MaxRequest is the most bytes that the body of a request to an API has.
const MaxRequest = 1 << 20

// Answer makes a handler of an API out of a function from JSON to JSON. An
// empty body is the zero value; unknown fields are ignored. The error of f is
// answered as [WriteError] has it.
func Answer[In, Out any](f func(context.Context, In) (Out, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := ReadRequest(w, r, &in); err != nil {
			WriteError(w, err)
			return
		}
		out, err := f(r.Context(), in)
		if err != nil {
			WriteError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, out)
	})
}

// ReadRequest reads the JSON value that is the body of a request into in; an
// empty body leaves in as it is. It fails with kind Quota where the body has
// more than MaxRequest bytes, else with kind Invalid.
func ReadRequest(w http.ResponseWriter, r *http.Request, in any) error {
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxRequest))
	err := body.Decode(in)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		if _, err = body.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err == nil {
			err = errors.New("more than one value")
		}
	}
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return fmt.Errorf("request has more than %d bytes: %w", tooLarge.Limit, Quota)
	}
	return fmt.Errorf("request is not the JSON expected (%w): %w", err, Invalid)
}

// WriteError answers a request with an error: its text, its kind and the HTTP
// status of the kind, which is 500 where it has none. [ReadError] makes the
// error of the answer again.
func WriteError(w http.ResponseWriter, err error) {
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

// ReadError makes an error of an answer that is no success: of what WriteError
// wrote, or of plain text, whose kind is told by the status. The caller closes
// the body.
func ReadError(answer *http.Response) error {
	const most = 64 << 10
	text, err := io.ReadAll(io.LimitReader(answer.Body, most))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	f := new(failure)
	if json.Unmarshal(text, f) == nil && f.Text != "" {
		return f
	}
	f = &failure{Text: strings.TrimSpace(string(text))}
	for _, s := range statuses {
		if s.status == answer.StatusCode {
			f.Kind = s.kind
			break
		}
	}
	if f.Text == "" {
		f.Text = "the node answered " + answer.Status
	}
	return f
}

// A failure is an error as it crosses an API.
type failure struct {
	Text string `json:"error"`
	Kind Kind   `json:"kind,omitempty"`
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
	kind   Kind
}{
	{http.StatusBadRequest, Invalid},
	{http.StatusNotFound, NotFound},
	{http.StatusConflict, Exists},
	{http.StatusConflict, InUse},
	{http.StatusForbidden, Denied},
	{http.StatusForbidden, NotMember},
	{http.StatusGone, Expired},
	{http.StatusTooManyRequests, Quota},
	{http.StatusRequestEntityTooLarge, Quota},
	{http.StatusBadGateway, Refused},
	{http.StatusGatewayTimeout, Unreachable},
	{http.StatusServiceUnavailable, Temporary},
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails where the caller has gone
}
