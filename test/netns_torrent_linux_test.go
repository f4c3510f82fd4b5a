package test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kith.alt/kith/kithtest/netlab"
	"kith.alt/kith/kithtest/require"
	"kith.alt/kith/proto/bittorrent"
)

// TestTorrentOutside has a torrent client on another computer of the local network, which
// knows nothing of kith: it gets what is public while the door is open, and nothing else.
func TestTorrentOutside(t *testing.T) {
	t.Parallel()
	require.Tool(t, "aria2c")
	l := netlab.New(t)
	maple, oak := l.Computer("maple"), l.Computer("oak")
	l.Cable(maple, oak)
	maple.SetAddress("192.168.77.1/24")
	oak.SetAddress("192.168.77.2/24")
	m := l.Member(maple)
	m.Up("--name maple")

	dir := t.TempDir()
	data := make(map[string][]byte)
	for _, title := range []string{"public", "private"} {
		data[title] = make([]byte, 1<<20)
		rand.Read(data[title])
		path := filepath.Join(dir, title)
		if err := os.WriteFile(path, data[title], 0o600); err != nil {
			t.Fatal(err)
		}
		m.Must("kith share "+path, m.Home)
	}
	m.Must("kith share torrent public --make-public --open lan", m.Home)
	write := func(title string) (file string, infoHash [20]byte) {
		file = filepath.Join(dir, title+".torrent")
		m.Must(fmt.Sprintf("kith share torrent %s -o %s", title, file), m.Home)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		torrent, err := bittorrent.ParseTorrent(text)
		if err != nil {
			t.Fatal(err)
		}
		return file, torrent.Description.IDv1()
	}
	public, publicHash := write("public")
	private, privateHash := write("private")

	// take returns what a client has when it is done, or was given nothing for so many seconds.
	take := func(title, torrent string, patience int, flags string) ([]byte, error) {
		dir, err := os.MkdirTemp(dir, "taken")
		if err != nil {
			return nil, err
		}
		said, err := oak.Output("timeout 90 aria2c --no-conf --dir="+dir+fmt.Sprintf(" --bt-stop-timeout=%d", patience)+" --disable-ipv6 --enable-dht=false --enable-dht6=false --bt-enable-lpd=false "+
			"--enable-peer-exchange=false --file-allocation=none --seed-time=0 --listen-port=20000-60000 "+
			flags+" "+torrent, dir)
		if err != nil {
			return nil, fmt.Errorf("%w\n%s", err, said)
		}
		return os.ReadFile(filepath.Join(dir, title))
	}
	gets := func(when string) {
		t.Helper()
		if got, err := take("public", public, 30, ""); err != nil || !bytes.Equal(got, data["public"]) {
			t.Errorf("%s: %d bytes, %v", when, len(got), err)
		}
	}
	// shake begins a conversation; nil is a connection that is ended instead.
	shake := func(infoHash [20]byte) net.Conn {
		var conn net.Conn
		var err error
		oak.Inside(func() error {
			conn, err = net.DialTimeout("tcp", "192.168.77.1:6881", 5*time.Second)
			return nil
		})
		if err != nil {
			return nil
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		conn.Write(bittorrent.AppendHandshake(nil, bittorrent.Handshake{InfoHash: infoHash, PeerID: [20]byte([]byte("-XX0000-0123456789ab"))}))
		if _, err := bittorrent.ReadHandshake(conn); err != nil {
			return nil
		}
		return conn
	}

	refused := make(chan error)
	go func() {
		_, err := take("private", private, 6, "--bt-exclude-tracker='*' --bt-tracker=http://192.168.77.1:6881/announce")
		refused <- err
	}()
	gets("open to the local network")
	if err := <-refused; err == nil {
		t.Error("what is not public is given")
	}
	if shake(privateHash) != nil {
		t.Error("what is not public is talked about")
	}
	m.Node.Stop()
	m.Up("")
	maple.SetAddress("192.168.77.9/24")
	maple.IP("address", "add", "192.168.77.1/24", "dev", "eth0") // once more, as the second one
	m.Eventually("kith share torrent", m.Home, "192.168.77.1:6881.*192.168.77.9:6881|192.168.77.9:6881.*192.168.77.1:6881")
	gets("after a restart, at another address")

	conn := shake(publicHash)
	if conn == nil {
		t.Fatal("what is public is not talked about")
	}
	m.Must("kith share torrent --close", m.Home)
	if _, err := io.Copy(io.Discard, conn); os.IsTimeout(err) {
		t.Error("a conversation goes on behind a closed door")
	}
	if got, err := take("public", public, 6, ""); err == nil {
		t.Errorf("closed: %d bytes", len(got))
	}
	if shake(publicHash) != nil {
		t.Error("somebody talks at a closed door")
	}
}
