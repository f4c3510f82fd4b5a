package post

import (
	"kith.alt/kith"
	"kith.alt/kith/ui"
)

// App returns the application.
func App() kith.App {
	return kith.App{
		Name:  "post",
		Title: "Letters",
		Commands: []kith.Command{
			listCommand("post"), listCommand("post list"), showCommand(), heldCommand(), lostCommand(), limitCommand(),
		},
		New: func(host kith.Host) (kith.Service, error) { return newPost(host).service(), nil },
	}
}

// post is the application on one host.
type post struct {
	host    kith.Host
	streams ui.Streams
}

func newPost(host kith.Host) *post {
	return &post{host: host}
}

func (p *post) service() kith.Service {
	return kith.Service{API: p.api(), Screens: p.screens()}
}
