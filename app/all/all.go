// Package all is the list of applications that a node runs. Adding one is a
// folder and a line: docs/adding-an-app.md shows how.
package all

import (
	"kith.alt/kith"
	"kith.alt/kith/app/mail"
	"kith.alt/kith/app/post"
	"kith.alt/kith/app/share"
	"kith.alt/kith/app/web"
)

// Apps returns the applications, in the order of the dashboard's rail.
func Apps() []kith.App {
	return []kith.App{
		web.App(),
		share.App(),
		mail.App(),
		post.App(),
	}
}
