package kith_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kith.alt/kith"
)

// TestAnswer has requests answered and reads the answers again.
func TestAnswer(t *testing.T) {
	type message struct {
		Text string `json:"text"`
	}
	api := kith.Answer(func(_ context.Context, in message) (message, error) {
		if kind, ok := strings.CutPrefix(in.Text, "fail "); ok {
			return message{}, fmt.Errorf("say it: %w", kith.Kind(kind))
		} else if in.Text == "break" {
			return message{}, errors.New("it broke")
		}
		return message{strings.ToUpper(in.Text)}, nil
	})
	for _, test := range []struct {
		body   string
		status int
		kind   kith.Kind // of an error
		says   string    // is in the body, or in the error
	}{
		{`{"text":"hello","of a later version":1}`, http.StatusOK, "", `{"text":"HELLO"}`},
		{``, http.StatusOK, "", `{"text":""}`},
		{`{"text":`, http.StatusBadRequest, kith.Invalid, "not the JSON expected"},
		{`{"text":5}`, http.StatusBadRequest, kith.Invalid, "not the JSON expected"},
		{`{}{}`, http.StatusBadRequest, kith.Invalid, "more than one value"},
		{`{"text":"` + strings.Repeat("x", kith.MaxRequest) + `"}`, http.StatusTooManyRequests, kith.Quota, "more than 1048576 bytes"},
		{`{"text":"fail in use"}`, http.StatusConflict, kith.InUse, "say it: in use"},
		{`{"text":"fail no path"}`, http.StatusGatewayTimeout, kith.Unreachable, "say it: no path"},
		{`{"text":"fail some other way"}`, http.StatusInternalServerError, "some other way", "say it: some other way"},
		{`{"text":"break"}`, http.StatusInternalServerError, "", "it broke"},
	} {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(test.body)))
		if w.Code != test.status || w.Header().Get("Content-Type") != "application/json" || !strings.Contains(w.Body.String(), test.says) {
			t.Errorf("%.40s: %d %s", test.body, w.Code, w.Body)
		}
		if w.Code == http.StatusOK {
			continue
		}
		err := kith.ReadError(w.Result())
		var kind kith.Kind
		errors.As(err, &kind)
		if kind != test.kind || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%.40s: read as %v, of kind %q", test.body, err, kind)
		}
	}
}

// TestReadError has answers that WriteError did not write.
func TestReadError(t *testing.T) {
	for status, want := range map[int]string{
		http.StatusGone:                  "the folder is gone",
		http.StatusRequestEntityTooLarge: "",
	} {
		w := httptest.NewRecorder()
		w.WriteHeader(status)
		fmt.Fprintln(w, want)
		err := kith.ReadError(w.Result())
		if want == "" {
			want = "the node answered 413 Request Entity Too Large"
		}
		if err.Error() != want || errors.Is(err, kith.Expired) != (status == http.StatusGone) {
			t.Errorf("%d: %v", status, err)
		}
	}
}
