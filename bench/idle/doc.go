// Command idle measures what a node costs that has nothing to do: a group of
// processes on loopback, all connected with all, is left alone. It prints one
// Markdown table, for one process: resident memory, processor time, and bytes
// sent and received together.
//
// The group runs in a network namespace of its own, so that the loopback
// interface's counters count nothing else; a packet counts with all its
// headers. Where there are no namespaces (they are Linux's), or none for this
// user, the traffic is missing from the table.
//
//	go run ./bench/idle [-nodes 20] [-settle 10s] [-time 60s] [-profile DIR]
//
// Before and after the figures nobody asks the nodes anything: what they cost
// includes no measurement. Processor time comes in ticks of 10 ms; it is the
// sum over all nodes. With -profile the processes are slower to start and take
// more memory: read the profiles, not the table.
package main
