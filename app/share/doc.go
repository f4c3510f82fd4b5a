// Package share is the application for files: what a member shares stands in the
// group's library, and everybody takes it with a click or a command. The work is
// done by the node's [kith.Swarm]; this package is what people see of it.
//
// A title is what people know a share by. They may also name it by HOST/TITLE, by a
// link (kith:...) and, for taking, by a magnet link or a .torrent file.
// What a word means is decided in one place, names.go. Sites that
// members publish travel by the same swarm; they are the web application's, and
// appear here only as copies that this host keeps for others.
//
// # How it works
//
// The application keeps no state of its own but two settings, the folders for what
// is taken and for what is dragged into the dashboard (table share_settings). All
// else is asked of the swarm each time. Commands speak to the API (api.go), which
// is JSON; long work, such as hashing a folder, is one request that answers when
// it is done and can be asked about meanwhile by the word that the caller gave it
// (work.go), and which ends when the caller leaves.
//
// A file appears under its name when it is complete and verified, which is the
// swarm's business; where that name is, is decided here (place.go). Nothing that exists is
// replaced unless the person says so.
//
// Files dragged into the dashboard arrive in slices (upload.go), so that no
// request is large, and are shared from the person's folder.
package share
