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
		if in.Text == "" {
			http.Error(w, "there is no text", http.StatusBadRequest)
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

// echoCommand says something. All it knows of the node is the API.
func echoCommand() kith.Command {
	return kith.Command{
		Name: "echo", Args: "TEXT...",
		Summary: "say TEXT in capitals",
		Help:    "Prints what the node on this computer makes of TEXT.",
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			var out line
			if err := env.API(ctx, http.MethodPost, "/say", line{strings.Join(words, " ")}, &out); err != nil {
				return err
			}
			return env.Print(out, out.Text+"\n")
		},
	}
}
