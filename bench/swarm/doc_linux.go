// Command swarm measures sharing: how long a file takes from one host to many,
// what that costs, and how fast it is on a network without limits. Beside kith
// stand the programs that do the same: aria2, libtorrent, transmission, curl
// with nginx, sha256sum. What is not installed is left out, with a line that says
// so. Each of its measurements prints a Markdown table:
//
//   - spread: a file of 32 MiB on its way from a seed to 4, 8 and 16 takers on shaped
//     links, as a multiple of the least time that it can take (see [scenario]).
//     Nodes are up and members of one group before the clock starts, and torrent clients
//     have started; their tracker is on the seed's host.
//   - cost: the processor time that a gigabyte costs at either end, on a cable without
//     limits, as user and system time of the processes.
//   - memory: what 1,000 shares of 64 KiB add to a process that seeds them.
//   - hashing: adding a file of 4 GiB ("kith share", from its start to its end), and hashing alone,
//     beside sha256sum. The file is in memory.
//   - lan: a file of 4 GiB between two hosts on a cable without limits, by "kith get" and by curl
//     from nginx. Both write to the file system of TMPDIR. kith get returns when the file
//     is on the disk; so the time of curl is taken with a sync of its file, and without.
//
// Hosts are network namespaces (root is needed, ip and tc, of iproute2), except for
// memory and hashing, which use loopback.
//
//	go run ./bench/swarm [-what NAME,...] [-rounds N] [-size MIB] [-scenario NAME] [-client NAME] [-profile DIR]
//
// Without -what it measures everything, in about an hour with one round; the file of
// lan and of hashing needs 13 GiB of free disk. With -profile, cost and lan also show what the
// processors were doing at either end.
package main
