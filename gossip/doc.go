// Package gossip has what the conversations have in common in which members tell
// each other what they know: that of the roster (package group) and that of the
// library (package swarm/library). It has frames, the loop that reads them at a bounded
// pace, and JSON that every reader understands the same. What is said, and who believes what, is
// theirs.
package gossip
