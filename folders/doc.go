// Package folders knows the folders of the person who runs the node: home, and
// what must never be shown to others because it holds that, or because its name
// hides it. Names are compared as the system does, through whatever links lead
// there. It also knows how much room is left.
package folders
