// Package watch notices when files and folders of a person change, so that what
// is published of them can be published again.
//
// A [Watcher] looks at each path from time to time: names, sizes, times and
// inodes of the files there, and not what is in them. What it sees is a [Mark];
// another mark means a change. It looks every two seconds after a change, then
// less and less often, every thirty seconds at last, and never so often that
// looking takes more than a fiftieth of the time. No notification of the
// operating system is used: they are lost in network file systems, cost a
// descriptor or a kernel watch for each folder or file, and would need the same
// look at everything when they overflow.
//
// A change is told when it is over: when nothing has changed for two seconds.
// In a folder in which something always changes it is told after thirty
// seconds, unless one and the same file is being written all the time, which is
// waited for up to five minutes. Two changes of one path are told at least
// thirty seconds apart.
//
// Each path has a goroutine of [Watcher.Serve]. Watcher.mu guards the table of
// paths and is held while nothing waits.
package watch
