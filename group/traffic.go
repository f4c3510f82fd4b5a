package group

import (
	"sync/atomic"

	"kith.alt/kith/gossip"
)

// Traffic is what [Group.Sync] has sent since the group was opened, to all
// peers together. Bytes are those of the frames, without what the connections
// add.
type Traffic struct {
	Frames, Bytes uint64
	Entries       uint64 // frames of roster entries
	Records       uint64 // frames of address records
	Beats         uint64 // frames of heartbeats
}

type traffic struct{ frames, bytes, entries, records, beats atomic.Uint64 }

// note counts a frame that was sent.
func (t *traffic) note(frame []byte) {
	t.frames.Add(1)
	t.bytes.Add(uint64(len(frame)))
	switch frameType(frame[gossip.FrameHead-1]) {
	case frameEntries:
		t.entries.Add(1)
	case frameRecords:
		t.records.Add(1)
	case frameBeats:
		t.beats.Add(1)
	}
}

// Traffic returns what Sync has sent so far. What one host of a group sends in
// an hour, against the group's size, says how far the group can grow.
func (g *Group) Traffic() Traffic {
	t := &g.traffic
	return Traffic{Frames: t.frames.Load(), Bytes: t.bytes.Load(), Entries: t.entries.Load(), Records: t.records.Load(), Beats: t.beats.Load()}
}
