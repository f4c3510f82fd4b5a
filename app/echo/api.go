package echo

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"kith.alt/kith"
)

// A line is what the API takes and gives.
type line struct {
	Text string `json:"text"`
}

// api is served to the command line on the control socket.
func (s *server) api() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /say", kith.Answer(func(_ context.Context, in line) (line, error) {
		if in.Text == "" {
			return line{}, fmt.Errorf("there is no text: %w", kith.Invalid)
		}
		if len(in.Text) > maxLine {
			return line{}, fmt.Errorf("line has %d bytes, at most %d: %w", len(in.Text), maxLine, kith.Invalid)
		}
		s.lines.Add(1)
		return line{strings.ToUpper(in.Text)}, nil
	}))
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
