// Package static serves a directory over HTTP as it is at the moment: media
// types, ranges, conditional requests, content codings, indexes.
//
// A [Server] is given a directory with every request and keeps nothing open
// between requests, so that what changes on disk changes at once, and a
// published folder can be renamed, replaced or unmounted like any other. Or it
// is given an fs.FS, for files that do not lie in a directory. Only regular
// files and directories below the directory are reached: os.Root stops "..",
// symbolic links that lead outside and, on Windows, device names. Names that
// begin with a dot are not served, except .well-known at the top (RFC 8615).
//
// Representations. Every file has a strong entity tag (RFC 9110 8.8.3): of up
// to 64 KiB a hash of its content, of larger ones a hash of size, time of
// modification and inode. Text and its like is sent in the content coding
// that the client likes best (RFC 9110 12.5.3): from app.js.zst, app.js.br or
// app.js.gz beside app.js where that is not older, else coded on the fly by a
// bounded number of encoders; when all are busy, it is sent as it is. Each
// coding has an entity tag of its own. Preconditions (RFC 9110 13.2.2) and
// ranges (RFC 9110 14.2) are net/http's, from ServeContent.
//
// Memory per request is one buffer of 64 KiB from a pool, or one encoder.
// What pages look like is the caller's affair: see [Pages].
package static
