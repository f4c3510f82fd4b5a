package ui

import (
	"encoding/base64"
	"net/http"
	"strings"
)

const flashCookie = "kith_flash"

// A flash is a sentence about what was just done, shown on the next page.
type flash struct {
	Good bool
	Text string
}

// Redirect answers a form that did its work: the browser goes on to address,
// and the page there says text, once.
func Redirect(w http.ResponseWriter, r *http.Request, address, text string) {
	redirect(w, r, address, "+"+text)
}

// RedirectError is [Redirect] for a form whose work was refused.
func RedirectError(w http.ResponseWriter, r *http.Request, address, text string) {
	redirect(w, r, address, "-"+text)
}

func redirect(w http.ResponseWriter, r *http.Request, address, text string) {
	const most = 1000 // a cookie holds 4 KiB
	text = text[:min(len(text), most)]
	http.SetCookie(w, &http.Cookie{
		Name: flashCookie, Value: base64.RawURLEncoding.EncodeToString([]byte(text)),
		Path: "/", MaxAge: 60, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, address, http.StatusSeeOther)
}

func takeFlash(w http.ResponseWriter, r *http.Request, alone bool) *flash {
	cookie, err := r.Cookie(flashCookie)
	if err != nil || alone {
		return nil
	}
	http.SetCookie(w, &http.Cookie{Name: flashCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	raw, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || len(raw) < 2 {
		return nil
	}
	return &flash{Good: raw[0] == '+', Text: strings.ToValidUTF8(string(raw[1:]), "")}
}
