// Package content keeps the bytes that a host shares: files named by the root
// of their Merkle tree, whole or in part, each block checked.
//
// A file is cut into blocks of 16 KiB. Its [Root] is the "pieces root" of BEP
// 52: the leaves of a binary tree are the SHA-256 of the blocks, the last one
// not padded, then zeros up to the next power of two. [Sum] computes it with
// several cores. Nothing here knows peers, descriptions or names; that is the
// business of the swarm.
//
// A [Store] keeps files below one directory, each once however often it is
// shared. A [File] is one of them, in whole, in part, or not yet begun. Blocks
// and hashes come from peers, and nothing is kept that does not lead to the
// root: [File.SetHashes] checks hashes, [File.WriteBlock] a block. A person's
// file enters by [Store.Import] and a finished one leaves by [Store.Export]: as
// a clone that shares its bytes on disk (reflink) where the file system can;
// elsewhere the person's file is used where it lies, by reference. It is never
// written to, and never hard linked, and each block read from it is checked, as
// the person may change it at any time. Once its size, time or inode is
// another, its blocks count as missing.
//
// A client of BitTorrent version 1 gives blocks without hashes. Such a block is kept as a
// claim ([File.Claim]): on disk, with the hash of what came, but not here for anybody. Once a
// hash above it is known, of a piece or the whole file, [File.Prove] compares.
//
// On disk, for each file (directories 0700, files 0600):
//
//	ab/ab01…-SIZE.tree        two bitmaps and all hashes of the tree
//	ab/ab01…-SIZE.data        the bytes that are here, with holes
//	ab/ab01…-SIZE.claims      hashes of the blocks that are claims, 32 bytes each, else zeros
//	ab/ab01…-SIZE.references  where a person's file has them, as JSON
//
// and in the store the table content_retained, which tells what content needs a
// file. A file that none needs is deleted.
//
// The first bitmap says which blocks were written after they were checked, the
// second which of them are known to have reached the disk. WriteBlock writes
// the block and then its bit in the first, without a sync, so that a killed
// process loses no block that was acknowledged. Every 64 MiB, and at the end,
// the data are synced and the second bitmap catches up. When a file is opened,
// the blocks in which the two differ are hashed again, which bounds the work
// and tells what a power cut took. All other blocks are checked when they are
// first read after the file was opened. Hashes need no such care: one counts
// only if its path leads up to the root.
//
// Of a file that is not in use nothing is in memory but its name and a few
// numbers. Bitmaps and descriptors are loaded at the first use, and those of
// the files used least lately are dropped beyond a small number.
//
// Locks are taken in the order File.use, File.mu or Store.mu; the last two are
// not held together.
package content
