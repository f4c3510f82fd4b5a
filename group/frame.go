package group

// A frameType is of the frames of [Group.Sync]; see package gossip.
type frameType byte

const (
	frameHello     frameType = 1 // JSON: hello
	frameHave      frameType = 2 // 0: all of the heads in your hello; 1 and prefixes: these entries
	frameEntries   frameType = 3 // entries, parents first
	frameSequences frameType = 4 // ID and sequence number of each record
	frameRecords   frameType = 5 // records
	frameSent      frameType = 6 // nothing: the entries that we had at our hello are sent
	frameTaken     frameType = 7 // nothing: the entries that you had at your hello are here
	frameBeats     frameType = 8 // heartbeats
)
