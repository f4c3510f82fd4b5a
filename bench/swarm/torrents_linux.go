package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The peers know each other from the tracker alone, and do not encrypt. There are
// no limits but those that are built in.

// aria2 is one process for each host. It gives to four peers at a time.
var aria2 = client{
	name:  "aria2",
	lacks: programs("aria2c", "curl"),
	share: func(s *swarm) {
		s.seedTorrent()
		s.seed().aria2(filepath.Dir(s.file), "--check-integrity=true")
		s.awaitSeed()
	},
	prepare: func(*host) {},
	take: func(h *host) func() bool {
		script, done := h.marker()
		h.aria2(h.dir, "--on-bt-download-complete="+script)
		return done
	},
}

func (h *host) aria2(dir string, more ...string) {
	h.start("aria2c", append(more, "--no-conf=true", "--dir="+dir, "--interface="+h.address, "--listen-port=6881",
		"--seed-ratio=0.0", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--bt-max-peers=0",
		"--bt-request-peer-speed-limit=1000M", "--bt-require-crypto=false", "--bt-min-crypto-level=plain",
		"--file-allocation=none", "--disable-ipv6=true", "--allow-overwrite=true", "--summary-interval=0",
		"--console-log-level=warn", "--enable-color=false", "--async-dns=false", "--auto-save-interval=5", h.swarm.torrent)...)
}

// marker returns a script for a client to run when it has the file, and what reports
// that it did.
func (h *host) marker() (script string, done func() bool) {
	script = filepath.Join(h.dir, "complete.sh")
	mark := filepath.Join(h.dir, "complete")
	os.Remove(mark)
	if err := os.WriteFile(script, fmt.Appendf(nil, "#!/bin/sh\n: > %s\n", mark), 0o755); err != nil {
		h.swarm.t.Fatal(err)
	}
	return script, func() bool {
		h.living()
		_, err := os.Stat(mark)
		return err == nil
	}
}

//go:embed peer.py
var peer string

// libtorrent is driven by its Python module. Its interpreter and its session have
// started before the clock.
func libtorrent(name, seeding string) client {
	return client{
		name:  name,
		lacks: lacksLibtorrent,
		share: func(s *swarm) {
			s.seedTorrent()
			p := s.seed().libtorrent(filepath.Dir(s.file), seeding, s.torrent)
			p.tell()
			s.seed().says(p, "complete")
			s.awaitSeed()
		},
		prepare: func(h *host) { h.waiting = h.libtorrent(h.dir, "plain", h.swarm.torrent) },
		take: func(h *host) func() bool {
			p := h.waiting
			p.tell()
			return func() bool {
				h.living()
				return p.said("complete")
			}
		},
	}
}

func (h *host) libtorrent(dir, seeding string, torrents ...string) *process {
	p := h.start(pythonWithLibtorrent(), append([]string{"-c", peer, h.address, dir, seeding}, torrents...)...)
	h.says(p, "ready")
	return p
}

func lacksLibtorrent() string {
	if pythonWithLibtorrent() == "" {
		return "no python3 has the module libtorrent"
	}
	return programs("curl")()
}

// pythonWithLibtorrent is the first Python that has the module, or "".
func pythonWithLibtorrent() string {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import libtorrent").Run() == nil {
			return python
		}
	}
	return ""
}

// transmission is one daemon for each host.
var transmission = client{
	name:  "transmission",
	lacks: programs("transmission-daemon", "curl"),
	share: func(s *swarm) {
		s.seedTorrent()
		s.seed().transmission(filepath.Dir(s.file), "")
		s.awaitSeed()
	},
	prepare: func(*host) {},
	take: func(h *host) func() bool {
		script, done := h.marker()
		h.transmission(h.dir, script)
		return done
	},
}

func (h *host) transmission(dir, script string) {
	t := h.swarm.t
	config := filepath.Join(h.dir, "config")
	watched := filepath.Join(config, "watch")
	if err := os.MkdirAll(watched, 0o755); err != nil {
		t.Fatal(err)
	}
	settings := fmt.Sprintf(`{
	"bind-address-ipv4": %q, "peer-port": 6881, "peer-port-random-on-start": false, "port-forwarding-enabled": false,
	"download-dir": %q, "incomplete-dir-enabled": false, "rename-partial-files": false, "preallocation": 0,
	"encryption": 0, "dht-enabled": false, "lpd-enabled": false, "utp-enabled": false, "pex-enabled": true,
	"peer-limit-global": 200, "peer-limit-per-torrent": 200, "download-queue-enabled": false, "seed-queue-enabled": false,
	"speed-limit-down-enabled": false, "speed-limit-up-enabled": false, "rpc-enabled": false,
	"watch-dir": %q, "watch-dir-enabled": true, "script-torrent-done-enabled": %t, "script-torrent-done-filename": %q }`,
		h.address, dir, watched, script != "", script)
	torrent, err := os.ReadFile(h.swarm.torrent)
	if err == nil {
		err = os.WriteFile(filepath.Join(config, "settings.json"), []byte(settings), 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(watched, filepath.Base(h.swarm.torrent)), torrent, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.start("transmission-daemon", "-f", "--config-dir", config)
}
