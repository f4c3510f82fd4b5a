package ui

import "html/template"

// icons are drawn for kith on a square of 24 with a line of 1.6, ends and
// corners round. Names say what is drawn or what it stands for.
var icons = map[string]string{
	"home":     `<path d="M3.8 11.2 12 4.2l8.2 7M6 9.6V19a.8.8 0 0 0 .8.8h10.4a.8.8 0 0 0 .8-.8V9.6"/><path d="M10 19.6v-4.8a2 2 0 0 1 4 0v4.8"/>`,
	"globe":    `<circle cx="12" cy="12" r="8.2"/><path d="M3.8 12h16.4M12 3.8c2.6 2.3 3.7 5 3.7 8.2s-1.1 5.9-3.7 8.2c-2.6-2.3-3.7-5-3.7-8.2S9.4 6.1 12 3.8z"/>`,
	"chat":     `<path d="M5.6 5h12.8A1.6 1.6 0 0 1 20 6.6v8a1.6 1.6 0 0 1-1.6 1.6H11l-4.4 3.4v-3.4h-1A1.6 1.6 0 0 1 4 14.6v-8A1.6 1.6 0 0 1 5.6 5z"/><path d="M8.4 10.6h.1M12 10.6h.1M15.6 10.6h.1"/>`,
	"folder":   `<path d="M3.6 7.2c0-.9.7-1.6 1.6-1.6h4l2 2.2h7.6c.9 0 1.6.7 1.6 1.6v7.8c0 .9-.7 1.6-1.6 1.6H5.2c-.9 0-1.6-.7-1.6-1.6z"/>`,
	"people":   `<circle cx="9" cy="8.6" r="3"/><path d="M3.6 18.8c.3-3.3 2.5-5.4 5.4-5.4s5.1 2.1 5.4 5.4"/><path d="M15.4 6a2.7 2.7 0 0 1 0 5.2M17 13.8c1.9.7 3.2 2.5 3.4 5"/>`,
	"settings": `<path d="M4 7.6h8.4M17.6 7.6H20M4 16.4h2.4M11.6 16.4H20"/><circle cx="15" cy="7.6" r="2.4"/><circle cx="9" cy="16.4" r="2.4"/>`,
	"invite":   `<circle cx="10" cy="8.4" r="3.2"/><path d="M4 19c.3-3.5 2.7-5.8 6-5.8 1.4 0 2.6.4 3.6 1.1M17.8 13.6v6M14.8 16.6h6"/>`,
	"ticket":   `<path d="M4 7.4h16v3a1.8 1.8 0 0 0 0 3.4v2.8H4v-2.8a1.8 1.8 0 0 0 0-3.4z"/><path d="M14.4 8.6v1.2M14.4 11.5v1.2M14.4 14.4v1"/>`,
	"key":      `<circle cx="8.2" cy="15.4" r="3.8"/><path d="m11 12.6 8-8M15.6 8l2.8 2.8M13.4 10.2l1.4 1.4"/>`,
	"person":   `<circle cx="12" cy="8.4" r="3.6"/><path d="M5.2 19.4c.4-3.9 3.1-6.2 6.8-6.2s6.4 2.3 6.8 6.2"/>`,
	"copy":     `<rect x="8.4" y="8.4" width="11" height="11" rx="1.8"/><path d="M15.6 8.2V6.4c0-1-.8-1.8-1.8-1.8H6.4c-1 0-1.8.8-1.8 1.8v7.4c0 1 .8 1.8 1.8 1.8h1.8"/>`,
	"check":    `<path d="m5 12.8 4.6 4.6L19 7.6"/>`,
	"plus":     `<path d="M12 5v14M5 12h14"/>`,
	"warning":  `<path d="M10.7 5.2 3.7 17.3a1.5 1.5 0 0 0 1.3 2.3h14a1.5 1.5 0 0 0 1.3-2.3L13.3 5.2a1.5 1.5 0 0 0-2.6 0z"/><path d="M12 9.8v4M12 16.6h.1"/>`,
	"sun":      `<circle cx="12" cy="12" r="3.8"/><path d="M12 3.4v1.8M12 18.8v1.8M3.4 12h1.8M18.8 12h1.8M5.9 5.9l1.3 1.3M16.8 16.8l1.3 1.3M5.9 18.1l1.3-1.3M16.8 7.2l1.3-1.3"/>`,
	"moon":     `<path d="M19.6 14.6A8 8 0 0 1 9.4 4.4a8 8 0 1 0 10.2 10.2z"/>`,
	"leave":    `<path d="M13 4.6H6.6C5.7 4.6 5 5.3 5 6.2v11.6c0 .9.7 1.6 1.6 1.6H13M10.6 12h9M16.4 8.6l3.4 3.4-3.4 3.4"/>`,
	"stop":     `<path d="M12 3.8v7.4M7 6.6a7.4 7.4 0 1 0 10 0"/>`,
	"back":     `<path d="M19.4 12H4.8M10.4 6.4 4.8 12l5.6 5.6"/>`,
	"publish":  `<path d="M12 15.4V5M7.8 9 12 4.8 16.2 9M4.6 15.6v2.2c0 1 .8 1.8 1.8 1.8h11.2c1 0 1.8-.8 1.8-1.8v-2.2"/>`,
	"letter":   `<rect x="3.6" y="5.6" width="16.8" height="12.8" rx="1.6"/><path d="m4.2 7 7.8 6.2L19.8 7"/>`,
	"inbox":    `<path d="M6.6 5.2h10.8l2.8 7.4v5a1.6 1.6 0 0 1-1.6 1.6H5.4a1.6 1.6 0 0 1-1.6-1.6v-5z"/><path d="M4 12.8h4.4l1.2 2.4h4.8l1.2-2.4H20"/>`,
	"sent":     `<path d="M20 4.4 3.8 10.6l6 2.8zM20 4.4l-5.6 15.2-4.6-6.2z"/>`,
	"pen":      `<path d="m14.8 5.6 3.6 3.6M5 19l1-4.4L16.4 4.2a1.4 1.4 0 0 1 2 0l1.4 1.4a1.4 1.4 0 0 1 0 2L9.4 18z"/>`,
	"archive":  `<rect x="3.8" y="5" width="16.4" height="4.2" rx="1"/><path d="M5.2 9.4v8.2c0 .9.7 1.6 1.6 1.6h10.4c.9 0 1.6-.7 1.6-1.6V9.4M10 13h4"/>`,
	"junk":     `<path d="M8.8 4.2h6.4l4.6 4.6v6.4l-4.6 4.6H8.8l-4.6-4.6V8.8z"/><path d="M12 8.4v4.4M12 15.8h.1"/>`,
	"trash":    `<path d="M4.8 7h14.4M9.4 6.8V5.4c0-.6.4-1 1-1h3.2c.6 0 1 .4 1 1v1.4M6.4 7.2l.8 11c.1.9.7 1.4 1.6 1.4h6.4c.9 0 1.5-.5 1.6-1.4l.8-11M10.2 11v5M13.8 11v5"/>`,
	"star":     `<path d="m12 4.4 2.3 4.8 5.3.7-3.9 3.7 1 5.2-4.7-2.5-4.7 2.5 1-5.2-3.9-3.7 5.3-.7z"/>`,
	"reply":    `<path d="M9.6 6 4.2 11.2l5.4 5.2M4.6 11.2h8.8c3.6 0 6 2.2 6.4 6.6"/>`,
	"replyall": `<path d="M8.2 6 3 11.2l5.2 5.2M13 6l-5.2 5.2 5.2 5.2M8.2 11.2h6.4c3.6 0 6 2.2 6.4 6.6"/>`,
	"forward":  `<path d="m14.4 6 5.4 5.2-5.4 5.2M19.4 11.2h-8.8c-3.6 0-6 2.2-6.4 6.6"/>`,
	"clip":     `<path d="m18.8 11.4-6.9 6.9a4.2 4.2 0 0 1-6-6l7.4-7.3a2.8 2.8 0 0 1 4 4l-7.2 7.1a1.4 1.4 0 0 1-2-2l6.5-6.4"/>`,
	"search":   `<circle cx="10.8" cy="10.8" r="6"/><path d="m15.4 15.4 4.4 4.4"/>`,
	"clock":    `<circle cx="12" cy="12" r="8"/><path d="M12 7.4V12l3 2"/>`,
	"file":     `<path d="M7 3.8h6.6L18.4 8.6v10c0 .9-.7 1.6-1.6 1.6H7c-.9 0-1.6-.7-1.6-1.6V5.4c0-.9.7-1.6 1.6-1.6z"/><path d="M13.4 4v4.8h4.8"/>`,
	"more":     `<g fill="currentColor"><circle cx="6" cy="12" r="0.8"/><circle cx="12" cy="12" r="0.8"/><circle cx="18" cy="12" r="0.8"/></g>`,
	"kith":     `<path d="M12 12 6 6.4M12 12l6.4-4.6M12 12l-1.2 7.2"/><circle cx="12" cy="12" r="3" fill="currentColor"/><circle cx="5.4" cy="5.8" r="1.8" fill="currentColor"/><circle cx="19" cy="7" r="1.8" fill="currentColor"/><circle cx="10.6" cy="20" r="1.8" fill="currentColor"/>`,
}

// Icon draws the icon of that name, in the colour of the text around it. It
// is decoration: the words beside it, or a label, say what it means. A name
// that is not there draws nothing.
func Icon(name string) template.HTML {
	drawing, ok := icons[name]
	if !ok {
		return ""
	}
	return template.HTML(`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">` + drawing + `</svg>`)
}
