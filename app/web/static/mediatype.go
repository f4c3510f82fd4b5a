package static

import (
	"path"
	"strings"
)

// A media is a media type as a response states it.
type media struct {
	name         string // with its charset
	compressible bool
}

// mediaType returns the type of a file by the extension of its name. It is
// the same on every computer: the machine's own table plays no part.
func mediaType(name string) (media, bool) {
	t, ok := types[strings.ToLower(path.Ext(name))]
	return t, ok
}

var types = map[string]media{
	// Text, all of it UTF-8.
	".html": text("text/html"), ".htm": text("text/html"), ".xhtml": text("application/xhtml+xml"),
	".css": text("text/css"), ".js": text("text/javascript"), ".mjs": text("text/javascript"),
	".txt": text("text/plain"), ".text": text("text/plain"), ".log": text("text/plain"), ".conf": text("text/plain"),
	".md": text("text/markdown"), ".markdown": text("text/markdown"), ".csv": text("text/csv"),
	".tsv": text("text/tab-separated-values"), ".ics": text("text/calendar"), ".vcf": text("text/vcard"),
	".vtt": text("text/vtt"), ".srt": text("text/plain"), ".diff": text("text/plain"), ".patch": text("text/plain"),
	".c": text("text/plain"), ".h": text("text/plain"), ".cc": text("text/plain"), ".cpp": text("text/plain"),
	".go": text("text/plain"), ".py": text("text/plain"), ".rs": text("text/plain"), ".java": text("text/plain"),
	".sh": text("text/plain"), ".toml": text("text/plain"), ".ini": text("text/plain"), ".tex": text("text/plain"),
	".yaml": text("application/yaml"), ".yml": text("application/yaml"),
	".xml": text("text/xml"), ".xsl": text("text/xml"), ".rss": text("application/rss+xml"), ".atom": text("application/atom+xml"),
	".svg": text("image/svg+xml"), ".gpx": text("application/gpx+xml"), ".kml": text("application/vnd.google-earth.kml+xml"),
	".m3u8": text("application/vnd.apple.mpegurl"), ".mpd": text("application/dash+xml"),

	// Always UTF-8 by their own definition, without a charset parameter.
	".json": dense("application/json"), ".map": dense("application/json"), ".geojson": dense("application/geo+json"),
	".jsonld": dense("application/ld+json"), ".webmanifest": dense("application/manifest+json"),

	// Binary, and worth coding.
	".wasm": dense("application/wasm"), ".ttf": dense("font/ttf"), ".otf": dense("font/otf"), ".bmp": dense("image/bmp"),
	".ico": dense("image/vnd.microsoft.icon"), ".rtf": dense("application/rtf"), ".ps": dense("application/postscript"),
	".tar": dense("application/x-tar"), ".doc": dense("application/msword"), ".xls": dense("application/vnd.ms-excel"),
	".ppt": dense("application/vnd.ms-powerpoint"), ".sqlite": dense("application/vnd.sqlite3"),

	// Compressed by themselves.
	".png": packed("image/png"), ".apng": packed("image/apng"), ".jpg": packed("image/jpeg"), ".jpeg": packed("image/jpeg"),
	".gif": packed("image/gif"), ".webp": packed("image/webp"), ".avif": packed("image/avif"), ".jxl": packed("image/jxl"),
	".heic": packed("image/heic"), ".tif": packed("image/tiff"), ".tiff": packed("image/tiff"),
	".mp3": packed("audio/mpeg"), ".m4a": packed("audio/mp4"), ".aac": packed("audio/aac"), ".ogg": packed("audio/ogg"),
	".oga": packed("audio/ogg"), ".opus": packed("audio/ogg"), ".flac": packed("audio/flac"), ".wav": packed("audio/wav"),
	".weba": packed("audio/webm"), ".mid": packed("audio/midi"), ".midi": packed("audio/midi"),
	".mp4": packed("video/mp4"), ".m4v": packed("video/mp4"), ".webm": packed("video/webm"), ".ogv": packed("video/ogg"),
	".mkv": packed("video/matroska"), ".mov": packed("video/quicktime"), ".avi": packed("video/x-msvideo"),
	".mpg": packed("video/mpeg"), ".mpeg": packed("video/mpeg"), ".ts": packed("video/mp2t"), ".m4s": packed("video/iso.segment"),
	".woff": packed("font/woff"), ".woff2": packed("font/woff2"), ".pdf": packed("application/pdf"),
	".epub": packed("application/epub+zip"), ".zip": packed("application/zip"), ".gz": packed("application/gzip"),
	".tgz": packed("application/gzip"), ".bz2": packed("application/x-bzip2"), ".xz": packed("application/x-xz"),
	".zst": packed("application/zstd"), ".7z": packed("application/x-7z-compressed"), ".rar": packed("application/vnd.rar"),
	".br": packed("application/octet-stream"), ".bin": packed("application/octet-stream"), ".iso": packed("application/octet-stream"),
	".exe": packed("application/octet-stream"), ".dmg": packed("application/octet-stream"), ".deb": packed("application/vnd.debian.binary-package"),
	".jar": packed("application/java-archive"), ".apk": packed("application/vnd.android.package-archive"), ".torrent": packed("application/x-bittorrent"),
	".docx": packed("application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
	".xlsx": packed("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
	".pptx": packed("application/vnd.openxmlformats-officedocument.presentationml.presentation"),
	".odt":  packed("application/vnd.oasis.opendocument.text"), ".ods": packed("application/vnd.oasis.opendocument.spreadsheet"),
	".odp": packed("application/vnd.oasis.opendocument.presentation"),
}

func text(name string) media   { return media{name + "; charset=utf-8", true} }
func dense(name string) media  { return media{name, true} }
func packed(name string) media { return media{name, false} }
