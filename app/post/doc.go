// Package post is the application for letters: it shows people how the letters of
// all applications on this host are doing, and what the host holds for others. The work
// is done by the node's [kith.Post]; what a letter means is for the application that sent it.
//
// It keeps no state of its own. Commands speak to the API (api.go), which is JSON; the
// dashboard has a page of letters and one of what is held, with its limits (screens.go).
// States are put into words in one place, state.go, with the names that hosts have now.
package post
