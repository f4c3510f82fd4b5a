package echo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"kith.alt/kith"
)

// A line is what the API takes and gives.
type line struct {
	Text string `json:"text"`
}

// api is served to the command line on the control socket. An error is its
// text; the status tells its kind: 400 is kith.Invalid.
func (s *server) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /say", func(w http.ResponseWriter, r *http.Request) {
		var in line
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 2*maxLine)).Decode(&in); err != nil {
			http.Error(w, "request is not the JSON expected: "+err.Error(), http.StatusBadRequest)
			return
		}
		if len(in.Text) > maxLine {
			http.Error(w, fmt.Sprintf("line has %d bytes, at most %d", len(in.Text), maxLine), http.StatusBadRequest)
			return
		}
		s.lines.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(line{strings.ToUpper(in.Text)}) // the caller has gone
	})
	return mux
}

// run is the command. All it knows of the node is the API.
func run(ctx context.Context, env kith.Env, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no text; usage: kith echo TEXT: %w", kith.Invalid)
	}
	var out line
	if err := env.API(ctx, http.MethodPost, "/say", line{strings.Join(args, " ")}, &out); err != nil {
		return err
	}
	if env.JSON {
		return json.NewEncoder(env.Stdout).Encode(out)
	}
	_, err := fmt.Fprintln(env.Stdout, out.Text)
	return err
}
