// Command swarm measures sharing: how long a file takes from one host to many,
// what that costs, and how fast it is on a network without limits. Beside kith
// stand the programs that do the same: aria2, libtorrent, transmission, curl
// with nginx, sha256sum. What is not installed is left out, with a line that says
// so. Each of its measurements prints a Markdown table:
//
//   - hashing: adding a file of 4 GiB ("kith share", from its start to its end), and hashing
//     alone, beside sha256sum. The file is in memory.
//   - lan: a file of 4 GiB between two hosts on a cable without limits, by "kith get" and by
//     curl from nginx. Both write to the file system of TMPDIR. kith get returns when the file
//     is on the disk; the time of curl is taken before and after a sync of its file.
//   - cost: the processor time that a gigabyte costs at either end of such a cable, in user and
//     system mode of the processes, from the start of the transfer to its end.
//   - memory: what 1,000 shares of 64 KiB add to a process that seeds them.
//   - spread: a file of 32 MiB on its way from a seed to 4, 8 and 16 takers on shaped links, as
//     a multiple of the least time that it can take (see [netlab.Swarm]). Files are in
//     memory. Nodes are up and members of one group before the clock starts; so is
//     what torrent clients need before they begin, and their tracker on the seed's host.
//
// Hosts are network namespaces (root is needed; ip and tc, of iproute2, and ethtool), except
// in hashing, which has one node on loopback.
//
//	go run ./bench/swarm [-what NAME,...] [-rounds N] [-size MIB] [-scenario NAME] [-client NAME] [-profile DIR]
//
// Without -what it measures all, in about 35 minutes for each round; hashing and lan need 9 GiB
// of free disk. With -profile, lan and cost also say what the processors did at either end of
// kith.
package main
