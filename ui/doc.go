// Package ui is what all pages of kith look like: one shell, one style sheet,
// one set of icons, a few components and two small ES modules. It imports the
// standard library only and knows nothing of nodes.
//
// An application keeps its templates in a folder of its own, parses them once
// with [Parse] and answers a request with [Write]:
//
//	//go:embed templates
//	var files embed.FS
//
//	var pages = ui.Parse(files, "templates/*.html")
//
//	func (s *screens) sites(w http.ResponseWriter, r *http.Request) {
//		ui.Write(w, r, http.StatusOK, ui.Page{
//			Title:  "Sites",
//			Active: "/web/",
//			Body:   pages.Body("sites.html", data),
//		})
//	}
//
// What surrounds the body (the host's name, the rail, who is awake, the CSRF
// token) is a [Frame] in the request's context. The dashboard puts it there;
// applications are unaware of it, but for two things: each form with method
// POST holds {{.CSRF}}, a field of its data that [CSRF] makes; and what is
// one person's alone asks [Account] who is signed in.
//
// # Functions in templates
//
//	{{icon "globe"}}                an inline drawing, see icons.go for the names
//	{{ago .Seen}}                   "3 minutes ago", kept up to date in the page
//	{{size .Bytes}}                 "1.4 MiB"
//	{{number 12345}}                "12,345"
//	{{millis .RTT}}                 "12 ms"
//	{{plural 3 "host" "hosts"}}     "3 hosts"
//	{{copy .Link}}                  a button that copies
//	{{command "kith join" .Ticket}} a line to copy into a terminal
//	{{value .Address}}              a short value to copy
//	{{field .Name}}                 label, input, hint and error of a [Field]
//	{{state "online" "awake"}}      a dot and a word
//	{{timeline .Way}}               the way of a [Letter] in steps
//	{{asset "kith.css"}}            the address of an embedded file
//
// # Classes
//
// Structure is plain HTML with a few classes: section.card (a sheet with h2),
// div.grid (cards side by side), table.table (td[data-label] lets it stack on
// narrow screens), div.empty (icon, h2, p, actions), dl.facts, ol.steps,
// ul.rows, p.lead, p.note, nav.tabs, div.actions, a.button and button with
// .primary, .danger or .quiet, details.more, div.form, div.scroll.
//
// # Behaviour
//
// Every page reads and every form works without JavaScript. The modules add:
// copy buttons; the light and dark switch (kept in the cookie kith_theme, so
// that the server draws the right one at once); times that stay right;
// a[data-dialog=ID], which opens the dialog of that id instead of following
// the link; and live fragments: Page.Live names a stream made with [Streams],
// whose fragments take the place of what is in the elements with their ids;
// Page.Lead is in live-lead.
//
// Pages are private (no-store) and carry a Content-Security-Policy that allows
// nothing inline and nothing foreign. [Assets] serves the embedded files below
// [AssetPath] under names that contain their hash, so that they may be cached
// for ever. An application's own files are a [Folder].
package ui
