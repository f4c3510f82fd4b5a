package echo

import (
	"embed"
	"net/http"

	"kith.alt/kith/ui"
)

//go:embed templates
var templateFiles embed.FS

var pages = ui.Parse(templateFiles, "templates/*.html")

// screen is the application's page in the dashboard.
func (s *server) screen() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		total, err := s.total(r.Context())
		if err != nil {
			s.host.Log().Error("callers cannot be counted", "err", err)
			ui.Message(w, r, http.StatusInternalServerError, "Echo", "The callers cannot be counted at the moment.")
			return
		}
		ui.Write(w, r, http.StatusOK, ui.Page{
			Title: "Echo", Active: "/echo/",
			Lead: "Whatever members say, this host says it louder.",
			Body: pages.Body("echo.html", struct {
				Total int
				Host  string
			}{total, s.host.Name().Host}),
		})
	})
}
